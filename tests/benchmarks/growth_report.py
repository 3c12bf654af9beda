"""The results of `bench_growth.py`: findings, a table and plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from dip.panels import Curve, draw_curves, stack

if TYPE_CHECKING:
    from bench_growth import Series

MAX_MEMORY_MB = 4000
TIME_COLOUR, MEMORY_COLOUR, OTHER_COLOUR = (31, 104, 178), (217, 112, 23), (120, 130, 140)


def summary_line(point: dict[str, Any]) -> str:
    """Summarise time and memory of a run in one line."""
    return (
        f"{point['seconds']:.1f} s, {point['seconds_but_files']:.1f} without reading and writing "
        f"(CPU {point['cpu_s']:.1f} s); {point['peak_memory_mb']:.0f} MB"
    )


FLAT = 1.25
"""Growth up to this factor counts as flat."""


def findings(report: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Judge the growth of time and memory by the first and the last point of each series.

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
            yield found(f"at most {peak:.0f} MB", peak < MAX_MEMORY_MB)
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
    """Format all points as a Markdown table."""
    lines = [
        "| | megapixels | damaged, thousand px | regions | fitted | seconds | without files "
        "| of the CPU | before the fit | peak MB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for each in report["series"].values():
        for point in each["points"]:
            lines.append(
                f"| {each['title']} | {point['megapixels']:.3g} | {point['damaged_kpx']:.3g} | "
                f"{point['regions']} | {point.get('fitted', '')} | {point['seconds']:.1f} | "
                f"{point['seconds_but_files']:.1f} | {point['cpu_s']:.1f} | "
                f"{point['planning_s']:.2f} | "
                f"{point['peak_memory_mb']:.0f} |"
            )
    return "\n".join(lines)


def draw(each: dict[str, Any], x_label: str) -> Image.Image:
    """Draw curves of time (top) and memory (bottom) of a series."""

    def curve(name: str, figure: str, colour: tuple[int, int, int]) -> Curve:
        return Curve(name, [(point[each["x"]], point[figure]) for point in each["points"]], colour)

    size = 760, 300
    seconds = [
        curve("with reading and writing", "seconds", OTHER_COLOUR),
        curve("without", "seconds_but_files", TIME_COLOUR),
    ]
    memory = [curve("of the whole process", "peak_memory_mb", MEMORY_COLOUR)]
    styles: dict[str, Any] = {"x_label": x_label, "from_zero": True, "dots": True}
    plots = [
        draw_curves(seconds, size, title=f"{each['title']}: seconds", **styles),
        draw_curves(memory, size, title="Peak memory, MB", **styles),
    ]
    if all("fitted" in point for point in each["points"]):
        fitted = [curve("fitted", "fitted", TIME_COLOUR)]
        plots.append(draw_curves(fitted, size, title="Regions and patches that need a network",
                                 **styles))  # fmt: skip
    return stack(plots)


def draw_all(report: dict[str, Any], series: Mapping[str, Series], folder: Path) -> list[Path]:
    """Draw a plot for each series with more than one x; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, each in report["series"].items():
        if name != "limit" and each["points"]:
            paths.append(folder / f"growth_{name}.png")
            draw(each, series[name].x_label).save(paths[-1], optimize=True)
    return paths
