"""Measuring: every method on every case.

Each restoration runs in a process of its own (`dip.bench.worker`); the classical methods run here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dip.bench.cases import Case, read_case, without_alpha, write_damaged
from dip.config import Settings
from dip.console import say

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

QUALITY = (
    "hole_psnr_db",
    "smooth_psnr_db",
    "full_psnr_db",
    "full_raw_psnr_db",
    "ssim_around",
    "texture_distance",
)
"""The figures of a run that compare it with the truth."""

BEST_PSNR_DB = 99.0  # a perfect result: JSON has no infinity


@dataclass(frozen=True)
class Measured:
    """A case with its figures, and with the pictures for the sheet."""

    case: Case
    figures: dict[str, Any]
    truth: npt.NDArray[np.uint8]
    unknown: npt.NDArray[np.bool_]
    references: dict[str, npt.NDArray[np.uint8]]
    results: dict[tuple[str, str, int], npt.NDArray[np.uint8]]  # by network, preset, seed


def measure(cases: Sequence[Case], wanted: Sequence[Settings]) -> Iterator[Measured]:
    """Run every method on every case; yield one case after the other."""
    for case in cases:
        say(f"{case.name}: classical methods")
        truth, unknown = read_case(case)
        height, width = unknown.shape
        figures: dict[str, Any] = {
            "kind": case.kind,
            "truth": case.truth,
            "height": height,
            "width": width,
            "channels": 1 if truth.ndim == 2 else truth.shape[2],
            "unknown_px": int(unknown.sum()),
            "published": {"hole_psnr_db": case.hole_psnr_db, "full_psnr_db": case.full_psnr_db},
            "references": {},
            "runs": [],
        }
        measured = Measured(case, figures, truth, unknown, {}, {})
        measure_references(measured)
        with tempfile.TemporaryDirectory(prefix="dip-bench-") as folder:
            photo, mask = write_damaged(truth, unknown, Path(folder))
            for settings in wanted:
                say(f"{case.name}: {settings.network} {settings.preset}, seed {settings.seed}")
                run = measure_run(measured, settings, photo, mask)
                figures["runs"].append(run)
                say(f"{case.name}: {in_short(run)}")
        yield measured


def measure_references(measured: Measured) -> None:
    """Run the classical methods, each timed."""
    from dip.bench.reference import METHODS, ReferenceUnavailable

    damaged = measured.truth.copy()
    damaged[measured.unknown] = 0
    for name, method in METHODS.items():
        began = time.perf_counter()
        try:
            result = method(damaged, measured.unknown)
        except ReferenceUnavailable as reason:
            measured.figures["references"][name] = {"skipped": str(reason)}
            say(f"{measured.case.name}: no {name}. {reason}")
            continue
        seconds = time.perf_counter() - began
        measured.references[name] = result
        measured.figures["references"][name] = {"seconds": seconds, **score(measured, result)}


def measure_run(measured: Measured, settings: Settings, photo: Path, mask: Path) -> dict[str, Any]:
    """Restore in a child process; return its figures, or its error."""
    import numpy as np

    from dip.bench.worker import RECONSTRUCTION, RESULT, SMOOTH, read_previews
    from dip.image_io import read_photo
    from dip.machine.device import environment_for_cpu

    named = {"network": settings.network, "preset": settings.preset, "seed": settings.seed}
    with tempfile.TemporaryDirectory(dir=photo.parent) as place:
        folder = Path(place)
        command = [sys.executable, "-m", "dip.bench.worker", str(photo), str(mask), str(folder)]
        began, began_at_s = time.perf_counter(), time.time()
        child = subprocess.run(
            [*command, json.dumps(asdict(settings))],
            env={**environment_for_cpu(), **os.environ},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - began
        if child.returncode == 130:
            raise KeyboardInterrupt
        try:
            report = json.loads(child.stdout.splitlines()[-1])
        except (IndexError, ValueError):
            message = f"The process ended with status {child.returncode}."
            return {**named, "error": {"code": "crashed", "message": message, "hint": ""}}
        if "error" in report:
            return {**named, "error": report["error"]}
        result = without_alpha(read_photo(folder / RESULT).pixels)
        raw, smooth = (
            np.load(folder / name).reshape(measured.truth.shape)
            for name in (RECONSTRUCTION, SMOOTH)
        )
        first_s = first_useful_s(measured, read_previews(folder), began_at_s)
    measured.results[settings.network, settings.preset, settings.seed] = result
    return {
        **named,
        "seconds": seconds,
        "first_preview_seconds": first_s,
        **report,
        **score(measured, result, raw, smooth),
    }


def first_useful_s(
    measured: Measured,
    previews: Iterable[tuple[float, tuple[slice, slice], npt.NDArray[Any]]],
    began_at_s: float,
) -> float | None:
    """Return how long it took until a preview was of use.

    Of use is one that comes nearer to the truth, under the mask, than the mean colour of the known
    pixels around does.

    Returns
    -------
    float or None
        s, since the process was started; None where none was, or where there is no truth.
    """
    from dip.bench.metrics import psnr_db

    if not measured.case.truth:
        return None
    for at_s, index, pixels in previews:
        truth, unknown = measured.truth[index], measured.unknown[index]
        flat = truth.copy()
        flat[unknown] = truth[~unknown].mean(axis=0)
        shown = without_alpha(pixels).reshape(truth.shape)
        if psnr_db(shown, truth, unknown) > psnr_db(flat, truth, unknown):
            return at_s - began_at_s
    return None


def score(
    measured: Measured,
    result: npt.NDArray[np.uint8],
    raw: npt.NDArray[np.float32] | None = None,
    smooth: npt.NDArray[np.float32] | None = None,
) -> dict[str, float | None]:
    """Compare a result with the truth; every figure is None where there is no truth.

    `full_raw_psnr_db` is that of the networks' own output, the known pixels not pasted back: what
    the paper scores. Where nothing was fitted it is the picture itself. `smooth_psnr_db` is the
    hole PSNR of the fill as it was before it got texture.
    """
    from dip.bench.metrics import psnr_db, ssim_around, texture_distance

    truth, unknown = measured.truth, measured.unknown
    figures: dict[str, float | None] = dict.fromkeys(QUALITY)
    if measured.case.truth:
        figures["hole_psnr_db"] = min(BEST_PSNR_DB, psnr_db(result, truth, unknown))
        figures["full_psnr_db"] = min(BEST_PSNR_DB, psnr_db(result, truth))
        if raw is not None:
            figures["full_raw_psnr_db"] = min(BEST_PSNR_DB, psnr_db(raw, truth))
        if smooth is not None:
            figures["smooth_psnr_db"] = min(BEST_PSNR_DB, psnr_db(smooth, truth, unknown))
        figures["ssim_around"] = ssim_around(result, truth, unknown)
        figures["texture_distance"] = texture_distance(result, truth, unknown)
    return figures


def in_short(run: dict[str, Any]) -> str:
    """Say in one line how a run went."""
    if "error" in run:
        return f"failed: {run['error']['message']}"
    reached = run["hole_psnr_db"]
    quality = "" if reached is None else f"hole PSNR {reached:.2f} dB, "
    return f"{quality}{run['iterations']} iterations in {run['seconds']:.1f} s"
