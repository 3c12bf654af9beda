"""Damage that a mask missed is found, not trusted, and not changed unless the mask may grow."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage
from skimage import data, draw

from dip.bench.metrics import psnr_db
from dip.config import Settings
from dip.filling.rims import find_rims, mind_rims
from dip.regions.damaged_image import DamagedImage
from dip.restore import Restoration

Plane = npt.NDArray[np.bool_]
TRUTH = data.chelsea()[60:220, 100:340]


def tear(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Opacity of a curved tear and of a missing corner, (H, W), with soft edges."""
    plane = np.zeros((4 * shape[0], 4 * shape[1]), dtype=np.float32)
    rows = np.arange(plane.shape[0])
    middle = 700 + 60 * np.sin(rows / 90)
    plane[np.abs(np.arange(plane.shape[1]) - middle[:, None]) < 14] = 1
    plane[draw.polygon([0, 0, 240], [0, 300, 0])] = 1
    return plane.reshape(shape[0], 4, shape[1], 4).mean((1, 3))


OPACITY = tear(TRUTH.shape[:2])
EXACT = OPACITY > 0


def torn(colour: int) -> npt.NDArray[np.uint8]:
    """The photo with paper of a colour showing in the tear and the corner."""
    grain = np.random.default_rng(0).normal(0, 4, TRUTH.shape)
    paper = np.clip(colour + grain, 0, 255)
    return (TRUTH * (1 - OPACITY[:, :, None]) + paper * OPACITY[:, :, None]).astype(np.uint8)


def found(photo: npt.NDArray[Any], unknown: Plane) -> Plane:
    plane = np.zeros_like(unknown)
    for rim in find_rims(photo, unknown):
        plane[rim.box.slices] |= rim.pixels
    return plane


@pytest.mark.parametrize("colour", [250, 4])
@pytest.mark.parametrize("missed_px", [2, 3])
def test_damage_beside_the_mask_is_found(colour: int, missed_px: int) -> None:
    mask = ndimage.binary_erosion(EXACT, iterations=missed_px, border_value=1)
    missed = (OPACITY > 0.5) & ~mask & (ndimage.distance_transform_edt(~mask) <= 4)
    rim = found(torn(colour), mask)
    assert np.count_nonzero(rim & missed) > 0.6 * np.count_nonzero(missed)
    assert np.count_nonzero(rim & ~EXACT) < 0.02 * np.count_nonzero(rim)


@pytest.mark.parametrize("colour", [250, 128, 4, None])
def test_an_exact_mask_has_a_clean_rim(colour: int | None) -> None:
    """None: the picture itself is under the mask."""
    photo = TRUTH if colour is None else torn(colour)
    distance = ndimage.distance_transform_edt(~EXACT)
    size = np.count_nonzero((distance > 0) & (distance <= 4))
    assert np.count_nonzero(found(photo, EXACT)) < 0.02 * size


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_kind_of_samples_is_looked_at(dtype: str, channels: int) -> None:
    mask = ndimage.binary_erosion(EXACT, iterations=2, border_value=1)
    photo = torn(250)
    if channels < 3:
        photo = photo[:, :, :1]
    if channels in (2, 4):
        photo = np.dstack([photo, np.full(mask.shape, 255, np.uint8)])
    scaled = {"uint8": photo, "uint16": photo.astype(np.uint16) * 257, "float32": photo / 255}
    assert found(scaled[dtype].astype(dtype), mask).any()


def restored(
    photo: npt.NDArray[Any], mask: Plane, iterations: int = 12, **settings: Any
) -> Restoration:
    chosen = Settings(preset="fast", iterations=iterations, texture=0, **settings)
    restoration = Restoration(photo, mask, chosen)
    for _ in restoration:
        pass
    return restoration


@pytest.fixture(scope="module")
def narrow() -> Plane:
    return ndimage.binary_erosion(EXACT, iterations=2, border_value=1)


def test_the_fill_does_not_continue_missed_damage(narrow: Plane) -> None:
    photo = torn(250)
    restoration = restored(photo, narrow)
    result = restoration.result()
    np.testing.assert_array_equal(result[~narrow], photo[~narrow])
    assert "the rim of the mask still holds damage" in restoration.notes[0]
    truth_known = restored(TRUTH, narrow).result()
    lost_db = psnr_db(truth_known, TRUTH, narrow) - psnr_db(result, TRUTH, narrow)
    assert lost_db < 6  # 10 where the fit sees the missed damage


def test_the_mask_grows_over_missed_damage_where_it_may(narrow: Plane) -> None:
    photo = torn(250)
    restoration = restored(photo, narrow, grow="auto")
    result = restoration.result()
    changed = (result != photo).any(axis=2)
    distance = ndimage.distance_transform_edt(~narrow)
    assert distance[changed].max() <= 6
    assert np.count_nonzero(changed & ~narrow) > 200
    assert "the mask is grown by up to" in restoration.notes[0]
    before, after = (
        np.abs(each.astype(int) - TRUTH)[EXACT & ~narrow].mean() for each in (photo, result)
    )
    assert after < before / 3


def test_where_nothing_is_missed_nothing_is_said_and_nothing_changes() -> None:
    photo = torn(250)
    plain, auto = (restored(photo, EXACT, 2, grow=grow) for grow in (0, "auto"))
    assert not plain.notes
    np.testing.assert_array_equal(plain.result(), auto.result())


def test_a_few_missed_pixels_are_distrusted_without_a_word() -> None:
    mask = EXACT.copy()
    mask[60:64] &= ~ndimage.binary_dilation(~EXACT, iterations=3)[60:64]
    damaged = DamagedImage(torn(250), np.uint8(255) * mask)
    assert mind_rims(damaged, Settings()) == []
    assert np.count_nonzero(damaged.hidden() & ~mask) >= 8


def test_rims_are_found_in_pieces_of_large_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, mask = torn(250), ndimage.binary_erosion(EXACT, iterations=2)
    whole = found(photo, mask)
    monkeypatch.setattr("dip.filling.rims._PIECE_PX", 90)
    pieces = found(photo, mask)
    assert np.count_nonzero(whole & pieces) > 0.8 * np.count_nonzero(whole | pieces)
