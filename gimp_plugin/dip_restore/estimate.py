"""How long a restoration takes, before it begins; as the page says it. No GIMP in here.

From the size of the damage, and from how long earlier ones took on the machine of the service.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import marks
import masks
from dip_client import default_data_dir

COSTS = {"fast": (6, 20), "balanced": (12, 100), "best": (40, 500)}
"""Seconds to begin with, and for each megapixel within reach of a mark, on two cores."""

_BLOCK_PX = 32  # damage needs its surroundings
_STEPS_S = (5, 10, 30, 60, 300, 600, 1800, 3600)
_MOST_LEARNED = 5


def reach_px(mask: bytes, width: int) -> int:
    """The number of pixels within 32 to 64 px of a mark, on a grid of squares."""
    blocks, columns = marks.reduced(mask.translate(masks.TO_BINARY), width, _BLOCK_PX)
    rows = [
        int.from_bytes(blocks[start : start + columns], "big")
        for start in range(0, len(blocks), columns)
    ]
    kept = (1 << 8 * columns) - 1
    wide = [row | row >> 8 | row << 8 & kept for row in rows]
    near = 0
    for number in range(len(wide)):
        above, below = wide[max(0, number - 1)], wide[min(len(wide) - 1, number + 1)]
        near += columns - (wide[number] | above | below).to_bytes(columns, "big").count(0)
    return min(near * _BLOCK_PX**2, len(mask))


def estimate_s(near_px: int, parameters: dict[str, Any]) -> float | None:
    """Seconds that a restoration takes; None where its recipe or its options allow no guess.

    Parameters
    ----------
    near_px : int
        See `reach_px`.
    parameters : dict
        Of the job: `preset`, `network`, `time_s`, `iterations`.
    """
    seconds = _predicted_s(near_px, parameters)
    if seconds is None:
        return None
    factors = [] if parameters["time_s"] else sorted(_speeds().get(parameters["preset"], []))
    return _rounded(seconds * (factors[len(factors) // 2] if factors else 1))


def learn(near_px: int, parameters: dict[str, Any], seconds: float | None) -> None:
    """Remember how long a restoration took that has ended by itself; None for another one."""
    predicted = _predicted_s(near_px, parameters)
    if not seconds or not predicted or parameters["time_s"]:
        return
    speeds, preset = _speeds(), parameters["preset"]
    speeds[preset] = [*speeds.get(preset, []), seconds / predicted][-_MOST_LEARNED:]
    with suppress(OSError):  # the next estimate is less good
        _file().write_text(json.dumps(speeds), encoding="utf-8")


def _predicted_s(near_px: int, parameters: dict[str, Any]) -> float | None:
    if parameters["preset"] not in COSTS or parameters["iterations"]:
        return None
    start_s, each_s = COSTS[parameters["preset"]]
    seconds = start_s + each_s * near_px / 1e6
    networks = 2 if parameters["network"] == "both" else 1
    return networks * min(seconds, parameters["time_s"] or seconds)


def _rounded(seconds: float) -> float:
    """Two digits of a duration would promise too much."""
    step = next((each for each in _STEPS_S if seconds < 12 * each), _STEPS_S[-1])
    return max(step, round(seconds / step) * step)


def _file() -> Path:
    return default_data_dir() / "gimp_speed.json"


def _speeds() -> dict[str, list[float]]:
    try:
        speeds: dict[str, list[float]] = json.loads(_file().read_text(encoding="utf-8"))
        return {name: [float(each) for each in list(speeds[name])] for name in speeds}
    except (OSError, ValueError, TypeError):
        return {}
