"""Harmonised fills have no seam at the rim."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from dip.filling.membrane import harmonise


@pytest.fixture
def hole() -> npt.NDArray[np.bool_]:
    unknown = np.zeros((60, 81), dtype=bool)
    unknown[20:40, 30:50] = True
    return unknown


@pytest.mark.parametrize("channels", [1, 3])
def test_a_constant_offset_is_removed(hole: npt.NDArray[np.bool_], channels: int) -> None:
    target = np.random.default_rng(0).random((*hole.shape, channels), dtype=np.float32)
    harmonised = harmonise(target + np.float32(0.1), target, ~hole)
    np.testing.assert_allclose(harmonised, target, atol=1e-3)


def test_a_slope_of_the_error_continues_into_the_hole(hole: npt.NDArray[np.bool_]) -> None:
    slope = np.linspace(0, 0.2, hole.shape[1], dtype=np.float32)[None, :, None]
    target = np.full((*hole.shape, 1), 0.5, dtype=np.float32)
    harmonised = harmonise(target + slope, target, ~hole)
    assert np.abs(harmonised - target)[hole].max() < 0.3 * np.ptp(slope[:, 30:50])


def test_a_perfect_reconstruction_is_left_alone(hole: npt.NDArray[np.bool_]) -> None:
    target = np.random.default_rng(0).random((*hole.shape, 3), dtype=np.float32)
    np.testing.assert_allclose(harmonise(target, target, ~hole), target, atol=1e-6)


def test_the_target_under_the_mask_is_ignored(hole: npt.NDArray[np.bool_]) -> None:
    random = np.random.default_rng(0)
    target, fill = random.random((2, *hole.shape, 3), dtype=np.float32)
    other = np.where(hole[:, :, None], np.float32(np.nan), target)
    np.testing.assert_array_equal(harmonise(fill, target, ~hole), harmonise(fill, other, ~hole))
