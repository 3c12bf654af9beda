"""Pictures that go on beyond their last known pixels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from dip.bench.metrics import psnr_db
from dip.filling.continuation import continue_picture
from dip.filling.kriging import krige_detail
from dip.filling.membrane import membrane

Array = NDArray[np.float32]
Plane = NDArray[np.bool_]


def torn_corner(height: int = 160, width: int = 200, size: int = 70) -> Plane:
    rows, columns = np.mgrid[:height, :width]
    return np.asarray(rows + width - 1 - columns >= size)


def layers(height: int = 160, width: int = 200) -> Array:
    """Sky, hills and a lake: colours change from row to row."""
    bright = 0.5 + 0.4 * np.sin(np.arange(height) / 9)
    picture = np.stack([bright, 0.8 * bright, 1 - bright], 1).astype(np.float32)
    return np.broadcast_to(picture[:, None], (height, width, 3)).copy()


@pytest.mark.parametrize("turned", [False, True])
def test_layers_continue_along_themselves(turned: bool) -> None:
    truth, known = layers(), torn_corner()
    if turned:
        truth, known = truth.swapaxes(0, 1).copy(), known.T.copy()
    found = psnr_db(continue_picture(truth, known), truth, ~known)
    assert found > psnr_db(membrane(truth, known), truth, ~known) + 10
    assert found > 28


def test_a_plain_margin_stays_plain() -> None:
    truth = np.full((120, 160, 3), 0.92, dtype=np.float32)
    truth[30:, 30:] = 0.4
    known = np.ones((120, 160), dtype=bool)
    known[:14] = False
    result = continue_picture(truth, known)
    assert np.abs(result - truth)[~known].max() < 0.03


def test_unknown_pixels_are_ignored() -> None:
    truth, known = layers(), torn_corner()
    result = continue_picture(truth, known)
    truth[~known] = np.nan
    assert np.array_equal(continue_picture(truth, known), result)


@pytest.mark.parametrize("channels", [1, 4])
def test_a_picture_with_little_around_gets_a_membrane(channels: int) -> None:
    truth = np.random.default_rng(0).random((24, 24, channels), dtype=np.float32)
    known = np.zeros((24, 24), dtype=bool)
    known[:4] = True
    clean = np.where(known[:, :, None], truth, np.float32(0))
    assert np.array_equal(continue_picture(truth, known), membrane(clean, known))


def missing_frame(truth: Array, width_px: int) -> tuple[Plane, Array, Array]:
    """Known pixels inside a missing frame, and its continuations: smooth, and kriged as well."""
    known = np.zeros(truth.shape[:2], dtype=bool)
    known[width_px:-width_px, width_px:-width_px] = True
    return known, continue_picture(truth, known), continue_picture(truth, known, needed=~known)


def test_kriging_draws_no_waves_into_the_margin_of_a_print() -> None:
    random = np.random.default_rng(2)
    truth = np.full((140, 180, 3), 0.92, dtype=np.float32)
    truth[18:-18, 18:-18] = 0.45 + 0.04 * random.standard_normal((104, 144, 1))
    truth = (truth + 0.002 * random.standard_normal(truth.shape)).astype(np.float32)
    known, smooth, result = missing_frame(truth, 10)
    waves = np.abs(krige_detail(truth, known, smooth, needed=~known) - np.float32(0.92))
    assert waves[~known].max() > 0.02
    assert np.abs(result - np.float32(0.92))[~known].max() < 0.005


def test_soft_texture_is_kriged() -> None:
    noise = np.random.default_rng(3).standard_normal((140, 180, 3))
    soft = ndimage.gaussian_filter(noise, (3, 3, 0))
    truth = (0.5 + 0.1 * soft / soft.std()).astype(np.float32)
    known, smooth, result = missing_frame(truth, 5)
    assert psnr_db(result, truth, ~known) > psnr_db(smooth, truth, ~known) + 1
