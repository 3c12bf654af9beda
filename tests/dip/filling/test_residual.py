"""What a fit missed around a hole: carried in smoothly, or as regularly as the surroundings."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dip.filling.residual import carried

Array = NDArray[np.float32]
Plane = NDArray[np.bool_]

SIDE = 240


def known_around_a_hole(side: int = SIDE, thickness: int = 60) -> Plane:
    known = np.ones((side, side), dtype=bool)
    middle = slice((side - thickness) // 2, (side + thickness) // 2)
    known[middle, middle] = False
    return known


def bricks(side: int = SIDE, course_px: int = 20, seed: int = 1) -> Array:
    """Joints a tenth of a course wide, each second course shifted; some noise; zero on average."""
    rows, columns = np.mgrid[:side, :side]
    course = rows // course_px
    across = (columns + course % 2 * course_px) % (2 * course_px)
    joint = (rows % course_px < course_px // 10) | (across < course_px // 10)
    noise = np.random.default_rng(seed).normal(0, 0.02, (side, side))
    wall = np.where(joint, 0.3, 0) + noise
    return (wall - wall.mean()).astype(np.float32)[:, :, None]


def offset(side: int = SIDE, seed: int = 1) -> Array:
    """Something smooth, as a fit misses of a sky, and grain."""
    rows, columns = np.mgrid[:side, :side] / side
    grain = np.random.default_rng(seed).normal(0, 0.02, (side, side))
    return (0.1 * np.sin(3 * rows + 2 * columns) + grain).astype(np.float32)[:, :, None]


def missed(residual: Array, known: Plane, *, mixed: bool) -> float:
    """Mean squared, in the hole."""
    added, _ = carried(residual, known, mixed=mixed)
    return float(np.square(added - residual)[~known].mean())


@pytest.mark.parametrize("channels", [1, 3])
def test_what_repeats_runs_on(channels: int) -> None:
    wall, known = np.repeat(bricks(), channels, axis=2), known_around_a_hole()
    assert missed(wall, known, mixed=True) < missed(wall, known, mixed=False) / 2
    assert carried(wall, known)[1] > 0.9


def test_what_is_smooth_is_carried_as_by_a_membrane() -> None:
    sky, known = offset(), known_around_a_hole()
    added, regularity = carried(sky, known)
    assert regularity == 0
    np.testing.assert_array_equal(added, carried(sky, known, mixed=False)[0])


def test_a_thick_hole_is_filled_regularly_as_well() -> None:
    wall, known = bricks(540, course_px=60), known_around_a_hole(540, 170)
    assert missed(wall, known, mixed=True) < missed(wall, known, mixed=False) / 1.5


def test_it_looks_at_no_unknown_pixel_and_chance_is_the_seeds() -> None:
    wall, known = bricks(), known_around_a_hole()
    spoiled = np.where(known[:, :, None], wall, np.float32(np.nan))
    np.testing.assert_array_equal(
        carried(spoiled, known, seed=3)[0], carried(wall, known, seed=3)[0]
    )


def test_without_room_for_squares_it_is_carried_smoothly() -> None:
    wall, known = bricks(64, course_px=10), known_around_a_hole(64, 60)
    added, regularity = carried(wall, known)
    assert regularity == 0
    np.testing.assert_array_equal(added, carried(wall, known, mixed=False)[0])
