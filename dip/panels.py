"""Figures drawn with Pillow: captioned panels, enlarged details and curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dip.samples import to_8_bit

if TYPE_CHECKING:
    import numpy.typing as npt

Colour = tuple[int, int, int]

PAPER: Colour = (255, 255, 255)
INK: Colour = (28, 30, 34)
FAINT_INK: Colour = (104, 108, 116)
RULE: Colour = (222, 224, 228)
DAMAGE: Colour = (226, 58, 94)
FRAME: Colour = (255, 196, 0)
NETWORK_COLOURS: dict[str, Colour] = {"unet": (31, 104, 178), "segnet": (217, 112, 23)}

TITLE_PX = 22
TEXT_PX = 17
LINE_SPACING = 1.35
GAP_PX = 16
SMOOTHING = 3  # curves are drawn at this multiple of their size, then reduced


@cache
def font(size_px: int) -> Any:
    """Return the font of the Pillow package, so that all machines draw the same picture."""
    return ImageFont.load_default(size=size_px)


def picture(pixels: npt.NDArray[Any]) -> Image.Image:
    """Turn (H, W) or (H, W, C) samples of any depth into an 8-bit RGB picture, without alpha."""
    levels = to_8_bit(pixels)
    if levels.ndim == 3:
        colours = levels.shape[2] - (levels.shape[2] in (2, 4))
        levels = levels[..., 0] if colours == 1 else levels[..., :3]
    return Image.fromarray(levels).convert("RGB")


def mark(
    image: Image.Image, unknown: npt.NDArray[np.bool_], colour: Colour = DAMAGE
) -> Image.Image:
    """Paint the unknown pixels in one flat colour."""
    marked = image.copy()
    marked.paste(colour, mask=Image.fromarray(unknown))
    return marked


# --- Details ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """A rectangle of a picture, row-first, in px."""

    top: int
    left: int
    height: int
    width: int

    @property
    def corners(self) -> tuple[int, int, int, int]:
        """The box in the form of Pillow: left, top, right, bottom."""
        return self.left, self.top, self.left + self.width, self.top + self.height


def find_detail(unknown: npt.NDArray[np.bool_]) -> Window:
    """Find the detail of a picture to enlarge, in the picture's proportions.

    It lies where the damage is densest. Its size is three times the thickness of the damage, but at
    least a quarter of the picture and at most the whole picture.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    height, width = unknown.shape
    # Reduced first: half a second instead of a minute for 24 megapixels.
    step = max(1, max(height, width) // 512)
    small = Image.fromarray(unknown).convert("L").reduce(step)
    dense = np.asarray(small, dtype=np.float32) / 255
    thickness = 2 * float(distance_transform_edt(np.pad(dense > 0, 1)).max()) * step
    share = min(1.0, max(0.25, 3 * thickness / min(height, width)))
    detail_height, detail_width = max(1, round(height * share)), max(1, round(width * share))
    density = gaussian_filter(dense, share * min(dense.shape) / 4, mode="constant")
    # Of places with equal density, prefer the one nearer to the middle.
    rows, columns = (np.linspace(-1, 1, side) for side in density.shape)
    density *= 1 - 0.1 * (rows[:, None] ** 2 + columns**2)
    row, column = np.unravel_index(int(density.argmax()), density.shape)
    top = min(max(0, int(row) * step - detail_height // 2), height - detail_height)
    left = min(max(0, int(column) * step - detail_width // 2), width - detail_width)
    return Window(top, left, detail_height, detail_width)


def enlarge(image: Image.Image, window: Window, size: tuple[int, int]) -> Image.Image:
    """Crop the window and scale it to a size (width, height)."""
    return image.crop(window.corners).resize(size, Image.Resampling.LANCZOS)


def outline(image: Image.Image, window: Window, scale: float) -> Image.Image:
    """Draw the frame of the window into a picture that is scaled by a factor."""
    framed = image.copy()
    left, top, right, bottom = (round(corner * scale) for corner in window.corners)
    ImageDraw.Draw(framed).rectangle((left, top, right - 1, bottom - 1), outline=FRAME, width=2)
    return framed


# --- Panels -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Panel:
    """A picture with a title above and lines of text below."""

    image: Image.Image
    title: str
    lines: Sequence[str] = ()
    colour: Colour = INK


def draw_panels(
    panels: Sequence[Panel],
    width_px: int,
    *,
    detail: Window | None = None,
    titles: bool = True,
) -> Image.Image:
    """Draw panels side by side: title, picture, enlarged detail, text.

    Parameters
    ----------
    panels : sequence of Panel
        Their pictures have the same size.
    width_px : int
        Width of each picture on the page.
    detail : Window, optional
        The part to enlarge below each picture, and to frame in the first picture.
    """
    scale = width_px / panels[0].image.width
    size = width_px, max(1, round(panels[0].image.height * scale))
    title_px = round(TITLE_PX * 1.6) if titles else 0
    lines = max(len(panel.lines) for panel in panels)
    pictures_px = size[1] * (1 if detail is None else 2) + (0 if detail is None else GAP_PX // 2)
    caption_px = round(lines * TEXT_PX * LINE_SPACING) + (8 if lines else 0)
    page = Image.new(
        "RGB",
        ((width_px + GAP_PX) * len(panels) - GAP_PX, title_px + pictures_px + caption_px),
        PAPER,
    )
    draw = ImageDraw.Draw(page)
    for index, panel in enumerate(panels):
        left, top = index * (width_px + GAP_PX), title_px
        if titles:
            draw.text((left, 2), panel.title, font=font(TITLE_PX), fill=panel.colour)
        whole = panel.image.resize(size, Image.Resampling.LANCZOS)
        if detail is not None and index == 0:
            whole = outline(whole, detail, scale)
        page.paste(whole, (left, top))
        if detail is not None:
            page.paste(enlarge(panel.image, detail, size), (left, top + size[1] + GAP_PX // 2))
        for number, line in enumerate(panel.lines):
            y = top + pictures_px + 6 + round(number * TEXT_PX * LINE_SPACING)
            ink = INK if number == 0 else FAINT_INK
            draw.text((left, y), line, font=font(TEXT_PX), fill=ink)
    return page


def heading(text: str, width_px: int, size_px: int = TITLE_PX, colour: Colour = INK) -> Image.Image:
    """Draw one line of text as a strip."""
    strip = Image.new("RGB", (width_px, round(size_px * 1.6)), PAPER)
    ImageDraw.Draw(strip).text((0, 2), text, font=font(size_px), fill=colour)
    return strip


def stack(
    strips: Sequence[Image.Image], *, gap_px: int = GAP_PX, margin_px: int = 24
) -> Image.Image:
    """Stack pictures vertically, on a page with a margin."""
    width_px = max(strip.width for strip in strips) + 2 * margin_px
    height_px = sum(strip.height for strip in strips) + gap_px * (len(strips) - 1) + 2 * margin_px
    page = Image.new("RGB", (width_px, height_px), PAPER)
    top = margin_px
    for strip in strips:
        page.paste(strip, (margin_px, top))
        top += strip.height + gap_px
    return page


def beside(strips: Sequence[Image.Image], gap_px: int = GAP_PX) -> Image.Image:
    """Place pictures next to each other."""
    page = Image.new(
        "RGB",
        (sum(s.width for s in strips) + gap_px * (len(strips) - 1), max(s.height for s in strips)),
        PAPER,
    )
    left = 0
    for strip in strips:
        page.paste(strip, (left, 0))
        left += strip.width + gap_px
    return page


# --- Curves -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """A named curve: points (x, y) in order of x."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: Colour


def draw_curves(
    curves: Sequence[Curve],
    size: tuple[int, int],
    *,
    title: str,
    x_label: str,
    logarithmic: bool = False,
    from_zero: bool = False,
    dots: bool = False,
) -> Image.Image:
    """Draw curves in one pair of axes.

    Parameters
    ----------
    curves : sequence of Curve
        Several of one name, such as the runs of one network, are named once. Points that are not
        finite, or not positive on a logarithmic axis, are left out.
    size : (width, height)
        px
    from_zero : bool
        Whether the y axis begins at 0, so that flat curves look flat.
    dots : bool
        Whether each point is marked, for curves with few points.
    """
    width, height = size
    page = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((0, 2), title, font=font(TITLE_PX - 3), fill=INK)
    left, top, right, bottom = 64, round(TITLE_PX * 1.9), width - 8, height - 52

    def drawable(y: float) -> bool:
        return math.isfinite(y) and (y > 0 or not logarithmic)

    drawn = [[(x, y) for x, y in curve.points if drawable(y)] for curve in curves]
    if not any(drawn):
        draw.text((left, top + 20), "no measurements", font=font(TEXT_PX), fill=FAINT_INK)
        return page
    to_axis = math.log10 if logarithmic else float
    values = [to_axis(y) for points in drawn for _, y in points]
    low, high = min(values), max(values)
    if from_zero and not logarithmic:
        low = min(0.0, low)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    below = 0.0 if from_zero else 0.04 * (high - low)
    low, high = low - below, high + 0.04 * (high - low)
    last_x = max(points[-1][0] for points in drawn if points)

    def across(x: float) -> float:
        return left + (right - left) * x / last_x

    def up(value: float) -> float:
        return bottom - (bottom - top) * (value - low) / (high - low)

    for value, text in _ticks(low, high, logarithmic):
        y = up(value)
        draw.line((left, y, right, y), fill=RULE)
        draw.text((left - 8, y), text, font=font(14), fill=FAINT_INK, anchor="rm")
    for value, text in _ticks(0, last_x, False):
        x = across(value)
        draw.line((x, bottom, x, bottom + 5), fill=FAINT_INK)
        draw.text((x, bottom + 8), text, font=font(14), fill=FAINT_INK, anchor="mt")
    draw.line((left, bottom, right, bottom), fill=FAINT_INK)
    draw.text((right, bottom + 28), x_label, font=font(14), fill=FAINT_INK, anchor="rt")

    large = page.resize((width * SMOOTHING, height * SMOOTHING), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(large)
    for curve, points in zip(curves, drawn, strict=True):
        path = [(SMOOTHING * across(x), SMOOTHING * up(to_axis(y))) for x, y in points]
        radius = 3 * SMOOTHING
        for x, y in path if dots or len(path) == 1 else ():
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=curve.colour)
        pen.line(path, fill=curve.colour, width=2 * SMOOTHING, joint="curve")
    page = large.resize(size, Image.Resampling.BOX)

    draw = ImageDraw.Draw(page)
    x = float(right)
    for name, colour in reversed({curve.name: curve.colour for curve in curves}.items()):
        x -= draw.textlength(name, font=font(TEXT_PX - 1))
        draw.text((x, 5), name, font=font(TEXT_PX - 1), fill=colour)
        draw.line((x - 28, 16, x - 8, 16), fill=colour, width=3)
        x -= 46
    return page


def _ticks(low: float, high: float, logarithmic: bool) -> list[tuple[float, str]]:
    """Return round values between two ends and their labels; for a logarithmic axis, of 10^x."""
    if logarithmic:
        steps: tuple[int, ...] = (1, 2, 5) if high - low < 2 else (1,)
        marks = [
            (decade, step)
            for decade in range(math.floor(low), math.ceil(high) + 1)
            for step in steps
            if low <= decade + math.log10(step) <= high
        ]
        if len(marks) > 1:
            return [(d + math.log10(s), f"{s * 10.0**d:g}") for d, s in marks]
        return [(value, f"{10**value:.2g}") for value, _ in _ticks(low, high, False)]
    exponent = 10 ** math.floor(math.log10((high - low) / 4))
    step = next(f * exponent for f in (1, 2, 2.5, 5, 10) if (high - low) / (f * exponent) <= 6)
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    return [(step * (first + n), f"{step * (first + n):g}") for n in range(count)]
