"""Photos of any size and their damage, for `bench_growth.py`."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from make_cases import Mask, photograph, writing
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SCRATCH_PX = (220, 190)  # width and height of a scratch's bounding box


class Painter(Protocol):
    """Draws the mask of a photo of (width, height)."""

    def __call__(self, size: tuple[int, int]) -> Mask: ...


def photo(size: tuple[int, int], form: str) -> NDArray[Any]:
    """The astronaut, mirrored and repeated, with noise that no file format can compress."""
    width, height = size
    tile = photograph("astronaut")
    tile = np.concatenate([tile, tile[:, ::-1]], axis=1)
    tile = np.concatenate([tile, tile[::-1]], axis=0)
    pixels = np.empty((height, width, 3), np.uint8 if form == "png" else np.uint16)
    random = np.random.default_rng(0)
    across = np.tile(tile, (1, -(-width // tile.shape[1]), 1))[:, :width]
    for top in range(0, height, 512):  # in strips, since noise takes eight bytes per sample
        rows = across[top % 1024 : top % 1024 + 512][: height - top]
        noisy = np.clip(rows + random.normal(0, 2.5, rows.shape), 0, 255)
        pixels[top : top + len(rows)] = np.rint(noisy * (1 if form == "png" else 257))
    return pixels


def scratches(size: tuple[int, int], *, count: int) -> Mask:
    """Scratches far from each other, in a grid over the whole photo."""
    across = -(-count // max(1, round(count**0.5 * 0.7)))
    down = -(-count // across)
    step = size[0] // across, size[1] // down

    def draw(pen: ImageDraw.ImageDraw) -> None:
        for number in range(count):
            # The first scratch has the same position and surroundings in all photos.
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
    """A square block of text in the middle."""
    unknown = np.zeros((size[1], size[0]), dtype=bool)
    left, top = (size[0] - side_px) // 2, (size[1] - side_px) // 2
    unknown[top : top + side_px, left : left + side_px] = writing((side_px, side_px))
    return unknown


def specks_and_hairs(size: tuple[int, int], *, specks: int, hairs: int = 0, seed: int = 1) -> Mask:
    """Ellipses with radii of 1.5 to 6 px, and bent lines of 100 to 500 px."""
    random = np.random.default_rng(seed)
    layer = Image.new("L", size)
    pen = ImageDraw.Draw(layer)
    for _ in range(specks):
        x, y = random.uniform(0, size[0]), random.uniform(0, size[1])
        a = 1.5 * 4 ** random.random()
        b = a * random.uniform(0.6, 1)
        pen.ellipse((x - a, y - b, x + a, y + b), fill=255)
    for _ in range(hairs):
        at = random.uniform((0, 0), size)
        angle, length = random.uniform(0, 2 * np.pi), random.uniform(100, 500)
        points = []
        for _ in range(12):
            points.append(tuple(map(float, at)))
            at = at + length / 12 * np.array([np.cos(angle), np.sin(angle)])
            angle += random.normal(0, 0.35)
        pen.line(points, fill=255, width=int(random.integers(2, 5)))
    return np.asarray(layer) > 0


def _drawn(size: tuple[int, int], draw: Any) -> Mask:
    layer = Image.new("L", size)
    draw(ImageDraw.Draw(layer))
    return np.asarray(layer) > 0
