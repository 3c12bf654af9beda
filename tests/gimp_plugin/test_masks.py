"""Masks as bytes, compared with numpy and with the engine's regions."""

from __future__ import annotations

import masks
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from masks import Rect

from dip.regions.region import plan_regions

DAMAGE = arrays(
    np.uint8,
    array_shapes(min_dims=2, max_dims=2, max_side=24),
    elements=st.sampled_from((0, 9, 255)),
)


@given(DAMAGE)
def test_bounds_enclose_the_values_that_are_not_zero(damage: np.ndarray) -> None:
    found = masks.bounds(damage.tobytes(), damage.shape[1])
    rows, columns = np.nonzero(damage)
    if rows.size == 0:
        assert found is None
    else:
        left, top = int(columns.min()), int(rows.min())
        assert found == Rect(left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top)


@given(DAMAGE, st.data())
def test_a_crop_is_a_slice(damage: np.ndarray, data: st.DataObject) -> None:
    height, width = damage.shape
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    part = Rect(x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
    cut = masks.crop(damage.tobytes(), width, part)
    assert cut == damage[y : y + part.height, x : x + part.width].tobytes()


@given(DAMAGE, st.data())
def test_padding_a_crop_keeps_it_and_adds_zeros(damage: np.ndarray, data: st.DataObject) -> None:
    height, width = damage.shape
    above, left, below, right = (data.draw(st.integers(0, 3)) for _ in range(4))
    box = Rect(5, 7, width, height)
    outer = Rect(5 - left, 7 - above, left + width + right, above + height + below)
    padded = np.pad(damage, ((above, below), (left, right)))
    assert masks.pad(damage.tobytes(), box, outer) == padded.tobytes()


@given(DAMAGE, st.data())
def test_an_intersection_is_the_damage_of_both(damage: np.ndarray, data: st.DataObject) -> None:
    one = np.where(damage > 16, 255, 0).astype(np.uint8)
    other = np.roll(one, data.draw(st.integers(0, one.size)))
    assert masks.intersection(one.tobytes(), other.tobytes()) == (one & other).tobytes()


@given(DAMAGE)
def test_faint_coverage_counts_as_known(damage: np.ndarray) -> None:
    assert masks.known_pixels(damage.tobytes()) == np.count_nonzero(damage <= 16)
    assert masks.damaged_pixels(damage.tobytes()) == np.count_nonzero(damage > 16)


@given(DAMAGE, st.sampled_from((254, 255)))
def test_opaque_outside_means_that_known_pixels_are_opaque(damage: np.ndarray, alpha: int) -> None:
    around = np.full_like(damage, 255)
    around[damage > 16] = 0
    around[0, 0] = min(alpha, around[0, 0])
    expected = bool((around[damage <= 16] == 255).all())
    assert masks.is_opaque_outside(around.tobytes(), damage.tobytes()) is expected


@pytest.mark.parametrize(
    ("margin", "expected"), [(0, (5, 5, 4, 4)), (3, (2, 2, 10, 8)), (50, (0, 0, 20, 10))]
)
def test_a_rectangle_grows_up_to_its_limits(
    margin: int, expected: tuple[int, int, int, int]
) -> None:
    assert Rect(5, 5, 4, 4).grown(margin, Rect(0, 0, 20, 10)) == expected


def test_a_rectangle_outside_the_limits_is_cut_to_nothing() -> None:
    assert Rect(30, 0, 5, 5).cut(Rect(0, 0, 20, 10)).area == 0


@st.composite
def damages(draw: st.DrawFn) -> np.ndarray:
    """Scratches and holes in a large image."""
    damage = np.zeros((400, 500), dtype=np.uint8)
    for _ in range(draw(st.integers(1, 4))):
        top, left = draw(st.integers(0, 390)), draw(st.integers(0, 490))
        height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))
        if draw(st.booleans()):
            damage[top : top + height, left : left + width] = 255
        else:
            for step in range(max(height, width)):
                damage[min(top + step, 399) : top + step + 3, min(left + step, 499)] = 255
    return damage


@settings(max_examples=60)
@given(damages())
def test_the_crop_contains_the_regions_of_the_engine(damage: np.ndarray) -> None:
    """So that a crop gives the same result as the whole photograph."""
    if damage.any():
        box = masks.bounds(damage.tobytes(), 500)
        assert box is not None
        whole = Rect(0, 0, 500, 400)
        margin = masks.context_px(damage.tobytes(), 500, box.touches(whole))
        sent = box.grown(margin, whole)
        for region in plan_regions(
            damage > 0, max_pixels=dict.fromkeys(("thin", "hole", "scattered"), 10_000_000)
        ):
            assert region.box.left >= sent.x
            assert region.box.top >= sent.y
            assert region.box.right <= sent.x + sent.width
            assert region.box.bottom <= sent.y + sent.height
