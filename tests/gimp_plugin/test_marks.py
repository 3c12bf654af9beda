"""Marks as bytes: what the plug-in makes of levels is what the engine makes of them."""

from __future__ import annotations

import time
from typing import Any

import marks
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marks import Levels
from scipy import ndimage

from dip.detection import KINDS, DamageMap
from dip.regions.rules import DAMAGE_KINDS


@st.composite
def maps(draw: st.DrawFn) -> DamageMap:
    """Blotches of all sizes and kinds."""
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    random = np.random.default_rng(draw(st.integers(0, 999)))
    blotches = ndimage.uniform_filter(random.random((height, width)), draw(st.integers(1, 3)))
    spread = blotches.max() - blotches.min() + 1e-9
    level = (300 * (blotches - blotches.min()) / spread - 60).clip(0, 255)
    kind = random.integers(1, 7, (height, width))
    return DamageMap(
        level=level.astype(np.uint8), kind=np.where(level >= 1, kind, 0).astype(np.uint8)
    )


def levels_of(damage: DamageMap) -> Levels:
    height, width = damage.level.shape
    return Levels(width, height, damage.level.tobytes(), damage.kind.tobytes())


def as_bool(mask: bytes, width: int) -> Any:
    assert set(mask) <= {0, 255}
    return np.frombuffer(mask, np.uint8).reshape(-1, width) > 0


@settings(max_examples=150, deadline=None)
@given(
    damage=maps(),
    sensitivity=st.floats(0, 1),
    kinds=st.lists(st.sampled_from(KINDS), unique=True, min_size=1),
    largest=st.none() | st.integers(1, 12),
)
def test_marks_and_their_number_are_the_engines(
    damage: DamageMap, sensitivity: float, kinds: list[str], largest: int | None
) -> None:
    levels = levels_of(damage)
    codes = [code for kind in kinds for code in DAMAGE_KINDS[kind]]
    mask = marks.marked(levels.only(codes), sensitivity)
    if largest is not None:
        mask = marks.without_larger(mask, levels.width, largest)
    expected = damage.mask(sensitivity, kinds, largest)
    np.testing.assert_array_equal(as_bool(mask, levels.width), expected)
    assert len(marks.boxes(mask, levels.width)) == damage.count(sensitivity, kinds, largest)
    assert marks.share(mask) == pytest.approx(expected.mean())


@settings(max_examples=60, deadline=None)
@given(damage=maps(), factor=st.integers(1, 9))
def test_a_reduced_mask_keeps_every_mark(damage: DamageMap, factor: int) -> None:
    levels = levels_of(damage)
    small, width = marks.reduced(marks.marked(levels.level, 0.7), levels.width, factor)
    full = damage.mask(0.7)
    padded = np.pad(full, [(0, -side % factor) for side in full.shape])
    expected = padded.reshape(
        padded.shape[0] // factor, factor, padded.shape[1] // factor, factor
    ).any(axis=(1, 3))
    np.testing.assert_array_equal(as_bool(small, width), expected)


def test_transparent_pixels_are_left_out() -> None:
    levels = Levels(3, 1, bytes([255, 200, 9]), bytes([1, 1, 1]))
    assert levels.without(bytes([0, 255, 0])).level == bytes([255, 0, 9])


def test_a_slider_is_fast_on_24_megapixels() -> None:
    """At the speed of bytes; a loop over the pixels would take a hundred times as long."""
    width, height = 6000, 4000
    levels = Levels(width, height, b"\0\0\0\0\0\0\0\xc8" * (width * height // 8), bytes(1))
    began = time.process_time()
    small, _ = marks.reduced(marks.marked(levels.level, 0.5), width, 10)
    seconds = time.process_time() - began
    print(f"{seconds:.3f} s")
    assert small.count(0) == 0
    assert seconds < 2
