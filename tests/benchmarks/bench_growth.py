"""Measure how the cost of `dip restore` grows with the photo, the damage and its number of regions.

    python tests/benchmarks/bench_growth.py --json growth.json --plots DIR [--quick]

Each point runs `dip restore` on real files in its own process, with the peak memory that the system
reports. The file is written after each point. A stopped run continues where it ended, if program,
machine and settings are the same. All series take about half an hour on two quiet cores, and 2 GB
of temporary files.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from growth_photos import (
    Painter,
    hole,
    photo,
    scratches,
    specks_and_hairs,
    written_block,
)
from growth_report import MAX_MEMORY_MB, draw_all, findings, summary_line, table

from dip.bench.circumstances import machine, versions
from dip.commands.bench import write_json
from dip.console import say
from dip.image_io import write_photo
from dip.machine.device import environment_for_cpu

FORMAT = 1
WORKER = Path(__file__).with_name("growth_worker.py")


@dataclass(frozen=True, kw_only=True)
class Point:
    """One run: a photo and its damage.

    Parameters
    ----------
    size : (width, height)
        px
    damage : Painter
    form : str
        'png' (8 bit) or 'tif' (16 bit).
    """

    size: tuple[int, int]
    damage: Painter
    form: str = "png"


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points in which one figure grows.

    Parameters
    ----------
    title : str
    x : str
        Name of the figure that grows.
    x_label : str
    points : sequence of Point
    promise : str
        The expectation, in words.
    """

    title: str
    x: str
    x_label: str
    points: Sequence[Point]
    promise: str


# --- Series -------------------------------------------------------------------------------------

SIZES = {1: (1224, 816), 6: (3000, 2000), 24: (6000, 4000), 100: (12288, 8192)}
"""Width and height by megapixels."""


def series(*, quick: bool) -> dict[str, Series]:
    """Return the series; `quick`: only small points, in a minute."""
    sizes = [(640, 448), (1224, 816)] if quick else list(SIZES.values())
    middle, wide, largest = [sizes[-1]] * 3 if quick else sizes[1:]
    counts = (1, 2) if quick else (1, 5, 10, 25, 50)
    blocks_px = (96, 192) if quick else (200, 400, 600, 800, 1200)
    sides_px = (32, 48) if quick else (50, 100, 150, 200, 300)
    most = 2 if quick else 50
    return {
        "image": Series(
            title="One scratch in ever larger photos",
            x="megapixels",
            x_label="megapixels of the photo",
            points=[Point(size=size, damage=partial(scratches, count=1)) for size in sizes],
            promise="flat but for reading and writing",
        ),
        "writing": Series(
            title="An ever larger block of writing",
            x="damaged_kpx",
            x_label="thousand damaged pixels",
            points=[
                Point(size=middle, damage=partial(written_block, side_px=side))
                for side in blocks_px
            ],
            promise="linear or better",
        ),
        "hole": Series(
            title="An ever larger square hole",
            x="damaged_kpx",
            x_label="thousand damaged pixels",
            points=[Point(size=middle, damage=partial(hole, side_px=side)) for side in sides_px],
            promise="linear or better",
        ),
        "regions": Series(
            title="More and more scratches, far from each other",
            x="regions",
            x_label="regions and patches",
            points=[Point(size=wide, damage=partial(scratches, count=count)) for count in counts],
            promise="time linear, memory flat",
        ),
        "spots": Series(
            title="More and more specks",
            x="regions",
            x_label="specks",
            points=[
                Point(size=wide, damage=partial(specks_and_hairs, specks=specks))
                for specks in ((10, 40) if quick else (10, 100, 1000, 3000, 10_000))
            ],
            promise="time linear in the specks that need a network, or better",
        ),
        "limit": Series(
            title=f"{most} scratches in {largest[0] * largest[1] / 1e6:.3g} megapixels",
            x="bits",
            x_label="bits a sample",
            points=[
                Point(size=largest, damage=partial(scratches, count=most), form=form)
                for form in ("png", "tif")
            ],
            promise=f"peak memory below {MAX_MEMORY_MB / 1000:.0f} GB",
        ),
    }


# --- Measuring ----------------------------------------------------------------------------------


def measure(point: Point, folder: Path, options: Sequence[str]) -> dict[str, Any]:
    """Run `dip restore` once; raise if it fails."""
    width, height = point.size
    source, mask, result = (folder / f"{n}.{point.form}" for n in ("photo", "mask", "result"))
    mask = mask.with_suffix(".png")
    write_photo(source, photo(point.size, point.form))
    unknown = point.damage(point.size)
    write_photo(mask, unknown.astype(np.uint8) * 255)
    began = time.perf_counter()
    child = subprocess.run(
        [
            *(sys.executable, str(WORKER), "restore", str(source), "--mask", str(mask)),
            *("-o", str(result), "--quiet", *options),
        ],
        env={**environment_for_cpu(), **os.environ},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - began
    figures = json.loads(child.stdout.splitlines()[-1])
    apart_s = figures["reading_s"] + figures["writing_s"]
    return {
        "megapixels": width * height / 1e6,
        "damaged_kpx": int(unknown.sum()) / 1e3,
        "bits": 8 if point.form == "png" else 16,
        "seconds": seconds,
        "seconds_but_files": seconds - apart_s,
        **figures,
    }


def circumstances(options: Sequence[str], *, quick: bool) -> dict[str, Any]:
    """Return versions, machine and options; figures in one file share them."""
    return {
        "versions": versions(),
        "machine": machine(),
        "options": list(options),
        "quick": quick,
    }


def begin(path: Path, now: dict[str, Any]) -> dict[str, Any]:
    """Return the report in a file if its circumstances are the same, else an empty report."""
    empty = {"format": FORMAT, **now, "series": {}}
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return empty
    if {key: report.get(key) for key in (*now, "format")} != {**now, "format": FORMAT}:
        say(f"{path} has another program, machine or settings: measuring starts again")
        return empty
    return report


def run(
    path: Path, wanted: dict[str, Series], report: dict[str, Any], options: Sequence[str]
) -> None:
    """Measure the points that the report lacks, and write the report after each point."""
    for name, each in wanted.items():
        done = report["series"].setdefault(
            name, {"title": each.title, "x": each.x, "promise": each.promise, "points": []}
        )["points"]
        for number, point in enumerate(each.points):
            if number < len(done):
                continue
            say(f"{each.title}: {number + 1} of {len(each.points)}")
            with tempfile.TemporaryDirectory(prefix="dip-growth-") as folder:
                done.append(measure(point, Path(folder), options))
            say(f"    {summary_line(done[-1])}")
            write_json(path, report)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the fits."""
    parser.add_argument("--preset", default="balanced", help="default: %(default)s")
    parser.add_argument("--iterations", type=int, metavar="N", help="instead of the preset's")
    parser.add_argument("--quick", action="store_true", help="tiny pictures, to test the script")


def fit_options(args: argparse.Namespace) -> list[str]:
    """The options for `dip restore`."""
    iterations = [] if args.iterations is None else ["--iterations", str(args.iterations)]
    return ["--preset", args.preset, *iterations]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, required=True, metavar="FILE")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw the curves there")
    parser.add_argument("--series", nargs="+", metavar="NAME", help="only these (default: all)")
    add_arguments(parser)
    args = parser.parse_args()
    options = fit_options(args)
    wanted = series(quick=args.quick)
    report = begin(args.json, circumstances(options, quick=args.quick))
    chosen = {name: each for name, each in wanted.items() if name in (args.series or wanted)}
    run(args.json, chosen, report, options)
    print(table(report))
    for finding in findings(report):
        print(f"{'pass' if finding['passed'] else 'falls short':<12}{finding['says']}")
    if args.plots is not None:
        print(*draw_all(report, wanted, args.plots), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
