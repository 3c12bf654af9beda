"""The targets of `dip bench`, as data.

A target names a case, a run and a bound of one of its figures. `dip bench --targets FILE` uses the
table of a file instead of the table here.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dip.config import NETWORKS
from dip.errors import SettingError
from dip.presets import PRESETS

METRICS = {
    "hole_psnr_db": "hole PSNR",
    "smooth_psnr_db": "hole PSNR, smooth",
    "full_psnr_db": "full PSNR",
    "full_raw_psnr_db": "full PSNR, raw",
    "ssim_around": "SSIM around",
    "texture_distance": "texture distance",
    "seconds": "seconds",
    "first_preview_seconds": "first preview, s",
    "fit_seconds": "seconds of fitting",
    "peak_memory_mb": "peak MB",
}
"""The figures of a run that a target can bound, and their names on screen."""

RIVALS = ("opencv", "biharmonic", *PRESETS)

BY_EYE = {
    "library": "it looks like shelves, not like smears",
    "vase": "wall, door and table continue, and there is no ghost",
}
"""Criteria that figures cannot judge; the reader judges them on the sheet."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A bound of one figure of one run.

    Parameters
    ----------
    case, network, preset : str
        The run.
    metric : str
        A name in `METRICS`; with several seeds the median is judged.
    at_least : float or str, optional
        A number, or the name of a rival whose figure must be reached: 'opencv' (the better of its
        two methods), 'biharmonic', or another preset of the same network, which must be exceeded.
    at_most : float, optional
    device : str, optional
        'cpu', 'cuda' or 'mps', if the target is for that device only.
    """

    case: str
    network: str
    preset: str
    metric: str
    at_least: float | str | None = None
    at_most: float | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        known: dict[str, Collection[str | None]] = {
            "network": NETWORKS,
            "preset": PRESETS,
            "metric": METRICS,
            "device": (None, "cpu", "cuda", "mps"),
        }
        for name, choices in known.items():
            if getattr(self, name) not in choices:
                named = ", ".join(str(choice) for choice in choices)
                raise SettingError(
                    f"A target's {name} is {getattr(self, name)!r}.", f"Use one of {named}."
                )
        if (self.at_least is None) == (self.at_most is None):
            raise SettingError(
                f"The target for {self.case} has no bound, or two bounds.",
                "Give either at_least or at_most.",
            )
        if isinstance(self.at_least, str) and self.at_least not in RIVALS:
            raise SettingError(
                f"A target's at_least is {self.at_least!r}.",
                f"Use a number or one of {', '.join(RIVALS)}.",
            )


def read_targets(path: Path) -> tuple[Target, ...]:
    """Read a JSON list of objects with the fields of `Target`.

    Raises
    ------
    SettingError
        The file is not such a list; the message names the error.
    """
    try:
        entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(entries, list):
            raise TypeError("it must begin with [")
        names = {field.name for field in fields(Target)}
        for entry in entries:
            if unknown := sorted(set(entry) - names):
                raise SettingError(
                    f"{path} has a target with {', '.join(unknown)}.",
                    f"Use only {', '.join(sorted(names))}.",
                )
        return tuple(Target(**entry) for entry in entries)
    except OSError as error:
        raise SettingError(
            f"{path} cannot be read: {error.strerror}.", "Check its name."
        ) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise SettingError(
            f"{path} is not a list of targets: {error}.",
            'Write, for example, [{"case": "face_text", "network": "unet", "preset": "balanced", '
            '"metric": "hole_psnr_db", "at_least": 36}].',
        ) from error


# --- The table ----------------------------------------------------------------------------------

_HOLES = ("face_square", "face_text", "landscape_square", "landscape_text", "kate", "library")
_LARGE_HOLES = ("face_square", "landscape_square", "library")
"""These get texture, which lowers PSNR, so they are judged with and without it."""
_HALVES = ("barbara", "house", "peppers")

_UNET_HOLE_PSNR_DB = {
    "face_square": 30.5,
    "face_text": 36.0,
    "landscape_square": 18.5,
    "landscape_text": 18.5,
    "kate": 32.0,
    "library": 14.5,
}
# The published SegNet's own figures.
_SEGNET_HOLE_PSNR_DB = {
    "face_square": 29.03,
    "face_text": 34.38,
    "landscape_square": 15.98,
    "landscape_text": 17.58,
}
# The paper's table 1 has 32.22, 39.16 and 33.05, after 11 000 iterations.
_UNET_FULL_PSNR_DB = {"barbara": 32.2, "house": 38.0, "peppers": 33.0}


def _table() -> tuple[Target, ...]:
    def target(case: str, preset: str, metric: str, network: str = "unet", **bound: Any) -> Target:
        return Target(case=case, network=network, preset=preset, metric=metric, **bound)

    table = []
    bounds = {"unet": _UNET_HOLE_PSNR_DB, "segnet": _SEGNET_HOLE_PSNR_DB}
    for network, at_least in bounds.items():
        for case, psnr_db in at_least.items():
            table.append(target(case, "balanced", "hole_psnr_db", network, at_least=psnr_db))
            if case in _LARGE_HOLES:
                table.append(target(case, "balanced", "smooth_psnr_db", network, at_least=psnr_db))
    for case, psnr_db in _UNET_FULL_PSNR_DB.items():
        table.append(target(case, "balanced", "full_raw_psnr_db", at_least=psnr_db))
        table.append(target(case, "balanced", "full_psnr_db", at_least=psnr_db))
    for network in NETWORKS:
        for case in _HOLES:
            for device, metric, at_most in (
                ("cpu", "seconds", 60),  # two cores, start-up included
                ("cuda", "fit_seconds", 1.5),  # an H100-class card, after start-up
            ):
                table.append(
                    target(case, "balanced", metric, network, at_most=at_most, device=device)
                )
        for case in _HALVES:
            table.append(target(case, "balanced", "seconds", network, at_most=300, device="cpu"))
    for case in _HOLES + _HALVES:
        # Start-up included.
        table.append(target(case, "balanced", "first_preview_seconds", at_most=3))
        table.append(target(case, "fast", "seconds", at_most=15, device="cpu"))
        table.append(target(case, "fast", "hole_psnr_db", at_least="opencv"))
        quality = "smooth_psnr_db" if case in _LARGE_HOLES else "hole_psnr_db"
        table.append(target(case, "best", quality, at_least="balanced"))
        if case in _LARGE_HOLES:
            table.append(target(case, "fast", quality, at_least="opencv"))
        table.append(target(case, "best", "seconds", at_most=600, device="cpu"))
    return tuple(table)


TARGETS = _table()
