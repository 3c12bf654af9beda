"""Cases for the search for damage whose photos and shapes were not learned from.

Photos of scikit-image that `learn_damage.py` leaves alone, or those that `free_photos.py` keeps
aside, enlarged to the softness of a scan,
under shapes made in other ways than those of `drawn_damage.py`: Bézier curves for hairs, level sets
of noise for specks, lines of wavering brightness for scratches, broken midlines for creases. And
pictures without damage whose small bright things are easily mistaken for it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

WIDTH, HEIGHT = 640, 480
PHOTOS = ("chelsea", "rocket", "camera")
GRAINS = (0.006, 0.015, 0.03)
_WORDS = ["THE", "OLD", "MILL", "1932", "Restoration", "of", "photographs,", "made", "&", "kept"]
_VISIBLE = 0.02
_FINER = 4


@dataclass(frozen=True, kw_only=True)
class Case:
    """A photo with damage, without it, and what the damage is.

    Parameters
    ----------
    damaged, clean : (H, W, 3) uint8 arrays
    labels : (H, W) int array
        The components by number, from 1; 0 where there is no damage.
    kinds : list of str
        Of each component: speck, hair, scratch or crease.
    sigmas : list of float
        The contrast of each, in units of the photo's noise.
    """

    name: str
    damaged: Bytes
    clean: Bytes
    labels: NDArray[Any]
    kinds: list[str] = field(default_factory=list)
    sigmas: list[float] = field(default_factory=list)


def cases(seed: int = 7) -> Iterator[Case]:
    """Make six cases: each photo once under bright, once under dark and bright damage."""
    for number in range(6):
        random = np.random.default_rng((seed, number))
        name, grain = PHOTOS[number % 3], GRAINS[(number + number // 3) % 3]
        photo = _enlarged(random, getattr(skimage.data, name)())
        noise = _grain(random, grain, photo.shape)
        yield _damaged(f"{name} {number}", random, photo, noise, number % 2 == 1)


def cases_of(folder: Path, seed: int = 7) -> Iterator[Case]:
    """Make a case of every photo in a folder."""
    for number, path in enumerate(sorted(folder.glob("*.jpg"))):
        random = np.random.default_rng((seed, number))
        picture = Image.open(path).convert("RGB")
        # So much of the scene is seen in a case that details are as fine as pixels before it grows.
        size = random.uniform(420, 900)
        picture.thumbnail((size, size), Image.Resampling.LANCZOS)
        photo = _enlarged(random, np.asarray(picture))
        noise = _grain(random, GRAINS[number % 3], photo.shape)
        yield _damaged(path.stem, random, photo, noise, number % 2 == 1)


def _damaged(
    name: str, random: np.random.Generator, photo: Floats, noise: Floats, mixed: bool
) -> Case:
    damaged = photo.copy()
    labels = np.zeros(photo.shape[:2], np.int32)
    kinds: list[str] = []
    shapes = {"speck": _speck, "hair": _hair, "scratch": _scratch, "crease": _crease}
    for kind, count in (("speck", 10), ("hair", 6), ("scratch", 1), ("crease", 0)):
        for _ in range(count + (kind == "crease" and random.random() < 0.5)):
            cover = shapes[kind](random) * random.uniform(0.25, 1)
            colour = random.uniform(0.86, 0.97) if not mixed or random.random() < 0.4 else 0.06
            changed = damaged + cover[:, :, None] * (np.float32(colour) - damaged)
            seen = np.abs(changed - damaged).max(axis=2) >= _VISIBLE
            if not seen.any():
                continue
            damaged = changed
            kinds.append(kind)
            labels[seen] = len(kinds)
    detail = photo + noise
    detail = detail.mean(axis=2) - ndimage.gaussian_filter(detail.mean(axis=2), 2)
    spread = float(np.sqrt(np.mean(np.square(detail))))
    change = np.abs(damaged - photo).mean(axis=2)
    sigmas = ndimage.mean(change, labels, np.arange(1, len(kinds) + 1)) / spread
    damaged, clean = (_jpeg(each + noise) for each in (damaged, photo))
    return Case(
        name=name, damaged=damaged, clean=clean, labels=labels, kinds=kinds, sigmas=list(sigmas)
    )


def _enlarged(random: np.random.Generator, photo: Bytes) -> Floats:
    """A part of a photo, enlarged 1.6 to 2.2 times."""
    picture = Image.fromarray(photo).convert("RGB")
    zoom = max(random.uniform(1.6, 2.2), WIDTH / picture.width, HEIGHT / picture.height)
    width, height = int(WIDTH / zoom), int(HEIGHT / zoom)
    left = int(random.integers(0, picture.width - width + 1))
    top = int(random.integers(0, picture.height - height + 1))
    picture = picture.crop((left, top, left + width, top + height))
    picture = picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    return np.asarray(picture, np.float32) / 255


def _grain(random: np.random.Generator, deviation: float, shape: tuple[int, ...]) -> Floats:
    noise = ndimage.gaussian_filter(random.normal(size=shape), (0.8, 0.8, 0.2))
    return (deviation * noise / noise.std()).astype(np.float32)


def _jpeg(pixels: Floats) -> Bytes:
    file = io.BytesIO()
    Image.fromarray(np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)).save(
        file, "jpeg", quality=93
    )
    return np.asarray(Image.open(file))


def _strokes(widths: NDArray[Any], points: NDArray[Any], strengths: NDArray[Any]) -> Floats:
    """The cover of a curve whose width and strength change from point to point."""
    picture = Image.new("L", (WIDTH * _FINER, HEIGHT * _FINER))
    pen = ImageDraw.Draw(picture)
    for a, b, width, strength in zip(points, points[1:], widths, strengths, strict=False):
        radius = max(0.5, width * _FINER / 2)
        for x, y in a * _FINER + (b - a) * _FINER * np.linspace(0, 1, 12)[:, None]:
            box = (x - radius, y - radius, x + radius, y + radius)
            pen.ellipse(tuple(map(float, box)), fill=int(255 * strength))
    cover = np.asarray(picture.reduce(_FINER), np.float32) / 255
    softened: Floats = ndimage.gaussian_filter(cover, 0.5)
    return softened


def _hair(random: np.random.Generator) -> Floats:
    """A cubic Bézier curve that tapers."""
    corners = random.uniform(0, (WIDTH, HEIGHT)) + random.normal(0, 40, (4, 2))
    t = np.linspace(0, 1, 40)[:, None]
    weights = np.concatenate([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], axis=1)
    taper = 1 - 0.6 * np.abs(2 * t[:, 0] - 1) ** 3
    return _strokes(random.uniform(1.5, 3) * taper, weights @ corners, np.ones(40))


def _scratch(random: np.random.Generator) -> Floats:
    """A nearly straight line, whose strength wavers down to nothing."""
    start = random.uniform(0, (WIDTH, HEIGHT))
    angle = random.choice([np.pi / 2, random.uniform(0, np.pi)]) + random.normal(0, 0.02)
    length = random.uniform(150, 500)
    along = np.linspace(0, length, 50)
    wander = ndimage.gaussian_filter1d(random.normal(0, 2, 50), 4)
    x = start[0] + along * np.cos(angle) - wander * np.sin(angle)
    y = start[1] + along * np.sin(angle) + wander * np.cos(angle)
    strengths = np.clip(0.8 + ndimage.gaussian_filter1d(random.normal(0, 1.2, 50), 2), 0, 1)
    return _strokes(np.full(50, random.uniform(1.2, 2.4)), np.stack([x, y], axis=1), strengths)


def _crease(random: np.random.Generator) -> Floats:
    """A line between two borders, broken at midpoints; the paper shows in places."""
    points = np.array([[0, random.uniform(0, HEIGHT)], [WIDTH, random.uniform(0, HEIGHT)]])
    for reach in (30, 16, 8, 4):
        middles = (points[1:] + points[:-1]) / 2 + random.normal(0, reach, (len(points) - 1, 2))
        points = np.insert(points, range(1, len(points)), middles, axis=0)
    widths = np.abs(random.normal(5, 2, len(points))) + 1
    return _strokes(widths, points, random.uniform(0.5, 1, len(points)))


def _speck(random: np.random.Generator) -> Floats:
    """The part of a smooth noise that lies above a level, around its middle."""
    radius = np.exp(random.uniform(np.log(1.5), np.log(14)))
    side = 2 * int(3 * radius) + 7
    y, x = np.mgrid[:side, :side] - side // 2
    field_ = ndimage.gaussian_filter(random.normal(size=(side, side)), 0.4 * radius + 0.5)
    lump = np.exp(-(x**2 + y**2) / (2 * radius**2)) + 0.25 * field_ / field_.std()
    labels, _ = ndimage.label(lump > 0.6)
    here = labels[side // 2, side // 2]
    cover = (labels == here) & (here > 0) | (x**2 + y**2 <= 1)
    whole = np.zeros((HEIGHT + 2 * side, WIDTH + 2 * side), np.float32)
    top, left = random.integers(side // 2, HEIGHT + side), random.integers(side // 2, WIDTH + side)
    whole[top : top + side, left : left + side] = ndimage.gaussian_filter(
        cover.astype(np.float32), 0.6
    )
    return whole[side:-side, side:-side]


def undamaged(seed: int = 3) -> Iterator[tuple[str, Bytes]]:
    """Make pictures that show no damage, but much that resembles it."""
    random = np.random.default_rng(seed)
    astronaut, chelsea = skimage.data.astronaut(), skimage.data.chelsea()
    crops = {
        "catch-lights in a face": astronaut[60:170, 160:290],
        "teeth": astronaut[120:190, 180:270],
        "a cat's eyes and whiskers": chelsea[60:210, 60:290],
        "a printed page": np.stack([skimage.data.page()] * 3, axis=2),
        "a lattice tower": skimage.data.rocket()[100:400, 330:560],
    }
    for name, photo in crops.items():
        height, width = photo.shape[:2]
        size = (round(width * 2.5), round(height * 2.5))
        soft = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC))
        yield name, _printed(random, soft / np.float32(255), 0)
    for name, draw in _DRAWINGS.items():
        picture = Image.new("RGB", (WIDTH, HEIGHT))
        draw(random, picture)
        yield name, _printed(random, np.asarray(picture, np.float32) / 255, 1.4)


def _printed(random: np.random.Generator, pixels: Floats, sigma: float) -> Bytes:
    soft = ndimage.gaussian_filter(pixels, (sigma, sigma, 0))
    return _jpeg(soft + _grain(random, 0.008, soft.shape))


def _sky(picture: Image.Image, top: tuple[int, int, int], bottom: tuple[int, int, int]) -> None:
    pen = ImageDraw.Draw(picture)
    for row in range(HEIGHT):
        share = row / HEIGHT
        pen.line(
            (0, row, WIDTH, row),
            fill=tuple(int(a + share * (b - a)) for a, b in zip(top, bottom, strict=True)),
        )


def _stars(random: np.random.Generator, picture: Image.Image) -> None:
    _sky(picture, (6, 8, 26), (30, 32, 60))
    pen = ImageDraw.Draw(picture)
    for _ in range(120):
        x, y = random.uniform(0, (WIDTH, HEIGHT))
        radius, gray = random.uniform(0.7, 2.2), int(random.integers(120, 256))
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(gray, gray, gray))


def _stitches(random: np.random.Generator, picture: Image.Image) -> None:
    _sky(picture, (40, 60, 120), (34, 50, 104))
    pen = ImageDraw.Draw(picture)
    for row in (90, 110, 330, 350):
        for x in range(0, WIDTH, 16):
            y = row + 10 * np.sin(x / 90)
            pen.line((x, y, x + 9, y + 1), fill=(225, 190, 120), width=4)


def _text(random: np.random.Generator, picture: Image.Image) -> None:
    _sky(picture, (196, 200, 190), (180, 182, 176))
    pen = ImageDraw.Draw(picture)
    for row, size in enumerate((60, 40, 26, 20, 16)):
        line = " ".join(random.permutation(_WORDS))
        pen.text((20, 20 + 88 * row), line, (35, 30, 30), ImageFont.load_default(size))


def _window(random: np.random.Generator, picture: Image.Image) -> None:
    _sky(picture, (120, 150, 190), (150, 170, 160))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0, WIDTH - 1, HEIGHT - 1), outline=(90, 60, 40), width=40)
    for x in range(120, WIDTH, 110):
        pen.line((x, 0, x, HEIGHT), fill=(230, 228, 220), width=7)
    for y in range(100, HEIGHT, 95):
        pen.line((0, y, WIDTH, y), fill=(230, 228, 220), width=7)


def _leaves(random: np.random.Generator, picture: Image.Image) -> None:
    _sky(picture, (24, 40, 18), (14, 26, 12))
    pen = ImageDraw.Draw(picture)
    for _ in range(70):
        x, y = random.uniform(0, (WIDTH, HEIGHT))
        length, angle = random.uniform(30, 80), random.uniform(0, np.pi)
        t = np.linspace(0, 1, 20)
        across = 0.25 * length * np.sin(np.pi * t)
        rim = np.concatenate(
            [np.stack([length * t, across], 1), np.stack([length * t, -across], 1)[::-1]]
        )
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        points = [tuple(map(float, point)) for point in rim @ turn + (x, y)]
        green = int(random.integers(70, 150))
        pen.polygon(points, fill=(green // 2, green, green // 4))
        pen.line(points[:20], fill=(150, 200, 120), width=2)


_DRAWINGS = {
    "stars": _stars,
    "stitches": _stitches,
    "printed text": _text,
    "window bars": _window,
    "leaf rims": _leaves,
}
