"""Damage drawn onto a photo: specks, hairs, scratches and creases, to learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

Floats = NDArray[np.float32]

SPECK, HAIR, SCRATCH, CREASE = 1, 2, 3, 4
VISIBLE = 0.02
"""The smallest change of a channel that counts as damage."""

_FINER = 3
"""Shapes are drawn at this multiple of their size, for smooth edges."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A photo with damage drawn onto it.

    Parameters
    ----------
    photo : (H, W, C) float32 array
    kind : (H, W) uint8 array
        `SPECK`, `HAIR`, `SCRATCH` or `CREASE` where the damage is visible, else 0.
    """

    photo: Floats
    kind: NDArray[np.uint8]


def draw_damage(photo: Floats, random: np.random.Generator, amount: float = 1.0) -> Drawn:
    """Draw bright damage; for dark damage, give the negative of the photo.

    Parameters
    ----------
    photo : (H, W, C) float32 array
        In [0, 1].
    random : Generator
    amount : float
        1: thirty specks, twenty hairs, six scratches and a crease for a megapixel.
    """
    height, width, channels = photo.shape
    damaged, kind = photo.copy(), np.zeros((height, width), np.uint8)
    megapixels = height * width / 1e6
    tint = random.uniform(0.8, 1) + random.normal(0, 0.02, channels)
    for shape, number in ((SPECK, 30), (HAIR, 20), (SCRATCH, 6), (CREASE, 1.2)):
        for _ in range(random.poisson(number * amount * megapixels)):
            top, left, cover = _SHAPES[shape](random, height, width)
            box = (
                slice(max(top, 0), min(top + cover.shape[0], height)),
                slice(max(left, 0), min(left + cover.shape[1], width)),
            )
            cover = cover[
                box[0].start - top : box[0].stop - top, box[1].start - left : box[1].stop - left
            ]
            if not cover.size:
                continue
            opacity = np.exp(random.uniform(np.log(0.06), 0))
            colour = tint + random.uniform(-0.1, 0.1) + random.normal(0, 0.015, channels)
            part = damaged[box]
            changed = part + (opacity * cover)[:, :, None] * (colour - part)
            if shape == CREASE and random.random() < 0.5:  # the other side of the fold is in shadow
                down, right = random.integers(-6, 7, 2)
                shadow = np.roll(cover, (down, right), (0, 1)) * (1 - cover)
                changed *= 1 - random.uniform(0.1, 0.6) * opacity * shadow[:, :, None]
            changed = np.clip(changed, 0, 1).astype(np.float32)
            lighter = (changed - photo[box]).max(axis=2)
            visible = (lighter >= VISIBLE) & (cover > 0.05)
            kind[box][visible] = shape
            damaged[box] = changed
    return Drawn(photo=damaged, kind=kind)


def _speck(random: np.random.Generator, height: int, width: int) -> tuple[int, int, Floats]:
    """A lump with a smooth edge, a ragged flake, or crumbs and fibres near each other."""
    kind = random.random()
    if kind < 0.3:
        return _placed(random, height, width, _softened(random, _flake(random)))
    if kind < 0.4:
        return _placed(random, height, width, _softened(random, _crumbs(random)))
    return _placed(random, height, width, _softened(random, _lump(random)))


def _lump(random: np.random.Generator) -> Floats:
    radius = np.exp(random.uniform(np.log(1.0), np.log(14)))
    side = int(3 * radius) + 6
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    angle, ratio = random.uniform(0, np.pi), random.uniform(0.4, 1)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    coarseness = random.choice([0.15, 0.35, 0.35])
    bumps = ndimage.gaussian_filter(random.normal(size=(side, side)), max(coarseness * radius, 0.6))
    bumps *= random.uniform(0.1, 0.45) / max(float(bumps.std()), 1e-6)
    inside = radius * (1 + bumps) - np.hypot(u, v / ratio)
    cover = np.clip(inside + 0.5, 0, 1)
    kind = random.random()
    if kind > 0.9 and radius > 3:
        cover = cover * np.where(np.abs(bumps) < 0.12, 1, random.uniform(0.1, 0.5))
    elif kind > 0.75 and radius > 3:  # a core, and a part that lets light through
        core = inside + random.normal(0, 0.6) * u - radius * random.uniform(0.2, 0.6)
        cover = cover * np.where(core > 0, 1, random.uniform(0.2, 0.7))
    return cover.astype(np.float32)


def _flake(random: np.random.Generator) -> Floats:
    """A polygon with a ragged edge, evenly opaque, up to 60 px across."""
    radius = np.exp(random.uniform(np.log(4), np.log(30)))
    side = int(3.4 * radius) + 6
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    bearing = np.arctan2(y, x)
    edge = np.full((side, side), np.inf)
    for normal in np.sort(random.uniform(-np.pi, np.pi, random.integers(4, 9))):
        edge = np.minimum(
            edge, radius * random.uniform(0.5, 1.1) / np.cos(bearing - normal).clip(1e-3)
        )
    rough = np.zeros((side, side))
    for scale, share in ((0.3, 0.5), (0.12, 0.35), (0.05, 0.25)):
        bumps = ndimage.gaussian_filter(random.normal(size=(side, side)), max(scale * radius, 0.6))
        rough += share * bumps / bumps.std()
    inside = np.minimum(edge, 1.6 * radius) + random.uniform(0.05, 0.3) * radius * rough
    cover = np.clip(inside - np.hypot(x, y) + 0.5, 0, 1)
    if random.random() < 0.3:  # the paper's fibres lie open here and there
        cover = cover * (1 - random.uniform(0, 0.4) * (rough > 0.3))
    return cover.astype(np.float32)


def _crumbs(random: np.random.Generator) -> Floats:
    """Dots and short arcs, each of another opacity."""
    reach = random.uniform(5, 22)
    side = int(3 * reach) + 8
    picture = Image.new("L", (side * _FINER, side * _FINER))
    pen = ImageDraw.Draw(picture)
    for _ in range(random.integers(3, 14)):
        x, y = (random.normal(side / 2, reach / 2, 2)) * _FINER
        radius, light = random.uniform(0.5, 2) * _FINER, int(random.integers(70, 256))
        if random.random() < 0.65:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=light)
        else:
            radius, start = radius * random.uniform(2, 5), random.uniform(0, 360)
            box = (x - radius, y - radius, x + radius, y + radius)
            pen.arc(box, start, start + random.uniform(40, 300), light, random.integers(2, 5))
    return np.asarray(picture.reduce(_FINER), np.float32) / 255


def _hair(random: np.random.Generator, height: int, width: int) -> tuple[int, int, Floats]:
    length = np.exp(random.uniform(np.log(18), np.log(380)))
    steps = max(4, int(length / 3))
    if random.random() < 0.3:
        bend = random.normal(0, 0.4) * 3 / length * 6
        turns = bend + _waves(random, steps, random.uniform(0.5, 3)) * random.uniform(0, 0.15)
    else:
        turns = np.diff(_wandering(random, steps), prepend=0)
    thickness = random.choice([1.0, 1.4, 2.0, 2.5, 3.0])
    return _curve(random, height, width, turns, 3.0, thickness)


def _wandering(random: np.random.Generator, steps: int) -> NDArray[np.float64]:
    """Directions along a hair, in radians: it winds, trembles and has kinks."""
    directions = random.uniform(0, 1.1) * _waves(random, steps, random.uniform(4, 16))
    directions += random.uniform(0, 0.4) * _waves(random, steps, random.uniform(0.7, 2))
    directions += np.linspace(0, random.normal(0, 1.2), steps)
    for kink in random.integers(0, steps, random.poisson(0.6)):
        directions[kink:] += random.normal(0, 0.8)
    return directions


def _waves(random: np.random.Generator, steps: int, scale: float) -> NDArray[np.float64]:
    """Smooth noise of about unit variance."""
    padded = random.normal(size=steps + 6 * int(np.ceil(scale)))
    smooth = ndimage.gaussian_filter1d(padded, scale)[3 * int(np.ceil(scale)) :][:steps]
    waves: NDArray[np.float64] = smooth * np.sqrt(2 * np.sqrt(np.pi) * scale)
    return waves


def _scratch(random: np.random.Generator, height: int, width: int) -> tuple[int, int, Floats]:
    """A line along the film, which trembles, or one that was made by hand."""
    upright = random.random() < 0.7
    reach = height if upright else max(height, width)
    length = reach * (1.5 if upright and random.random() < 0.5 else random.uniform(0.08, 1.2))
    steps = max(6, int(length / 4))
    offsets = np.zeros(steps + 1)
    for wave, height_px in ((1.2, 0.9), (3, 2.0), (12, 4.0)):
        waves = ndimage.gaussian_filter1d(random.normal(size=steps + 1), wave)
        offsets += random.uniform(0, height_px) * waves / max(float(waves.std()), 1e-6)
    if random.random() < 0.3:
        offsets[:] = 0
    turns = np.diff(np.arctan2(np.diff(offsets), 4.0), prepend=0)
    angle = (np.pi / 2 if upright else random.uniform(0, np.pi)) + random.normal(0, 0.02)
    return _curve(
        random,
        height,
        width,
        turns,
        4.0,
        random.choice([1.0, 1.5, 2.0, 3.0]),
        angle,
        patchy=random.random() < 0.5,
        broken=random.random() < 0.3,
    )


def _crease(random: np.random.Generator, height: int, width: int) -> tuple[int, int, Floats]:
    length = random.uniform(0.2, 1.5) * max(height, width)
    steps = max(4, int(length / 12))
    turns = random.normal(0, random.choice([0.08, 0.25, 0.4]), steps)
    turns -= np.concatenate([[0], turns[:-1]])
    patchy = random.random() < 0.7
    return _curve(random, height, width, turns, 12.0, random.uniform(2, 8), patchy=patchy)


def _curve(
    random: np.random.Generator,
    height: int,
    width: int,
    turns: NDArray[Any],
    step: float,
    thickness: float,
    angle: float | None = None,
    patchy: bool = False,
    broken: bool = False,
) -> tuple[int, int, Floats]:
    """A curve of straight steps, each of which turns by an angle; its opacity may vary."""
    angle = random.uniform(0, 2 * np.pi) if angle is None else angle
    directions = angle + np.cumsum(turns)
    x = np.concatenate([[0], np.cumsum(step * np.cos(directions))])
    y = np.concatenate([[0], np.cumsum(step * np.sin(directions))])
    edge = thickness + 4
    x, y = x - x.min() + edge, y - y.min() + edge
    size = (int(np.ceil(x.max() + edge)), int(np.ceil(y.max() + edge)))
    picture = Image.new("L", (size[0] * _FINER, size[1] * _FINER))
    points = [(float(a) * _FINER, float(b) * _FINER) for a, b in zip(x, y, strict=True)]
    pen = ImageDraw.Draw(picture)
    thick = max(1, round(thickness * _FINER))
    drawn = random.uniform(size=len(points) // 6 + 1) < (0.6 if broken else 1)
    for first in range(0, len(points) - 1, 6):
        if drawn[first // 6]:
            pen.line(points[first : first + 7], fill=255, width=thick, joint="curve")
    cover = np.asarray(picture.reduce(_FINER), np.float32) / 255
    if patchy or random.random() < 0.3:
        coarse = random.uniform(
            -0.3 if patchy else 0.3, 1.2, (2 + size[1] // 24, 2 + size[0] // 24)
        )
        veil = Image.fromarray(coarse.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
        cover = cover * np.clip(np.asarray(veil), 0, 1)
    return _placed(random, height, width, _softened(random, cover))


def _softened(random: np.random.Generator, cover: NDArray[Any]) -> Floats:
    softened: Floats = ndimage.gaussian_filter(
        cover.astype(np.float32), random.choice([0.7, 1.0, 1.4]) * random.uniform(0.4, 1)
    )
    return softened


def _placed(
    random: np.random.Generator, height: int, width: int, cover: Floats
) -> tuple[int, int, Floats]:
    """Put the middle of a shape anywhere in the photo."""
    top = int(random.integers(0, height)) - cover.shape[0] // 2
    left = int(random.integers(0, width)) - cover.shape[1] // 2
    return top, left, cover


_SHAPES = {SPECK: _speck, HAIR: _hair, SCRATCH: _scratch, CREASE: _crease}
