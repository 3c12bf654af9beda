"""Specks and scratches get patches; thick or dense damage stays for regions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from dip.regions.box import Box
from dip.regions.patches import CONTEXT_PX, SIDES_PX, find_patches, in_stacks

Plane = npt.NDArray[np.bool_]


def specks(shape: tuple[int, int], count: int, seed: int = 0) -> Plane:
    random = np.random.default_rng(seed)
    unknown = np.zeros(shape, dtype=bool)
    for _ in range(count):
        row, column = random.integers(0, shape[0] - 6), random.integers(0, shape[1] - 6)
        unknown[row : row + random.integers(1, 7), column : column + random.integers(1, 7)] = True
    return unknown


def diagonal_scratch(side: int, width: int = 3) -> Plane:
    rows, columns = np.mgrid[:side, :side]
    return (abs(rows - columns) < width) & (rows > 20) & (rows < side - 20)


@pytest.mark.parametrize("seed", range(5))
def test_each_unknown_pixel_is_filled_by_patches_or_left_for_regions(seed: int) -> None:
    unknown = specks((300, 400), 60, seed) | np.pad(diagonal_scratch(300), ((0, 0), (0, 100)))
    patches, rest = find_patches(unknown)
    weights = np.zeros(unknown.shape)
    for patch in patches:
        weights[patch.core.slices] += patch.weight
    np.testing.assert_allclose(weights[unknown & ~rest], 1, atol=1e-5)
    assert not weights[~unknown | rest].any()


def test_a_patch_is_a_square_with_context_inside_the_image() -> None:
    unknown = specks((200, 200), 20)
    unknown[0:3, 0:3] = unknown[195:200, 100:104] = True
    for patch in find_patches(unknown)[0]:
        assert patch.box.height == patch.box.width in SIDES_PX
        assert patch.box.intersection(Box.of(unknown)) == patch.box
        seen = patch.core.expanded(CONTEXT_PX, Box.of(unknown))
        assert patch.box.intersection(seen) == seen


def test_a_long_scratch_is_cut_into_cells() -> None:
    patches, rest = find_patches(diagonal_scratch(600))
    assert not rest.any()
    assert len(patches) > 10
    assert sum(patch.box.area for patch in patches) < 600**2 / 2


def test_thick_and_dense_damage_is_left_for_regions() -> None:
    hole = np.zeros((300, 300), dtype=bool)
    hole[100:160, 100:160] = True
    dense = np.zeros((300, 300), dtype=bool)
    dense[20:280:12, 20:280] = True
    for unknown in (hole, dense):
        patches, rest = find_patches(unknown)
        assert patches == []
        np.testing.assert_array_equal(rest, unknown)


def test_an_image_smaller_than_a_patch_has_none() -> None:
    unknown = np.zeros((24, 24), dtype=bool)
    unknown[10:13, 10:13] = True
    patches, rest = find_patches(unknown)
    assert patches == []
    assert rest.any()


def test_a_few_patches_of_one_side_join_a_larger_side() -> None:
    unknown = specks((400, 400), 60)
    unknown[200:220, 100:104] = True
    patches, _ = find_patches(unknown)
    stacks = in_stacks(patches, Box.of(unknown))
    assert sum(map(len, stacks.values())) == len(patches)
    for side, stack in stacks.items():
        assert all(patch.box.width == side for patch in stack)
        assert all(
            patch.core.intersection(patch.box) == patch.core and
            patch.box.intersection(Box.of(unknown)) == patch.box for patch in stack
        )  # fmt: skip
