"""Damage in a photo is found, and little else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dip.detection import SMALLEST_SIDE_PX, DamageMap, detect, finding
from dip.errors import DetectionCancelled, ImageTooSmall

pytestmark = pytest.mark.xdist_group("detection")  # they share a costly fixture

Floats = NDArray[np.float32]


@pytest.fixture(scope="module", params=[True, False], ids=["quick", "network"])
def found(request: pytest.FixtureRequest, damaged: Any) -> DamageMap:
    return detect(damaged.photo, quick=request.param)


def test_speck_hair_and_scratch_are_found(found: DamageMap, damaged: Any) -> None:
    marked = found.mask()
    for shape in (damaged.speck, damaged.hair, damaged.scratch):
        assert marked[shape].mean() > 0.8


def test_each_gets_its_kind_and_polarity(found: DamageMap, damaged: Any) -> None:
    for shape, kind in ((damaged.speck, 1), (damaged.hair, 3), (damaged.scratch, 4)):
        assert np.bincount(found.kind[shape]).argmax() == kind


def test_kind_is_zero_exactly_where_level_is(found: DamageMap) -> None:
    np.testing.assert_array_equal(found.kind > 0, found.level > 0)


def test_a_gray_photo_and_integers_will_do(damaged: Any) -> None:
    gray = np.rint(damaged.photo.mean(axis=2) * 65535).astype(np.uint16)
    assert detect(gray, quick=True).mask()[damaged.scratch].mean() > 0.8


def test_the_result_depends_neither_on_threads_nor_on_tiles(
    damaged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = detect(damaged.photo)
    monkeypatch.setattr(finding, "_TILE_PX", (64, 96))
    maps = []
    for number in (1, 3):
        monkeypatch.setattr(finding, "cores", lambda number=number: number)
        maps.append(detect(damaged.photo))
    np.testing.assert_array_equal(maps[0].level, maps[1].level)
    # A tile sees no further than its margin.
    np.testing.assert_array_equal(maps[0].mask(), whole.mask())
    assert np.abs(maps[0].level.astype(int) - whole.level).max() <= 16


def test_transparent_pixels_are_not_marked(damaged: Any) -> None:
    alpha = np.where(damaged.scratch, 0, 1).astype(np.float32)
    found = detect(np.dstack([damaged.photo, alpha]), quick=True)
    assert not found.level[damaged.scratch].any()
    assert found.mask()[damaged.speck].mean() > 0.8


def test_a_large_photo_is_searched_at_a_smaller_size(
    damaged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = damaged.photo.repeat(2, axis=0).repeat(2, axis=1)[:-1, :-1]
    monkeypatch.setattr(finding, "_WORKING_PIXELS", damaged.scratch.size)
    found = detect(large, quick=True)
    assert found.level.shape == large.shape[:2]
    scratch = damaged.scratch.repeat(2, axis=0).repeat(2, axis=1)[:-1, :-1]
    assert found.mask()[scratch].mean() > 0.8


def test_progress_rises_to_one(damaged: Any) -> None:
    told: list[float] = []
    detect(damaged.photo, quick=True, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1


def test_it_can_be_cancelled(damaged: Any) -> None:
    with pytest.raises(DetectionCancelled, match="cancelled"):
        detect(damaged.photo, quick=True, should_stop=lambda: True)


def test_a_photo_that_is_too_small_is_refused() -> None:
    with pytest.raises(ImageTooSmall, match=f"{SMALLEST_SIDE_PX} × {SMALLEST_SIDE_PX} or more"):
        detect(np.zeros((SMALLEST_SIDE_PX - 1, 200), np.float32), quick=True)


def test_a_flat_photo_has_no_damage() -> None:
    assert not detect(np.full((100, 120, 3), 0.5, np.float32), quick=True).level.any()
