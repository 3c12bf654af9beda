"""The estimate of the time before a restoration: as the page makes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import estimate
import pytest
from estimate import estimate_s, learn, reach_px

import server

PAGE = Path(server.__file__).parent / "static" / "job" / "estimate.js"


@pytest.fixture(autouse=True)
def nothing_learned(data_dir: Path) -> None:
    data_dir.mkdir()


def options(**changed: Any) -> dict[str, Any]:
    return {"preset": "balanced", "network": "unet", "time_s": None, "iterations": None, **changed}


def test_the_costs_are_those_of_the_page() -> None:
    script = PAGE.read_text(encoding="utf-8")
    costs = re.findall(r"(\w+): \[(\d+), (\d+)\]", script.partition("COSTS")[2].partition(";")[0])
    assert {name: (int(start), int(each)) for name, start, each in costs} == estimate.COSTS


def test_pixels_within_reach_of_the_marks_count() -> None:
    mask = bytearray(320 * 320)
    assert reach_px(bytes(mask), 320) == 0
    mask[160 * 320 + 160] = 255
    assert reach_px(bytes(mask), 320) == 96 * 96  # its square of 32 px, and the eight around it
    mask[0] = 255
    assert reach_px(bytes(mask), 320) == 96 * 96 + 64 * 64
    assert reach_px(b"\xff" * 400, 20) == 400  # no more than there are


def test_the_estimate_follows_quality_networks_and_the_limit() -> None:
    assert estimate_s(1_000_000, options()) == 110
    assert estimate_s(1_000_000, options(preset="fast")) == 25
    assert estimate_s(1_000_000, options(preset="fast", network="both")) == 50
    assert estimate_s(1_000_000, options(time_s=60.0)) == 60
    assert estimate_s(24_000_000, options()) == 2400
    assert estimate_s(1_000_000, options(preset="paper")) is None
    assert estimate_s(1_000_000, options(iterations=7)) is None


def test_it_learns_from_restorations_that_have_ended_by_themselves(data_dir: Path) -> None:
    for seconds in (224.0, None, 336.0, 336.0):  # None: it was stopped
        learn(1_000_000, options(), seconds)
    assert estimate_s(1_000_000, options()) == 330
    assert estimate_s(1_000_000, options(preset="fast")) == 25
    (data_dir / "gimp_speed.json").write_text("[1")  # damaged
    assert estimate_s(1_000_000, options()) == 110
