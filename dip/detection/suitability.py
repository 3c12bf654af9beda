"""Photos that the search for damage does not suit, and what a user is told about them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dip.detection.damage_map import threshold
from dip.detection.features import Character
from dip.notes import Note
from dip.regions.rules import DEFAULT_SENSITIVITY

Floats = NDArray[np.float32]

HALFTONE = Note("halftone")
DRAWING = Note("drawing")
GRAIN = Note("grain")
DENSE = Note("dense")
MUCH = Note("much")

_TILE_PX = 256
_DOT_FREQUENCIES = (1 / 14, 0.48)
"""Cycles for a pixel of the dots of a halftone."""

_PEAK = 60
"""A dot's frequency has this many times the power that is usual as far from the origin."""

_STRONG_GRAIN = 0.03
_DENSE_GRAIN, _DENSE_SHARPNESS = 0.015, 0.1
"""Grain and sharpness, of which a photo has both where every part of it is full of sharp edges."""

_MUCH = 0.06


def doubts(photo: Floats, character: Character, level: NDArray[np.uint8]) -> tuple[Note, ...]:
    """Notes for a user on a photo in which damage cannot be told well from the picture.

    Parameters
    ----------
    photo : (H, W, C) float32 array
        Gray or RGB in [0, 1].
    character : Character
        Of the photo.
    level : (H, W) uint8 array
        What was found, see `DamageMap`.
    """
    luma = photo.mean(axis=2)
    if is_halftone(luma):
        return (HALFTONE,)
    if is_drawing(photo):
        return (DRAWING,)
    if character.grain > _DENSE_GRAIN and character.sharpness > _DENSE_SHARPNESS:
        return (DENSE,)
    if character.grain > _STRONG_GRAIN:
        return (GRAIN,)
    if (level >= threshold(DEFAULT_SENSITIVITY)).mean() > _MUCH:
        return (MUCH,)
    return ()


def is_halftone(luma: Floats) -> bool:
    """Whether two equal frequencies in about perpendicular directions stand out, as of dots."""
    side = min(_TILE_PX, *luma.shape)
    window = np.hanning(side)[:, None] * np.hanning(side)
    power = np.zeros((side, side))
    for top in np.linspace(0, luma.shape[0] - side, 3).astype(int):
        for left in np.linspace(0, luma.shape[1] - side, 3).astype(int):
            tile = luma[top : top + side, left : left + side]
            power += np.square(np.abs(np.fft.fft2((tile - tile.mean()) * window)))
    rows, columns = np.meshgrid(*[np.fft.fftfreq(side)] * 2, indexing="ij")
    radius = np.hypot(rows, columns)
    ring = np.rint(radius * 64).astype(int)
    usual = np.array([np.median(power[ring == each]) for each in range(ring.max() + 1)])
    stands_out = power / (usual[ring] + 1e-6)
    stands_out[(radius < _DOT_FREQUENCIES[0]) | (radius > _DOT_FREQUENCIES[1])] = 0
    highest = np.unravel_index(int(stands_out.argmax()), stands_out.shape)
    if stands_out[highest] < _PEAK:
        return False
    cosine = np.abs(rows * rows[highest] + columns * columns[highest]) / np.maximum(
        radius * radius[highest], 1e-9
    )
    beside = (np.abs(radius / radius[highest] - 1) < 0.1) & (cosine < 0.3)
    return bool(stands_out[beside].max(initial=0) >= _PEAK)


def is_drawing(photo: Floats) -> bool:
    """Whether thin dark lines go over all of a bright, even ground."""
    luma = photo.mean(axis=2)
    counts, edges = np.histogram(luma, 32, (0, 1))
    paper = float(edges[counts.argmax()] + 1 / 64)
    colour = float((photo.max(axis=2) - photo.min(axis=2)).mean())
    even = float((np.abs(luma - paper) < 0.1).mean())
    if paper < 0.55 or colour > 0.15 or even < 0.6:
        return False
    dark = luma < paper - 0.25
    thick = ndimage.binary_opening(dark, np.ones((11, 11)))
    if dark.mean() < 0.01 or thick.sum() > 0.15 * dark.sum():
        return False
    rows, columns = (max(1, side // 10) for side in dark.shape)
    blocks = ndimage.maximum_filter(dark, (rows, columns))[
        rows // 2 :: rows, columns // 2 :: columns
    ]
    return bool(blocks.mean() > 0.3)
