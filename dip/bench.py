"""`dip bench`: how good, how fast, how large, over a folder of cases.

A case is an undamaged picture and a mask. What lies under the mask is blanked before anything
else sees the picture. Each restoration runs in a process of its own (`dip.bench_worker`); the
classical methods run here, in the same call. `dip.bench_report` turns the figures into a table,
and the pictures into a sheet; `dip.targets` holds what must be reached.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dip.arguments import add_fit_arguments, settings_from
from dip.circumstances import machine, versions
from dip.config import NETWORKS, Settings
from dip.errors import InputError, SettingError
from dip.presets import PRESETS
from dip.progress import say

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FORMAT = 1
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `dip bench`."""
    parser.add_argument(
        "--cases", type=Path, required=True, metavar="DIR", help="folder with a cases.json"
    )
    parser.add_argument(
        "--case", nargs="+", metavar="NAME", help="only these cases (default: all of them)"
    )
    parser.add_argument(
        "--network", choices=(*NETWORKS, "both"), default="unet", help="default: %(default)s"
    )
    parser.add_argument(
        "--preset",
        nargs="+",
        choices=PRESETS,
        default=["balanced"],
        help="one or several (default: balanced)",
    )
    parser.add_argument(
        "--seed",
        nargs="+",
        type=int,
        default=[0],
        metavar="N",
        help="several: the table shows medians, and the spread of the hole PSNR (default: 0)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help="draw all results into this picture (.png)"
    )
    parser.add_argument(
        "--targets",
        type=Path,
        metavar="FILE",
        help="JSON list of targets to judge by, instead of the built-in ones",
    )
    add_fit_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, report after every case, and return 1 where a restoration failed."""
    networks = list(NETWORKS) if args.network == "both" else [args.network]
    wanted = [
        settings_from(args, network=network, preset=preset, seed=seed)
        for network in networks
        for preset in dict.fromkeys(args.preset)
        for seed in dict.fromkeys(args.seed)
    ]
    cases = read_cases(args.cases, args.case)

    from dip import bench_report
    from dip.image_io import check_writable, write_pixels
    from dip.targets import TARGETS, read_targets

    targets = TARGETS if args.targets is None else read_targets(args.targets)
    for output in (args.json, args.sheet):
        if output is not None:
            check_writable(output)

    report = begin_report(wanted)
    rows = []
    stopped = False
    try:
        for measured in measure(cases, wanted):
            report["cases"][measured.case.name] = measured.figures
            report["targets"] = bench_report.judge(report, targets)
            report["not_judged"] = len(targets) - len(report["targets"])
            if args.json is not None:
                write_json(args.json, report)
            if args.sheet is not None:
                rows.append(bench_report.draw_row(measured))
    except KeyboardInterrupt:
        say("dip: stopped; what was measured so far follows")
        stopped = True
    if not report["cases"]:
        raise KeyboardInterrupt
    print(bench_report.table(report))
    if rows:
        write_pixels(args.sheet, bench_report.draw_sheet(rows))
    for output in (args.json, args.sheet):
        if output is not None and output.exists():
            print(output)
    failed = any("error" in each for case in report["cases"].values() for each in case["runs"])
    return 130 if stopped else int(failed)


# --- Cases --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Case:
    """One picture to damage and to restore.

    Parameters
    ----------
    name, kind : str
    image, mask : Path
        The mask is white where the picture is to be restored.
    truth : bool
        Whether the picture's own pixels under the mask are the right answer. Where they are not
        (an object is to be removed), the result is only looked at.
    hole_psnr_db, full_psnr_db : dict
        Figures that others have published, by their name.
    """

    name: str
    image: Path
    mask: Path
    truth: bool = True
    kind: str = ""
    hole_psnr_db: dict[str, float] = field(default_factory=dict)
    full_psnr_db: dict[str, float] = field(default_factory=dict)


def read_cases(folder: Path, names: Sequence[str] | None = None) -> list[Case]:
    """Read `cases.json` of a folder: {"cases": {name: {"image", "mask", "truth", ...}}}.

    Parameters
    ----------
    names : sequence of str, optional
        Only these cases.

    Raises
    ------
    InputError
        There is no such file, or it is not a list of cases.
    SettingError
        A name is not among the cases.
    """
    path = folder / "cases.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["cases"]
        cases = {
            name: Case(
                name=name,
                **{
                    **entry,
                    "image": folder / entry["image"],
                    "mask": folder / entry["mask"],
                },
            )
            for name, entry in entries.items()
        }
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Check --cases.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a list of cases: {type(error).__name__}: {error}.",
            'Such as {"cases": {"face": {"image": "face.png", "mask": "mask.png"}}}.',
        ) from error
    if unknown := [name for name in names or () if name not in cases]:
        raise SettingError(f"No case is named {unknown[0]}.", f"There are {', '.join(cases)}.")
    return [case for name, case in cases.items() if not names or name in names]


# --- Measuring ----------------------------------------------------------------------------------


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


def read_case(case: Case) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Return the truth as 8-bit samples without alpha, and what is unknown of it."""
    from dip.image_io import read_mask, read_photo
    from dip.mask import coverage_from

    truth = without_alpha(read_photo(case.image).pixels)
    return truth, coverage_from(read_mask(case.mask), truth.shape).unknown


def without_alpha(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return 8-bit samples, (H, W) for gray and (H, W, 3) for colour."""
    from dip.metrics import to_8_bit

    levels = to_8_bit(pixels)
    if levels.ndim == 2 or levels.shape[2] == 3:
        return levels
    return levels[..., :3] if levels.shape[2] == 4 else levels[..., 0]


def write_damaged(
    truth: npt.NDArray[np.uint8], unknown: npt.NDArray[np.bool_], folder: Path
) -> tuple[Path, Path]:
    """Write the picture with its unknown pixels blanked, and the mask: all that a fit may see."""
    import numpy as np

    from dip.image_io import write_pixels

    damaged = truth.copy()
    damaged[unknown] = 0
    photo, mask = folder / "damaged.png", folder / "mask.png"
    write_pixels(photo, damaged)
    write_pixels(mask, unknown.astype(np.uint8) * 255)
    return photo, mask


def measure_references(measured: Measured) -> None:
    """Run the classical methods, each timed."""
    from dip.reference import METHODS, ReferenceUnavailable

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

    from dip.bench_worker import RECONSTRUCTION, RESULT, SMOOTH, read_previews
    from dip.device import environment_for_cpu
    from dip.image_io import read_photo

    named = {"network": settings.network, "preset": settings.preset, "seed": settings.seed}
    with tempfile.TemporaryDirectory(dir=photo.parent) as place:
        folder = Path(place)
        command = [sys.executable, "-m", "dip.bench_worker", str(photo), str(mask), str(folder)]
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
    from dip.metrics import psnr_db

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
    from dip.metrics import psnr_db, ssim_around, texture_distance

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


# --- The report as data -------------------------------------------------------------------------


def begin_report(wanted: Sequence[Settings]) -> dict[str, Any]:
    """Describe the circumstances: without them a figure means little."""
    common = asdict(wanted[0])
    del common["network"], common["preset"], common["seed"]
    return {
        "format": FORMAT,
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": versions(),
        "machine": machine(),
        "settings": {
            **common,
            "networks": list(dict.fromkeys(each.network for each in wanted)),
            "presets": list(dict.fromkeys(each.preset for each in wanted)),
            "seeds": list(dict.fromkeys(each.seed for each in wanted)),
        },
        "cases": {},
        "targets": [],
        "not_judged": 0,
    }


def write_json(path: Path, report: dict[str, Any]) -> None:
    """Write the report; a file that is already there is replaced at once or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
