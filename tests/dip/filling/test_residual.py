"""Residuals around a hole, extrapolated by a membrane or by long-range kriging."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from dip.filling.residual import extrapolate_residual

Array = NDArray[np.float32]
Plane = NDArray[np.bool_]
Joints = Callable[[int, int, int, int], Plane]
Wall = Callable[..., Array]

SIDE = 240


def known_around_a_hole(side: int = SIDE, thickness: int = 60) -> Plane:
    known = np.ones((side, side), dtype=bool)
    middle = slice((side - thickness) // 2, (side + thickness) // 2)
    known[middle, middle] = False
    return known


@pytest.fixture
def wall(brick_joints: Joints) -> Wall:
    """Joints a tenth of a course wide, with some noise and a mean of zero."""

    def draw(side: int = SIDE, course_px: int = 20) -> Array:
        noise = np.random.default_rng(1).normal(0, 0.02, (side, side))
        wall = np.where(brick_joints(side, side, course_px, course_px // 10), 0.3, 0) + noise
        return (wall - wall.mean()).astype(np.float32)[:, :, None]

    return draw


def offset(side: int = SIDE, seed: int = 1) -> Array:
    """A smooth residual, as of a sky, with grain."""
    rows, columns = np.mgrid[:side, :side] / side
    grain = np.random.default_rng(seed).normal(0, 0.02, (side, side))
    return (0.1 * np.sin(3 * rows + 2 * columns) + grain).astype(np.float32)[:, :, None]


def squared_error(residual: Array, known: Plane, *, stacked: bool) -> float:
    """Mean squared error in the hole."""
    added, _ = extrapolate_residual(residual, known, stacked=stacked)
    return float(np.square(added - residual)[~known].mean())


@pytest.mark.parametrize("channels", [1, 3])
def test_a_periodic_residual_continues(channels: int, wall: Wall) -> None:
    residual, known = np.repeat(wall(), channels, axis=2), known_around_a_hole()
    stacked, smooth = (squared_error(residual, known, stacked=each) for each in (True, False))
    assert stacked < smooth / 2
    assert extrapolate_residual(residual, known)[1] > 0.9


def test_a_smooth_residual_is_extrapolated_by_a_membrane() -> None:
    sky, known = offset(), known_around_a_hole()
    added, regularity = extrapolate_residual(sky, known)
    assert regularity == 0
    np.testing.assert_array_equal(added, extrapolate_residual(sky, known, stacked=False)[0])


def test_a_periodic_residual_continues_into_a_thick_hole(wall: Wall) -> None:
    residual, known = wall(540, course_px=60), known_around_a_hole(540, 170)
    stacked, smooth = (squared_error(residual, known, stacked=each) for each in (True, False))
    assert stacked < smooth / 1.5


def test_unknown_pixels_are_ignored_and_a_seed_repeats_the_result(wall: Wall) -> None:
    residual, known = wall(), known_around_a_hole()
    spoiled = np.where(known[:, :, None], residual, np.float32(np.nan))
    np.testing.assert_array_equal(
        extrapolate_residual(spoiled, known, seed=3)[0],
        extrapolate_residual(residual, known, seed=3)[0],
    )


def test_without_room_for_trial_squares_the_membrane_is_used(wall: Wall) -> None:
    residual, known = wall(64, course_px=10), known_around_a_hole(64, 60)
    added, regularity = extrapolate_residual(residual, known)
    assert regularity == 0
    np.testing.assert_array_equal(added, extrapolate_residual(residual, known, stacked=False)[0])
