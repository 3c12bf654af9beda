"""Masks grow by the pixels that they are told to."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from dip.errors import TooFewKnownPixels
from dip.regions.box import Box
from dip.regions.damaged_image import DamagedImage
from dip.regions.growth import grown, with_pixels
from dip.regions.mask import soft_mask_from

DOT = np.zeros((64, 80), dtype=bool)
DOT[30, 40] = True


@pytest.mark.parametrize("growth_px", [1, 2, 3, 8, 20])
def test_a_dot_becomes_a_disc(growth_px: int) -> None:
    found = grown(soft_mask_from(DOT, DOT.shape), growth_px).unknown
    distance = ndimage.distance_transform_edt(~DOT)
    wrong = found != (distance <= growth_px)
    assert np.abs(distance[wrong] - growth_px).max(initial=0) < 1 + growth_px / 12


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("place", [(0, 0), (30, 40), (63, 79)])
def test_growing_reaches_no_further_and_keeps_the_mask(dtype: str, place: tuple[int, int]) -> None:
    mask = np.zeros(DOT.shape, dtype=dtype)
    mask[place] = np.iinfo(dtype).max if dtype.startswith("uint") else 1
    soft_mask = grown(soft_mask_from(mask, mask.shape), 3)
    rows, columns = np.nonzero(soft_mask.unknown)
    assert soft_mask[place] == 1
    assert max(abs(rows - place[0]).max(), abs(columns - place[1]).max()) == 3
    assert set(np.unique(soft_mask[:])) == {0, 1}


def test_a_feathered_edge_moves_outwards() -> None:
    mask = np.zeros((40, 60), dtype=np.uint8)
    mask[:, 20:30], mask[:, 18:20], mask[:, 17] = 255, 128, 9
    row = grown(soft_mask_from(mask, mask.shape), 4)[20]
    np.testing.assert_allclose(row[14:16], 128 / 255, atol=1e-6)
    np.testing.assert_array_equal(row[16:34], 1)
    assert row[:14].max() == 0  # values that count as 0 do not grow
    assert row[34:].max() == 0


def test_transparent_pixels_grow_too() -> None:
    image = np.full((40, 40, 4), 255, dtype=np.uint8)
    image[20, 20, 3] = 0
    unknown = DamagedImage(image, None, growth_px=1).soft_mask.unknown
    assert np.count_nonzero(unknown) == 5


def test_further_pixels_can_be_marked() -> None:
    marked = np.array([[True, False], [False, True]])
    found = with_pixels(soft_mask_from(DOT, DOT.shape), [(Box(0, 0, 2, 2), marked)])
    expected = DOT.copy()
    expected[0, 0] = expected[1, 1] = True
    np.testing.assert_array_equal(found[:], expected)


def test_a_mask_that_grows_over_everything_is_refused() -> None:
    with pytest.raises(TooFewKnownPixels):
        grown(soft_mask_from(DOT, DOT.shape), 100)


def test_two_masks_grow_together(mask: npt.NDArray[np.bool_]) -> None:
    both = grown(soft_mask_from(mask | np.roll(mask, 9, 1), mask.shape), 5).unknown
    each = [
        grown(soft_mask_from(one, mask.shape), 5).unknown for one in (mask, np.roll(mask, 9, 1))
    ]
    np.testing.assert_array_equal(both, each[0] | each[1])
