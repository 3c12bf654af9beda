"""Known pixels untouched, soft edges blended, tiles cross-faded."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dip.regions.box import Box
from dip.regions.composite import Canvas, composite
from dip.regions.region import Region
from dip.samples import to_samples

SOFT_MASK = hnp.arrays(np.float32, (6, 7), elements=st.sampled_from([0, 0.25, 0.5, 1]))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@given(soft_mask=SOFT_MASK, seed=st.integers(0, 1000))
def test_pixels_stay_where_the_soft_mask_is_0_and_are_replaced_where_it_is_1(
    dtype: str, soft_mask: npt.NDArray[np.float32], seed: int
) -> None:
    random = np.random.default_rng(seed)
    full = 1 if dtype == "float32" else np.iinfo(dtype).max
    target = (random.random((6, 7, 3)) * full).astype(dtype)
    fill = random.random((6, 7, 3)) * full
    result = composite(target, fill, soft_mask)
    assert result.dtype == target.dtype
    np.testing.assert_array_equal(result[soft_mask == 0], target[soft_mask == 0])
    np.testing.assert_array_equal(
        result[soft_mask == 1], to_samples(fill[soft_mask == 1], target.dtype)
    )


def test_a_soft_edge_blends() -> None:
    target, fill = np.full((1, 3, 1), 100, np.uint8), np.full((1, 3, 1), 200.0)
    result = composite(target, fill, np.array([[0, 0.25, 1]], np.float32))
    assert result.ravel().tolist() == [100, 125, 200]


def test_nan_is_ignored_where_it_is_replaced() -> None:
    target = np.full((1, 1, 1), np.nan, np.float32)
    assert composite(target, np.full((1, 1, 1), 0.3), np.ones((1, 1), np.float32))[0, 0, 0] == (
        pytest.approx(0.3)
    )


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([-3, 0.4, 0.6, 254.7, 300], "uint8", [0, 0, 1, 255, 255]),
        ([65535.4, 70000], "uint16", [65535, 65535]),
        ([-0.5, 1.5], "float32", [-0.5, 1.5]),
    ],
)
def test_samples_are_rounded_and_clipped(values: Any, dtype: str, expected: Any) -> None:
    samples = to_samples(np.array(values), np.dtype(dtype))
    assert samples.dtype == dtype
    assert samples.tolist() == pytest.approx(expected)


def region(left: int, width: int, *, tiled: bool) -> Region:
    core = Box(10, left, 20, width)
    return Region(box=core.expanded(16, Box(0, 0, 60, 200)), core=core, damage="thin", tiled=tiled)


def write(canvas: Canvas, where: Region, level: float, *, provisional: bool = False) -> None:
    fill = np.full((where.box.height, where.box.width, 1), level)
    canvas.write(where, fill, provisional=provisional)


def test_a_fit_replaces_the_first_fill_of_its_core() -> None:
    canvas = Canvas(np.zeros((60, 200, 1), np.uint8))
    everywhere = Box(0, 0, 60, 200)
    canvas.begin(everywhere, np.full((60, 200, 1), 30.0))
    write(canvas, region(40, 50, tiled=False), 80)
    pixels = canvas.crop(everywhere.slices)
    assert (pixels == 80).sum() == 20 * 50
    assert (pixels == 30).sum() == 60 * 200 - 20 * 50


def test_patches_are_blended_by_their_weights() -> None:
    canvas = Canvas(np.zeros((10, 10, 1), np.uint8))
    canvas.begin(Box(0, 0, 10, 10), np.full((10, 10, 1), 40.0))
    weight = np.array([[0, 0.25, 1]], np.float32)
    canvas.blend(Box(4, 2, 1, 3), np.full((1, 3, 1), 80.0), weight)
    row = canvas.crop((slice(4, 5), slice(1, 6))).ravel()
    assert row.tolist() == [40, 40, 50, 80, 40]


def test_tiles_fade_into_each_other() -> None:
    canvas = Canvas(np.zeros((60, 200, 1), np.uint8))
    write(canvas, region(40, 50, tiled=True), 50)
    write(canvas, region(90, 50, tiled=True), 150)
    row = canvas.crop(Box(20, 40, 1, 100).slices).ravel().astype(int)
    assert row[:30].tolist() == [50] * 30
    assert row[70:].tolist() == [150] * 30
    assert (np.diff(row) >= 0).all()
    assert np.diff(row).max() <= 10


def test_a_provisional_fill_is_undone() -> None:
    canvas = Canvas(np.zeros((60, 200, 1), np.uint8))
    first, second = region(40, 50, tiled=True), region(90, 50, tiled=True)
    everywhere = Box(0, 0, 60, 200).slices
    write(canvas, first, 50)
    before = canvas.crop(everywhere)
    write(canvas, second, 70, provisional=True)
    write(canvas, second, 150, provisional=True)
    write(canvas, first, 50)
    np.testing.assert_array_equal(before, canvas.crop(everywhere))
