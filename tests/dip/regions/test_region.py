"""Regions: the damage and its context."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dip.config import Damage
from dip.regions.box import Box, tight_box
from dip.regions.region import TILE_OVERLAP_PX, Region, plan_regions

FRAME = Box(0, 0, 200, 300)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    top, left = draw(st.integers(0, 190)), draw(st.integers(0, 290))
    height, width = draw(st.integers(1, 200 - top)), draw(st.integers(1, 300 - left))
    return Box(top, left, height, width)


@st.composite
def damages(draw: st.DrawFn) -> npt.NDArray[np.bool_]:
    unknown = np.zeros((200, 300), dtype=bool)
    for box in draw(st.lists(boxes(), min_size=1, max_size=5)):
        unknown[box.top : box.top + 40, box.left : box.left + 60] = True
    return unknown


def limit(pixels: int) -> dict[Damage, int]:
    return {"thin": pixels, "hole": pixels, "scattered": pixels}


def covers(outer: Box, inner: Box) -> bool:
    return outer.union(inner) == outer


@given(boxes(), boxes())
def test_union_and_intersection(one: Box, other: Box) -> None:
    assert covers(one.union(other), one)
    assert one.union(other) == other.union(one)
    shared = one.intersection(other)
    canvas = np.zeros((200, 300), dtype=int)
    canvas[one.slices] += 1
    canvas[other.slices] += 1
    assert shared.area == np.count_nonzero(canvas == 2)


@given(boxes(), st.integers(0, 50))
def test_an_expanded_box_stays_inside_the_limits(box: Box, margin: int) -> None:
    grown = box.expanded(margin, FRAME)
    assert covers(grown, box)
    assert covers(FRAME, grown)


@given(boxes(), hnp.arrays(np.uint8, (200, 300)))
def test_pasting_a_crop_changes_nothing(box: Box, image: npt.NDArray[np.uint8]) -> None:
    pasted = image.copy()
    pasted[box.slices] = image[box.slices].copy()
    np.testing.assert_array_equal(pasted, image)
    outer = box.expanded(10, FRAME)
    np.testing.assert_array_equal(image[outer.slices][box.within(outer)], image[box.slices])


def test_a_tight_box_touches_the_damage_on_all_sides() -> None:
    unknown = np.zeros((50, 60), dtype=bool)
    unknown[7, 9] = unknown[20, 31] = True
    assert tight_box(unknown, Box.of(unknown)) == Box(7, 9, 14, 23)
    assert tight_box(unknown, Box(30, 0, 20, 60)) is None


@given(damages(), st.sampled_from([15_000, 30_000, 10**6]))
def test_each_unknown_pixel_is_in_a_core(unknown: npt.NDArray[np.bool_], max_pixels: int) -> None:
    regions = plan_regions(unknown, max_pixels=limit(max_pixels))
    in_core = np.zeros_like(unknown)
    for region in regions:
        in_core[region.core.slices] = True
        assert covers(region.box, region.core)
        assert covers(FRAME, region.box)
        assert (~unknown[region.box.slices]).any() or unknown.all()
    assert in_core[unknown].all()
    assert regions == sorted(regions, key=lambda region: region.core)


@given(damages())
def test_regions_stay_within_the_limit(unknown: npt.NDArray[np.bool_]) -> None:
    for region in plan_regions(unknown, max_pixels=limit(40_000)):
        assert region.fitted_pixels <= 1.1 * 40_000


def test_distant_damage_gets_separate_regions() -> None:
    unknown = np.zeros((1000, 1500), dtype=bool)
    unknown[50:53, 100:200] = True
    unknown[900:940, 1300:1303] = True
    regions = plan_regions(unknown, max_pixels=limit(10**6))
    assert len(regions) == 2
    assert sum(region.fitted_pixels for region in regions) < 0.06 * unknown.size


def test_near_damage_shares_a_region() -> None:
    unknown = np.zeros((300, 300), dtype=bool)
    unknown[100:103, 100:200] = True
    unknown[130:133, 100:200] = True
    assert len(plan_regions(unknown, max_pixels=limit(10**6))) == 1


def test_a_hole_gets_more_context_than_a_scratch() -> None:
    scratch, hole = np.zeros((2, 800, 800), dtype=bool)
    scratch[400:404, 380:420] = True
    hole[380:420, 380:420] = True
    (thin,), (large,) = (plan_regions(each, max_pixels=limit(10**6)) for each in (scratch, hole))
    assert (thin.damage, large.damage) == ("thin", "hole")
    assert large.box.area > 2 * thin.box.area


def test_long_thin_damage_is_cut_into_tiles_that_overlap() -> None:
    unknown = np.zeros((200, 3000), dtype=bool)
    unknown[100:104, 10:2990] = True
    regions = plan_regions(unknown, max_pixels=limit(100_000))
    assert len(regions) > 2
    assert all(region.tiled for region in regions)
    for left, right in pairwise(regions):
        assert left.box.right - right.core.left >= TILE_OVERLAP_PX


def test_a_large_region_of_thin_damage_is_halved_for_two_cores() -> None:
    unknown = np.zeros((300, 500), dtype=bool)
    unknown[50:250:20, 20:480] = True
    left, right = plan_regions(unknown, max_pixels=limit(10**6))
    assert left.tiled
    assert right.tiled
    assert left.fitted_pixels == pytest.approx(right.fitted_pixels, rel=0.05)
    (small,) = plan_regions(unknown[:150, :250], max_pixels=limit(10**6))
    assert not small.tiled


def test_a_hole_above_the_limit_is_fitted_at_reduced_size() -> None:
    unknown = np.zeros((1000, 1000), dtype=bool)
    unknown[300:700, 300:700] = True
    (region,) = plan_regions(unknown, max_pixels=limit(250_000))
    assert region.reduction == 2
    assert region.fitted_pixels == 250_000


def test_each_kind_of_damage_has_its_own_limit() -> None:
    scratch, hole = np.zeros((2, 600, 600), dtype=bool)
    scratch[300:304, 100:500] = True
    hole[270:330, 270:330] = True
    limits: dict[Damage, int] = {"thin": 10**6, "hole": 50_000, "scattered": 10**6}
    (thin,), (large,) = (plan_regions(each, max_pixels=limits) for each in (scratch, hole))
    assert thin.reduction == 1
    assert large.reduction > 1
    assert large.fitted_pixels <= 50_000 * 1.05


def test_the_context_of_damage_in_a_corner_is_clipped() -> None:
    unknown = np.zeros((100, 100), dtype=bool)
    unknown[:5, :5] = True
    (region,) = plan_regions(unknown, max_pixels=limit(10**6))
    assert region == Region(box=region.box, core=Box(0, 0, 5, 5), damage="thin")
    assert (region.box.top, region.box.left) == (0, 0)
