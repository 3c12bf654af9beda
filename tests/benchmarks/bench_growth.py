"""Measure how the cost of `dip restore` grows: with the photo, the damage, the number of damages.

    python tests/benchmarks/bench_growth.py --json growth.json --plots DIR [--quick]

Everything is real: files, `dip restore` as a process of its own, its peak memory as the system
counts it. After every point the file is written; a run that was stopped goes on where it ended,
as long as program, machine and settings are the same. The whole takes about half an hour on two
quiet cores, and 2 GB of disk for the time being.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from make_cases import Mask, photograph, writing
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dip.bench.circumstances import machine, versions
from dip.commands.bench import write_json
from dip.console import say
from dip.image_io import write_photo
from dip.machine.device import environment_for_cpu
from dip.panels import Curve, draw_curves, stack

FORMAT = 1
WORKER = Path(__file__).with_name("growth_worker.py")
MOST_MEMORY_MB = 4000
SCRATCH_PX = (220, 190)  # width and height of the box that a scratch runs through
TIME_COLOUR, MEMORY_COLOUR, OTHER_COLOUR = (31, 104, 178), (217, 112, 23), (120, 130, 140)


class Painter(Protocol):
    """Damages a photo of (width, height)."""

    def __call__(self, size: tuple[int, int]) -> Mask: ...


@dataclass(frozen=True, kw_only=True)
class Point:
    """One run: a photo of this size, damaged so.

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
    """Points of which one thing grows.

    Parameters
    ----------
    title : str
    x : str
        What grows: a figure of a point.
    x_label : str
    points : sequence of Point
    promise : str
        What is expected, in words.
    """

    title: str
    x: str
    x_label: str
    points: Sequence[Point]
    promise: str


# --- Photos and damage --------------------------------------------------------------------------


def photo(size: tuple[int, int], form: str) -> NDArray[Any]:
    """The astronaut, mirrored and repeated, under noise that no file format can pack away."""
    width, height = size
    tile = photograph("astronaut")
    tile = np.concatenate([tile, tile[:, ::-1]], axis=1)
    tile = np.concatenate([tile, tile[::-1]], axis=0)
    pixels = np.empty((height, width, 3), np.uint8 if form == "png" else np.uint16)
    random = np.random.default_rng(0)
    across = np.tile(tile, (1, -(-width // tile.shape[1]), 1))[:, :width]
    for top in range(0, height, 512):  # in strips: the noise takes eight bytes a sample
        rows = across[top % 1024 : top % 1024 + 512][: height - top]
        noisy = np.clip(rows + random.normal(0, 2.5, rows.shape), 0, 255)
        pixels[top : top + len(rows)] = np.rint(noisy * (1 if form == "png" else 257))
    return pixels


def scratches(size: tuple[int, int], *, count: int) -> Mask:
    """Scratches far from each other, in a grid that fills the photo."""
    across = -(-count // max(1, round(count**0.5 * 0.7)))
    down = -(-count // across)
    step = size[0] // across, size[1] // down

    def draw(pen: ImageDraw.ImageDraw) -> None:
        for number in range(count):
            # The first one is at the same place in every photo: what is around it is the same.
            left = 120 + number % across * step[0]
            top = 120 + number // across * step[1]
            pen.line((left, top, left + SCRATCH_PX[0], top + SCRATCH_PX[1]), fill=255, width=5)

    return _drawn(size, draw)


def hole(size: tuple[int, int], *, side_px: int) -> Mask:
    """A square hole in the middle."""
    left, top = (size[0] - side_px) // 2, (size[1] - side_px) // 2
    corners = (left, top, left + side_px - 1, top + side_px - 1)
    return _drawn(size, lambda pen: pen.rectangle(corners, fill=255))


def written_block(size: tuple[int, int], *, side_px: int) -> Mask:
    """A square block of writing in the middle."""
    unknown = np.zeros((size[1], size[0]), dtype=bool)
    left, top = (size[0] - side_px) // 2, (size[1] - side_px) // 2
    unknown[top : top + side_px, left : left + side_px] = writing((side_px, side_px))
    return unknown


def _drawn(size: tuple[int, int], draw: Any) -> Mask:
    layer = Image.new("L", size)
    draw(ImageDraw.Draw(layer))
    return np.asarray(layer) > 0


# --- What is measured ---------------------------------------------------------------------------

SIZES = {1: (1224, 816), 6: (3000, 2000), 24: (6000, 4000), 100: (12288, 8192)}
"""Width and height by megapixels."""


def series(*, quick: bool) -> dict[str, Series]:
    """Say what is measured; quick: the same with the smallest points only, in a minute."""
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
            x_label="regions",
            points=[Point(size=wide, damage=partial(scratches, count=count)) for count in counts],
            promise="time linear, memory flat",
        ),
        "limit": Series(
            title=f"{most} scratches in {largest[0] * largest[1] / 1e6:.3g} megapixels",
            x="bits",
            x_label="bits a sample",
            points=[
                Point(size=largest, damage=partial(scratches, count=most), form=form)
                for form in ("png", "tif")
            ],
            promise=f"peak memory below {MOST_MEMORY_MB / 1000:.0f} GB",
        ),
    }


# --- Measuring ----------------------------------------------------------------------------------


def measure(point: Point, folder: Path, options: Sequence[str]) -> dict[str, Any]:
    """Run `dip restore` once; raise where it fails."""
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
    """Say what a figure depends on: only like figures stand in one file."""
    return {
        "versions": versions(),
        "machine": machine(),
        "options": list(options),
        "quick": quick,
    }


def begin(path: Path, now: dict[str, Any]) -> dict[str, Any]:
    """Return what the file holds already where the circumstances are the same."""
    empty = {"format": FORMAT, **now, "series": {}}
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return empty
    if {key: report.get(key) for key in (*now, "format")} != {**now, "format": FORMAT}:
        say(f"{path} was measured with another program, machine or settings: it starts anew")
        return empty
    return report


def run(
    path: Path, wanted: dict[str, Series], report: dict[str, Any], options: Sequence[str]
) -> None:
    """Measure what is not in the report yet; write it after every point."""
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
            say(f"    {in_short(done[-1])}")
            write_json(path, report)


# --- What came of it ----------------------------------------------------------------------------


def in_short(point: dict[str, Any]) -> str:
    """Say in one line what a run took."""
    return (
        f"{point['seconds']:.1f} s, {point['seconds_but_files']:.1f} without reading and writing "
        f"(CPU {point['cpu_s']:.1f} s); {point['peak_memory_mb']:.0f} MB"
    )


FLAT = 1.25
"""How many times as much still counts as the same."""


def findings(report: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Judge what is promised of time and of memory, by the first point and the last.

    Yields
    ------
    dict
        'series', 'says' (a sentence with the figures) and 'passed'.
    """
    for name, each in report["series"].items():
        points = each["points"]
        if len(points) < 2:
            continue

        def found(says: str, passed: bool, name: str = name, each: Any = each) -> dict[str, Any]:
            return {"series": name, "says": f"{each['title']}: {says}", "passed": passed}

        if name == "limit":
            peak = max(point["peak_memory_mb"] for point in points)
            yield found(f"at most {peak:.0f} MB", peak < MOST_MEMORY_MB)
            continue
        first, last = points[0], points[-1]
        more = last[each["x"]] / first[each["x"]]
        longer = last["seconds_but_files"] / first["seconds_but_files"]
        fuller = last["peak_memory_mb"] / first["peak_memory_mb"]
        times = f"{more:.3g} times the {each['x'].replace('damaged_kpx', 'damaged pixels')}"
        yield found(
            f"{times} take {longer:.2f} times as long, reading and writing aside",
            longer <= (FLAT if name == "image" else max(FLAT, 1.1 * more)),
        )
        yield found(
            f"{times} take {fuller:.2f} times the memory",
            fuller <= (FLAT if name in ("image", "regions") else max(FLAT, 1.1 * more)),
        )


def table(report: dict[str, Any]) -> str:
    """Lay out every point as a Markdown table."""
    lines = [
        "| | megapixels | damaged, thousand px | regions | seconds | without files | of the CPU | "
        "before the fit | peak MB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for each in report["series"].values():
        for point in each["points"]:
            lines.append(
                f"| {each['title']} | {point['megapixels']:.3g} | {point['damaged_kpx']:.3g} | "
                f"{point['regions']} | {point['seconds']:.1f} | "
                f"{point['seconds_but_files']:.1f} | {point['cpu_s']:.1f} | "
                f"{point['planning_s']:.2f} | "
                f"{point['peak_memory_mb']:.0f} |"
            )
    return "\n".join(lines)


def draw(each: dict[str, Any], x_label: str) -> Image.Image:
    """Draw time above memory, over what grows."""

    def curve(name: str, figure: str, colour: tuple[int, int, int]) -> Curve:
        return Curve(name, [(point[each["x"]], point[figure]) for point in each["points"]], colour)

    size = 760, 300
    seconds = [
        curve("with reading and writing", "seconds", OTHER_COLOUR),
        curve("without", "seconds_but_files", TIME_COLOUR),
    ]
    memory = [curve("of the whole process", "peak_memory_mb", MEMORY_COLOUR)]
    styles: dict[str, Any] = {"x_label": x_label, "from_zero": True, "dots": True}
    return stack(
        [
            draw_curves(seconds, size, title=f"{each['title']}: seconds", **styles),
            draw_curves(memory, size, title="Peak memory, MB", **styles),
        ]
    )


def draw_all(report: dict[str, Any], wanted: dict[str, Series], folder: Path) -> list[Path]:
    """Draw a picture for each series with more than one x; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, each in report["series"].items():
        if name != "limit" and each["points"]:
            paths.append(folder / f"growth_{name}.png")
            draw(each, wanted[name].x_label).save(paths[-1], optimize=True)
    return paths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the report's own command takes as well."""
    parser.add_argument("--preset", default="balanced", help="default: %(default)s")
    parser.add_argument("--iterations", type=int, metavar="N", help="instead of the preset's")
    parser.add_argument("--quick", action="store_true", help="tiny pictures, to try the machinery")


def fit_options(args: argparse.Namespace) -> list[str]:
    """The options of `dip restore` that were asked for."""
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
