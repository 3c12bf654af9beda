"""Measure each method on each case.

Each restoration runs in its own process (`dip.bench.worker`); the classical methods run here.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
"""Names of the figures that compare a run with the truth."""


@dataclass(frozen=True)
class Measured:
    """A case with its figures, and the pictures for the sheet."""

    case: Case
    figures: dict[str, Any]
    truth: npt.NDArray[np.uint8]
    unknown: npt.NDArray[np.bool_]
    references: dict[str, npt.NDArray[np.uint8]]
    results: dict[tuple[str, str, int], npt.NDArray[np.uint8]]  # by network, preset, seed


def measure(
    cases: Sequence[Case], runs: Sequence[Settings], others: Path | None = None
) -> Iterator[Measured]:
    """Run each method on each case, and yield the cases in order.

    `others` is a folder with results of other programs, `CASE/NAME.png`.
    """
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
        if others is not None:
            read_others(measured, others / case.name)
        with tempfile.TemporaryDirectory(prefix="dip-bench-") as folder:
            photo, mask = write_damaged(truth, unknown, Path(folder))
            for settings in runs:
                say(f"{case.name}: {settings.network} {settings.preset}, seed {settings.seed}")
                run = measure_run(measured, settings, photo, mask)
                figures["runs"].append(run)
                say(f"{case.name}: {summary_line(run)}")
        yield measured


def measure_references(measured: Measured) -> None:
    """Run and time the classical methods."""
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


def read_others(measured: Measured, folder: Path) -> None:
    """Score the results of other programs in a folder, each by the name of its file."""
    from dip.image_io import read_photo

    for path in sorted(folder.glob("*.png")):
        result = without_alpha(read_photo(path).pixels).reshape(measured.truth.shape)
        measured.references[path.stem] = result
        measured.figures["references"][path.stem] = score(measured, result)


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
        environment = {**environment_for_cpu(), **os.environ}
        status, output = _run_worker([*command, json.dumps(asdict(settings))], environment)
        seconds = time.perf_counter() - began
        if status == 128 + signal.SIGINT:
            raise KeyboardInterrupt
        try:
            report = json.loads(output.splitlines()[-1])
        except (IndexError, ValueError):
            message = f"The process ended with status {status}."
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


def _run_worker(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a worker that ends with this process, and return its exit status and its output."""
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,  # stays open as long as this process lives
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        try:
            output = child.stdout.read()
        except BaseException:
            child.kill()
            raise
    return child.returncode, output


def first_useful_s(
    measured: Measured,
    previews: Iterable[tuple[float, tuple[slice, slice], npt.NDArray[Any]]],
    began_at_s: float,
) -> float | None:
    """Return the time until the first useful preview.

    A preview is useful if it is nearer to the truth, at the unknown pixels, than the mean colour
    of the known pixels around them.

    Returns
    -------
    float or None
        Seconds since the start of the process; None without a useful preview or without a truth.
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
    """Compare a result with the truth; without a truth, each figure is None.

    `full_raw_psnr_db` scores the output of the networks before the known pixels are pasted back,
    as the paper does; outside the fitted regions that is the picture itself. `smooth_psnr_db` is
    the hole PSNR of the fill before texture is added.
    """
    from dip.bench.metrics import BEST_PSNR_DB, psnr_db, ssim_around, texture_distance

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


def summary_line(run: dict[str, Any]) -> str:
    """Summarise a run in one line."""
    if "error" in run:
        return f"failed: {run['error']['message']}"
    reached = run["hole_psnr_db"]
    quality = "" if reached is None else f"hole PSNR {reached:.2f} dB, "
    return f"{quality}{run['iterations']} iterations in {run['seconds']:.1f} s"
