"""Pictures made of overlapping shapes, which stand in for photographs to learn from.

Dead leaves (Lee, Mumford, Huang, IJCV 2001, doi:10.1023/A:1011109015675): shapes of all sizes hide
each other, as things before a camera do. Here they carry texture and shading, and many are thin:
blades, branches, wires, fur.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

Floats = NDArray[np.float32]
_TEXTURES = 6
_FINER = 2
"""Shapes are drawn at this multiple of their size, for smooth edges."""


def dead_leaves(random: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Make a picture, (side, side, 3)."""
    palette = random.uniform(0, 1, (random.integers(3, 9), 3))
    palette = palette.mean(axis=1, keepdims=True) + (
        palette - palette.mean(axis=1, keepdims=True)
    ) * random.uniform(0, 0.8)
    number = int(np.exp(random.uniform(np.log(20), np.log(250))))
    smallest = random.uniform(3, 12)
    large = side * _FINER
    picture = Image.new("RGB", (large, large), _colour(random, palette))
    textures = Image.new("L", (large, large))
    pens = ImageDraw.Draw(picture), ImageDraw.Draw(textures)
    share_thin = random.choice([0.0, 0.1, 0.3])
    sizes = smallest * random.uniform(0, 1, number) ** -0.8
    # Large things stand behind small ones, somewhat.
    for size in np.sort(sizes * np.exp(random.normal(0, 0.5, number)))[::-1].clip(1, side / 2):
        middle = random.uniform(0, side, 2)
        fill = _colour(random, palette), int(random.integers(0, _TEXTURES))
        if random.random() < share_thin:
            _bundle(random, pens, middle, float(size), fill, palette)
        else:
            points = _leaf(random, middle * _FINER, float(size) * _FINER)
            for pen, colour in zip(pens, fill, strict=True):
                pen.polygon(points, fill=colour)
    pixels = np.asarray(picture.reduce(_FINER), np.float32) / 255
    chosen = np.asarray(textures)[::_FINER, ::_FINER]
    field = np.zeros((side, side), np.float32)
    for number in np.unique(chosen):
        where = chosen == number
        field[where] = _texture(random, side)[where]
    slope_x, slope_y = random.normal(0, 0.2, 2)
    y, x = np.mgrid[:side, :side] / side - 0.5
    shaded = pixels * (1 + field + slope_x * x + slope_y * y)[:, :, None]
    depth = random.choice([0, 0.4, 1, 2.5])
    if depth:  # parts of the picture are out of focus
        blurred = ndimage.gaussian_filter(shaded, (depth, depth, 0))
        focus = ndimage.gaussian_filter(random.normal(size=(side, side)), side / 8)
        share = np.clip(0.5 + focus / max(float(focus.std()), 1e-6), 0, 1)[:, :, None]
        shaded = share * shaded + (1 - share) * blurred
    made: NDArray[np.uint8] = np.rint(shaded.clip(0, 1) * 255).astype(np.uint8)
    return made


def _colour(random: np.random.Generator, palette: NDArray[np.float64]) -> tuple[int, ...]:
    colour = palette[random.integers(len(palette))] * random.uniform(0.6, 1.3)
    return tuple(int(255 * each) for each in (colour + random.normal(0, 0.03, 3)).clip(0, 1))


def _leaf(
    random: np.random.Generator, middle: NDArray[np.float64], size: float
) -> list[tuple[float, float]]:
    """An ellipse, a polygon or a lump."""
    corners = int(random.choice([3, 4, 6, 24]))
    angles = np.sort(random.uniform(0, 2 * np.pi, corners))
    if corners == 24:
        angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radii = size * np.exp(random.normal(0, random.choice([0, 0.08, 0.25]), corners))
    across = random.uniform(0.3, 1)
    turn = random.uniform(0, np.pi)
    u, v = radii * np.cos(angles), across * radii * np.sin(angles)
    x = middle[0] + u * np.cos(turn) - v * np.sin(turn)
    y = middle[1] + u * np.sin(turn) + v * np.cos(turn)
    return [(float(a), float(b)) for a, b in zip(x, y, strict=True)]


def _bundle(
    random: np.random.Generator,
    pens: tuple[ImageDraw.ImageDraw, ImageDraw.ImageDraw],
    middle: NDArray[np.float64],
    size: float,
    fill: tuple[tuple[int, ...], int],
    palette: NDArray[np.float64],
) -> None:
    """One curve, or many beside each other: a wire, a twig, grass, hair."""
    strands = int(random.choice([1, 1, 3, 12, 40]))
    angle, bend = random.uniform(0, 2 * np.pi), random.normal(0, 0.15)
    width = int(random.choice([1, 1, 2, 3]))
    length = 6 * size + 10
    for _ in range(strands):
        at = middle + random.normal(0, 1.5 + 0.15 * length, 2) * (strands > 1)
        turns = angle + random.normal(0, 0.15) + np.cumsum(np.full(9, bend))
        steps = length / 8 * np.stack([np.cos(turns), np.sin(turns)], axis=1)
        curve = _FINER * (at + np.cumsum(steps, axis=0))
        points = [tuple(map(float, point)) for point in curve]
        for pen, colour in zip(pens, fill, strict=True):
            pen.line(points, fill=colour, width=width * _FINER)
        if random.random() < 0.3:
            fill = _colour(random, palette), fill[1]


def _texture(random: np.random.Generator, side: int) -> Floats:
    """Relative brightness: noise with a spectrum that falls, of some direction."""
    strength = random.choice([0, 0.05, 0.15, 0.35])
    if not strength:
        return np.zeros((side, side), np.float32)
    sigma = np.exp(random.uniform(np.log(0.4), np.log(4), 2))
    noise = random.normal(size=(side, side)).astype(np.float32)
    fine, coarse = (
        ndimage.gaussian_filter(noise, (factor * sigma[0], factor * sigma[1])) for factor in (1, 3)
    )
    field = fine / fine.std() + coarse / coarse.std()
    return (strength * field / 1.4).astype(np.float32)


def add_structures(random: np.random.Generator, picture: Image.Image) -> None:
    """Draw thin or small things that belong to a picture: bars, text, stars, stitches, rims."""
    pen = ImageDraw.Draw(picture)
    for _ in range(random.integers(1, 5)):
        gray = (int(random.integers(0, 256)),) * 3
        colour = tuple(map(int, random.integers(0, 256, 3))) if random.random() < 0.6 else gray
        at = random.uniform(0, picture.size)
        sketch = _Sketch(random, pen, at, colour, picture.width)
        _STRUCTURES[random.integers(len(_STRUCTURES))](sketch)


@dataclass(frozen=True)
class _Sketch:
    """A place in a picture, and what draws there."""

    random: np.random.Generator
    pen: ImageDraw.ImageDraw
    at: NDArray[np.float64]
    colour: tuple[int, ...]
    extent: int
    """Of the picture, in px."""

    def line(self, ends: NDArray[np.float64], width: int) -> None:
        self.pen.line([tuple(map(float, end)) for end in ends], fill=self.colour, width=width)

    def angle(self) -> float:
        """Across, down or oblique; in radians."""
        return float(self.random.choice([0, np.pi / 2, self.random.uniform(0, np.pi)]))


def _axes(angle: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors along an angle and across it."""
    along = np.array([np.cos(angle), np.sin(angle)])
    return along, np.array([-along[1], along[0]])


def _bars(sketch: _Sketch) -> None:
    """Parallel bars, wires or blades; often crossed by others, as in a window."""
    random, at = sketch.random, sketch.at
    angle = sketch.angle()
    gap = np.exp(random.uniform(np.log(4), np.log(60)))
    width = int(random.integers(1, max(2, min(6, int(gap / 2)))))
    length = random.uniform(20, 2 * sketch.extent)
    for turn in (0, np.pi / 2)[: 1 + (random.random() < 0.4)]:
        along, across = _axes(angle + turn)
        for number in range(random.integers(1, 12)):
            middle = at + number * gap * across
            sketch.line(middle + np.outer([-length / 2, length / 2], along), width)


def _words(sketch: _Sketch) -> None:
    """Lines of text, perhaps on paper."""
    random, at = sketch.random, sketch.at
    size = int(np.exp(random.uniform(np.log(7), np.log(45))))
    lines, colour = int(random.integers(1, 7)), sketch.colour
    if random.random() < 0.4:
        paper = tuple(map(int, random.integers(150, 256, 3)))
        far = at + np.array([sketch.extent / 2, 1.4 * size * lines])
        sketch.pen.rectangle((*at, *far), fill=paper)
        colour = tuple(int(each) // 4 for each in colour)
    for line in range(lines):
        text = "".join(map(chr, random.integers(65, 122, random.integers(4, 40))))
        sketch.pen.text((at[0], at[1] + 1.4 * size * line), text, fill=colour, font_size=size)


def _stars(sketch: _Sketch) -> None:
    """Dots of many sizes: stars, lights, pebbles, foam."""
    random, at = sketch.random, sketch.at
    reach = random.uniform(20, sketch.extent)
    largest = random.uniform(0.6, 2.5)
    for a, b in random.normal(at, reach, (int(np.exp(random.uniform(1.6, 5))), 2)):
        radius, light = random.uniform(0.3, largest), random.uniform(0.5, 1)
        fill = tuple(int(light * each) for each in sketch.colour)
        sketch.pen.ellipse((a - radius, b - radius, a + radius, b + radius), fill=fill)


def _stitches(sketch: _Sketch) -> None:
    """Rows of short pieces, straight or waving."""
    random, at = sketch.random, sketch.at
    along, across = _axes(sketch.angle())
    period, width = random.uniform(5, 16), int(random.integers(1, 4))
    swing = random.uniform(0, 5)
    for row in range(random.integers(1, 4)):
        for stitch in range(random.integers(5, 40)):
            middle = at + row * 3 * period * across + stitch * period * along
            middle = middle + swing * np.sin(stitch / 6) * across
            sketch.line(middle + np.outer([0, 0.55 * period], along), width)


def _rims(sketch: _Sketch) -> None:
    """Leaves or shells with a bright rim on one side, or with ribs."""
    random, at = sketch.random, sketch.at
    dark = tuple(int(each * random.uniform(0.3, 0.7)) for each in sketch.colour)
    t = np.linspace(0, 1, 16)
    for middle in random.normal(at, sketch.extent / 4, (random.integers(1, 25), 2)):
        length, angle = random.uniform(12, 70), random.uniform(0, 2 * np.pi)
        bulge = random.uniform(0.1, 0.35) * length * np.sin(np.pi * t)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        sides = [np.stack([length * t, sign * bulge], axis=1) @ turn + middle for sign in (1, -1)]
        outline = np.concatenate([sides[0], sides[1][::-1]])
        sketch.pen.polygon([tuple(map(float, each)) for each in outline], fill=dark)
        rib = np.stack([length * t, 0 * t], axis=1) @ turn + middle
        sketch.line(random.choice([*sides, rib]), int(random.integers(1, 3)))


def _whiskers(sketch: _Sketch) -> None:
    """Curves that leave one place: whiskers, grass, spokes."""
    random, at = sketch.random, sketch.at
    angle, bend = random.uniform(0, 2 * np.pi), random.normal(0, 0.08)
    for _ in range(random.integers(3, 16)):
        turns = angle + random.normal(0, 0.4) + np.cumsum(np.full(9, bend + random.normal(0, 0.02)))
        steps = random.uniform(15, 120) / 9 * np.stack([np.cos(turns), np.sin(turns)], axis=1)
        start = at + random.normal(0, 6, 2)
        sketch.line(start + np.cumsum(steps, axis=0), 1)


_STRUCTURES = (_bars, _words, _stars, _stitches, _rims, _whiskers)
