"""Masks become one gray channel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dip.errors import MaskError
from dip.image_io import encode_photo, read_mask, write_photo

Samples = Callable[..., npt.NDArray[Any]]


def test_a_gray_mask_keeps_its_depth(tmp_path: Path, samples: Samples) -> None:
    mask = samples("uint16", None)
    write_photo(tmp_path / "mask.png", mask)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), mask)


def test_a_mask_with_channels_becomes_gray(samples: Samples) -> None:
    gray = samples("uint8", None)
    colour = np.repeat(gray[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(read_mask(encode_photo(colour, "png")), gray)
    assert read_mask(encode_photo(colour, "jpeg")).shape == gray.shape


def test_transparent_pixels_of_a_mask_are_not_restored() -> None:
    mask = np.full((20, 20, 4), 255, dtype=np.uint8)
    mask[:10, :, 3] = 0
    mask[:10, :, 0] = 3  # a colour that nobody sees
    coverage = read_mask(encode_photo(mask, "png"))
    assert coverage[:10].max() == 0
    assert coverage[10:].min() == 1


@pytest.mark.parametrize("height", [20, 700])  # it is looked through strip by strip
def test_a_half_transparent_mask_is_half(height: int) -> None:
    mask = np.full((height, 20, 2), 255, dtype=np.uint8)
    mask[-5:, :, 1], mask[:5, :, 0] = 51, 102
    coverage = read_mask(encode_photo(mask, "png"))
    assert coverage.dtype == np.float32
    np.testing.assert_allclose(coverage[-5:], 0.2)
    np.testing.assert_allclose(coverage[:5], 0.4)
    assert (coverage[5:-5] == 1).all()


@pytest.mark.parametrize("channels", [2, 4])
def test_an_opaque_mask_keeps_its_depth(channels: int, samples: Samples) -> None:
    mask = np.repeat(samples("uint16", None)[:, :, None], channels, axis=2)
    mask[:, :, -1] = 65535
    coverage = read_mask(encode_photo(mask, "tiff"))
    np.testing.assert_array_equal(coverage, mask[:, :, 0])


def test_a_mask_keeps_one_channel_in_memory() -> None:
    mask = read_mask(encode_photo(np.full((20, 20, 3), 255, np.uint8), "png"))
    assert mask.base is None
    assert mask.flags.c_contiguous


@pytest.mark.parametrize("top", [5, 600])  # it is looked through strip by strip
def test_a_coloured_mask_is_refused(top: int) -> None:
    mask = np.zeros((700, 20, 3), dtype=np.uint8)
    mask[top : top + 5, 5:10, 0] = 255
    with pytest.raises(MaskError, match="The mask has colours"):
        read_mask(encode_photo(mask, "png"), name="painted.png")
