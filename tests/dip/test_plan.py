"""The plan of a restoration: regions within memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dip.config import Settings
from dip.errors import NotEnoughMemory
from dip.fitting.memory import BASE_MB
from dip.machine import device
from dip.plan import Plan, plan


def plan_for(unknown: NDArray[np.bool_], **settings: Any) -> Plan:
    return plan(
        unknown,
        Settings(**settings),
        channels=3,
        image_bytes=3 * unknown.size,
        compute=device.choose("cpu"),
        threads=2,
    )


def test_a_limit_of_memory_makes_regions_smaller() -> None:
    unknown = np.zeros((768, 1024), dtype=bool)
    unknown[::17, 20:-20] = True
    limit_mb = round(BASE_MB) + 150
    free = plan_for(unknown, iterations=1)
    limited = plan_for(unknown, iterations=1, max_memory_mb=limit_mb)
    assert limited.memory_mb < limit_mb + 20 < free.memory_mb
    assert len(limited.regions) > len(free.regions)
    assert limited.iterations == len(limited.regions)
    assert "overlapping tiles" in limited.notes[0]


def test_specks_in_little_memory_are_fitted_in_smaller_groups_and_a_note_says_so() -> None:
    unknown = np.zeros((768, 1024), dtype=bool)
    for row in range(30, 740, 60):
        for column in range(30, 1000, 60):
            unknown[row : row + 4, column : column + 4] = True
    limited = plan_for(unknown, max_memory_mb=round(BASE_MB) + 90)
    free = plan_for(unknown)
    assert limited.stack_pixels < free.stack_pixels
    assert limited.memory_mb < BASE_MB + 110
    assert limited.iterations > free.iterations
    assert "specks are fitted in smaller groups" in limited.notes[0]
    assert free.notes == ()


def test_the_error_for_too_little_memory_names_both_numbers() -> None:
    unknown = np.zeros((64, 64), dtype=bool)
    unknown[30:34, 10:50] = True
    with pytest.raises(NotEnoughMemory, match=r"100 MB.*takes about \d+ MB"):
        plan_for(unknown, max_memory_mb=100)


@pytest.mark.parametrize(
    ("preset", "count"), [("fast", 2), ("balanced", 2), ("best", 1), ("paper", 1)]
)
def test_a_region_is_halved_only_where_the_halves_share_the_cores(preset: str, count: int) -> None:
    """The published recipe fits it whole; runs of `best` share the cores themselves."""
    unknown = np.zeros((400, 600), dtype=bool)
    unknown[50:350:7, 20:580] = True
    planned = plan_for(unknown, preset=preset)
    assert len(planned.regions) == count
    assert len(planned.side_by_side) == (count if count == 2 else 0)
