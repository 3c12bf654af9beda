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

SIDE = 140


def known_around_a_hole(side: int = SIDE, thickness: int = 36) -> Plane:
    known = np.ones((side, side), dtype=bool)
    middle = slice((side - thickness) // 2, (side + thickness) // 2)
    known[middle, middle] = False
    return known


@pytest.fixture(scope="module")
def wall(brick_joints: Joints) -> Wall:
    """Joints a tenth of a course wide, with some noise and a mean of zero."""

    def draw(side: int = SIDE, course_px: int = 12) -> Array:
        noise = np.random.default_rng(1).normal(0, 0.02, (side, side))
        wall = np.where(brick_joints(side, side, course_px, course_px // 10), 0.3, 0) + noise
        return (wall - wall.mean()).astype(np.float32)[:, :, None]

    return draw


def offset(side: int = SIDE, seed: int = 1) -> Array:
    """A smooth residual, as of a sky, with grain."""
    rows, columns = np.mgrid[:side, :side] / side
    grain = np.random.default_rng(seed).normal(0, 0.02, (side, side))
    return (0.1 * np.sin(3 * rows + 2 * columns) + grain).astype(np.float32)[:, :, None]


@pytest.fixture(scope="module")
def extrapolated(wall: Wall) -> tuple[Array, float]:
    """The result for `wall()` with seed 3, and its regularity; it takes seconds."""
    return extrapolate_residual(wall(), known_around_a_hole(), seed=3)


def squared_error(added: Array, residual: Array, known: Plane) -> float:
    """Mean squared error in the hole."""
    return float(np.square(added - residual)[~known].mean())


def test_a_periodic_residual_continues(wall: Wall, extrapolated: tuple[Array, float]) -> None:
    residual, known = wall(), known_around_a_hole()
    stacked, regularity = extrapolated
    smooth, _ = extrapolate_residual(residual, known, stacked=False)
    assert squared_error(stacked, residual, known) < squared_error(smooth, residual, known) / 2
    assert regularity > 0.9


@pytest.mark.exhaustive
def test_a_periodic_residual_of_three_channels_continues(
    wall: Wall, extrapolated: tuple[Array, float]
) -> None:
    residual, known = np.repeat(wall(), 3, axis=2), known_around_a_hole()
    added, regularity = extrapolate_residual(residual, known, seed=3)
    assert regularity > 0.9
    np.testing.assert_allclose(added, np.repeat(extrapolated[0], 3, axis=2), atol=1e-3)


def test_a_smooth_residual_is_extrapolated_by_a_membrane() -> None:
    sky, known = offset(), known_around_a_hole()
    added, regularity = extrapolate_residual(sky, known)
    assert regularity == 0
    np.testing.assert_array_equal(added, extrapolate_residual(sky, known, stacked=False)[0])


@pytest.mark.exhaustive
def test_a_periodic_residual_continues_into_a_thick_hole(wall: Wall) -> None:
    residual, known = wall(540, course_px=60), known_around_a_hole(540, 170)
    stacked, smooth = (
        squared_error(extrapolate_residual(residual, known, stacked=each)[0], residual, known)
        for each in (True, False)
    )
    assert stacked < smooth / 1.5


def test_unknown_pixels_are_ignored_and_a_seed_repeats_the_result(
    wall: Wall, extrapolated: tuple[Array, float]
) -> None:
    residual, known = wall(), known_around_a_hole()
    spoiled = np.where(known[:, :, None], residual, np.float32(np.nan))
    added, _ = extrapolate_residual(spoiled, known, seed=3)
    np.testing.assert_array_equal(added, extrapolated[0])


def test_without_room_for_trial_squares_the_membrane_is_used(wall: Wall) -> None:
    residual, known = wall(64, course_px=10), known_around_a_hole(64, 60)
    added, regularity = extrapolate_residual(residual, known)
    assert regularity == 0
    np.testing.assert_array_equal(added, extrapolate_residual(residual, known, stacked=False)[0])
