"""The results of `bench_visibility.py`: a table, and the plane of fidelity against visibility."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from PIL import Image, ImageDraw

from dip.panels import FAINT_INK, INK, PAPER, font

SIZE_PX = 760, 420
COLOUR, OWN_COLOUR = (120, 130, 140), (31, 104, 178)
LABEL_PX = 150, 16
CANNOT_BE_TOLD = 0.5


def table(visibility: dict[str, Any]) -> Iterator[str]:
    """Format the figures of each method as a Markdown table."""
    yield "| method | cases | hole dB, mean | detail at 1, 2, 4 px, medians | AUC |"
    yield "| --- | --- | --- | --- | --- |"
    for name, each in visibility["methods"].items():
        db = "–" if name == "truth" else f"{each['hole_psnr_db']:.2f}"
        bands = " / ".join(f"{ratio:.2f}" for ratio in each["detail"])
        told = "–" if each["auc"] is None else f"{each['auc']:.3f}"
        yield f"| {name} | {each['cases']} | {db} | {bands} | {told} |"


def draw(visibility: dict[str, Any]) -> Image.Image:
    """Draw a point for each method: to the right near the truth, at the bottom not to be told.

    The truth itself, which has no finite PSNR, is a line.
    """
    width, height = SIZE_PX
    page = Image.new("RGB", SIZE_PX, PAPER)
    pen = ImageDraw.Draw(page)
    left, top, right, bottom = 64, 40, width - 120, height - 56
    methods = {
        name: each for name, each in visibility["methods"].items() if each["auc"] is not None
    }
    decibels = [each["hole_psnr_db"] for name, each in methods.items() if name != "truth"]
    low, high = min(decibels) - 0.5, max(decibels) + 0.5

    def place(db: float, auc: float) -> tuple[float, float]:
        x = left + (db - low) / (high - low) * (right - left)
        return x, bottom - (auc - CANNOT_BE_TOLD) / CANNOT_BE_TOLD * (bottom - top)

    pen.text((0, 4), "Visibility (AUC: 0.5 cannot be told)", font=font(17), fill=INK)
    for step in range(6):
        auc = CANNOT_BE_TOLD + 0.1 * step
        y = place(low, auc)[1]
        pen.line((left, y, right, y), fill=(225, 228, 232))
        pen.text((left - 8, y), f"{auc:.1f}", font=font(14), fill=FAINT_INK, anchor="rm")
    for db in range(int(low) + 1, int(high) + 1):
        x = place(db, CANNOT_BE_TOLD)[0]
        pen.line((x, bottom, x, bottom + 5), fill=FAINT_INK)
        pen.text((x, bottom + 8), str(db), font=font(14), fill=FAINT_INK, anchor="mt")
    pen.text((right, bottom + 30), "fidelity: mean hole PSNR, dB", font=font(14), fill=FAINT_INK,
             anchor="rt")  # fmt: skip
    named: list[tuple[float, float]] = []
    for name, each in methods.items():
        x, y = place(each["hole_psnr_db"] if name != "truth" else high, each["auc"])
        if name == "truth":
            pen.line((left, y, right, y), fill=INK)
            pen.text((right + 6, y), "the truth", font=font(14), fill=INK, anchor="lm")
            continue
        colour = OWN_COLOUR if name.startswith("dip") else COLOUR
        pen.ellipse((x - 5, y - 5, x + 5, y + 5), fill=colour)
        while any(
            abs(x - other) < LABEL_PX[0] and abs(y - at) < LABEL_PX[1] for other, at in named
        ):
            y += LABEL_PX[1] / 2
        named.append((x, y))
        pen.text((x + 10, y), name, font=font(14), fill=colour, anchor="lm")
    return page
