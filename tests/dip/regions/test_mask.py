"""Masks become soft masks, and soft masks unknown pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dip.errors import (
    MaskEmpty,
    MaskError,
    MaskMayBeInverted,
    MaskSizeMismatch,
    TooFewKnownPixels,
)
from dip.regions.mask import (
    kind_of_damage,
    refuse_inverted,
    soft_mask_from,
    soft_mask_from_alpha,
    thickness_px,
)
from dip.regions.rules import UNKNOWN_ABOVE


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "float32", "float64"])
def test_white_means_restore_in_every_sample_type(mask: npt.NDArray[np.bool_], dtype: str) -> None:
    full = np.iinfo(dtype).max if dtype.startswith("uint") else 1
    soft_mask = soft_mask_from((mask * full).astype(dtype), mask.shape)
    assert soft_mask[:, :].dtype == np.float32
    np.testing.assert_array_equal(soft_mask[:, :], mask)


def test_a_soft_edge_is_kept_and_is_unknown() -> None:
    mask = np.zeros((32, 32), dtype=np.uint8)
    mask[8:16, 8:16] = 128
    soft_mask = soft_mask_from(mask, mask.shape)
    assert soft_mask[10, 10] == pytest.approx(128 / 255)
    np.testing.assert_array_equal(soft_mask.unknown, mask > 0)


@pytest.mark.parametrize(("level", "unknown"), [(16, False), (17, True)])
def test_the_threshold_is_the_documented_one(level: int, unknown: bool) -> None:
    assert pytest.approx(16 / 255) == UNKNOWN_ABOVE
    mask = np.zeros((32, 32), dtype=np.uint8)
    mask[:4] = 255
    mask[20, 20] = level
    assert soft_mask_from(mask, mask.shape).unknown[20, 20] == unknown


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_mask_is_not_changed(dtype: str) -> None:
    full = 1 if dtype == "float32" else np.iinfo(dtype).max
    mask = np.tile(np.linspace(0, full, 32), (32, 1)).astype(dtype)
    before = mask.copy()
    soft_mask_from(mask, mask.shape)
    np.testing.assert_array_equal(mask, before)


def test_a_crop_of_a_soft_mask_outlives_the_mask(mask: npt.NDArray[np.bool_]) -> None:
    samples = mask.astype(np.uint8) * 200
    soft_mask = soft_mask_from(samples, samples.shape)
    index = np.s_[5:30, 10:50]
    expected = soft_mask[index]
    crop = soft_mask.crop(index)
    samples[:] = 0
    np.testing.assert_array_equal(crop[:], expected)
    np.testing.assert_array_equal(crop[3:9, 2:], expected[3:9, 2:])


def test_the_message_names_both_sizes_when_they_differ() -> None:
    with pytest.raises(MaskSizeMismatch, match=r"30×20 px.*64×48 px"):
        soft_mask_from(np.ones((20, 30)), (48, 64, 3))


@pytest.mark.parametrize(
    ("mask", "error", "seen"),
    [
        (np.zeros((32, 32)), MaskEmpty, "Nothing is marked"),
        (np.ones((32, 32)), TooFewKnownPixels, "1024 of 1024"),
        (np.pad(np.zeros((5, 5)), 14, constant_values=1)[:32, :32], TooFewKnownPixels, "25 known"),
        (np.full((32, 32), np.nan), MaskError, r"\[0, 1\]"),
        (np.full((32, 32), 255.0), MaskError, r"\[0, 1\]"),
        (np.zeros((32, 32), dtype=np.int32), MaskError, "int32"),
        (np.zeros((32, 32, 3)), MaskError, r"\(32, 32, 3\)"),
    ],
)
def test_a_useless_mask_is_refused(mask: Any, error: type[MaskError], seen: str) -> None:
    with pytest.raises(error, match=seen) as caught:
        soft_mask_from(mask, (*mask.shape[:2], 3) if mask.shape == (32, 32) else (32, 32))
    assert caught.value.hint


def test_the_message_asks_whether_a_full_mask_is_inverted() -> None:
    with pytest.raises(TooFewKnownPixels, match="inverted"):
        soft_mask_from(np.ones((32, 32), dtype=bool), (32, 32))


def test_transparent_pixels_are_the_damage() -> None:
    image = np.full((32, 32, 4), 255, dtype=np.uint8)
    image[4:8, 4:8, 3] = 0
    image[20, 20, 3] = 127
    soft_mask = soft_mask_from_alpha(image)
    assert soft_mask[5, 5] == 1
    assert soft_mask[20, 20] == pytest.approx(128 / 255)
    assert np.count_nonzero(soft_mask[:, :]) == 17


@pytest.mark.parametrize("shape", [(32, 32), (32, 32, 3), (32, 32, 4)])
def test_an_opaque_image_without_a_mask_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(MaskEmpty):
        soft_mask_from_alpha(np.full(shape, 255, dtype=np.uint8))


def test_the_thickness_is_that_of_the_widest_damage() -> None:
    unknown = np.zeros((60, 60), dtype=bool)
    unknown[10:13, :] = True
    assert thickness_px(unknown) == pytest.approx(4)
    unknown[30:50, 20:50] = True
    assert thickness_px(unknown) == pytest.approx(20)
    assert thickness_px(np.ones((8, 9), dtype=bool)) == 9


def test_damage_is_classified() -> None:
    scratch = np.zeros((100, 100), dtype=bool)
    scratch[40:44] = True
    hole = np.zeros((100, 100), dtype=bool)
    hole[30:70, 30:70] = True
    half = np.random.default_rng(0).random((100, 100)) < 0.5
    assert [kind_of_damage(each) for each in (scratch, hole, half)] == ["thin", "hole", "scattered"]


def mask_of(share: float, dtype: str = "uint8") -> npt.NDArray[Any]:
    mask = np.zeros(1000, dtype=dtype)
    mask[: round(1000 * share)] = np.iinfo(dtype).max
    return mask.reshape(20, 50)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.6])
def test_a_mask_of_up_to_60_percent_is_taken(share: float) -> None:
    refuse_inverted(mask_of(share), (20, 50, 3), "say so")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_mask_of_more_than_60_percent_is_doubted(dtype: str) -> None:
    with pytest.raises(MaskMayBeInverted) as refused:
        refuse_inverted(mask_of(0.63, dtype), (20, 50, 3), "say so")
    assert refused.value.message == "The mask marks 63% of the image for restoration."
    assert "inverted" in refused.value.hint
    assert refused.value.hint.endswith("If it is right, say so.")
    assert refused.value.exit_status == 4


def test_an_unusable_mask_is_named_before_it_is_doubted() -> None:
    with pytest.raises(MaskSizeMismatch):
        refuse_inverted(mask_of(0.9), (20, 51), "say so")
    with pytest.raises(TooFewKnownPixels):
        refuse_inverted(mask_of(1.0), (20, 50), "say so")
