"""How far lines and curves stand out, along all directions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]

FLOOR = 0.004
"""Standard deviation below which no surroundings are thought to be: one level of an 8-bit photo."""

NEAR_PX = 49
"""The side of the surroundings."""

_ORIENTATIONS = 12
_RAYS = (3, 4, 5)
"""Curves whose halves are of 8, 16 and 32 half pixels."""

_FIRST_BEND = 2
"""Rays of 4 half pixels and more may turn by one direction before they are continued."""


def spread(plane: Floats, size: int) -> Floats:
    """The standard deviation in a square, in which strong outliers such as damage count less."""
    squared = np.square(plane)
    for _ in range(2):
        mean = ndimage.uniform_filter(squared, size)
        np.minimum(squared, 6 * mean, out=squared)
    deviation: Floats = np.sqrt(ndimage.uniform_filter(squared, size).clip(0))
    return deviation


def along_lines(plane: Floats) -> list[Floats]:
    """The second derivative across each direction, from -1 to 1, a spot being no line.

    No pixel counts more than four standard deviations.
    """
    xx, yy, xy = (
        ndimage.gaussian_filter(plane, 1.2, order=order) for order in ((0, 2), (2, 0), (1, 1))
    )
    energy = np.sqrt((xx**2 + yy**2 + 2 * xy**2) / 2)
    limit = 4 * spread(energy, NEAR_PX) + np.float32(FLOOR / 4)
    along = []
    for number in range(_ORIENTATIONS):
        angle = np.pi * number / _ORIENTATIONS
        across_x, across_y = -np.sin(angle), np.cos(angle)
        curvature = -(across_x**2 * xx + across_y**2 * yy + 2 * across_x * across_y * xy)
        along.append(np.clip(curvature.astype(np.float32, copy=False) / limit, -1, 1))
    return along


def lines(along: list[Floats], doublings: tuple[int, ...]) -> list[tuple[Floats, Floats, Floats]]:
    """Means of the second derivative across lines, along straight pieces of 2ⁿ px.

    Returns the lowest, the highest and the mean over all directions for each length.
    """
    found: list[Any] = [None] * len(doublings)
    for number, piece in enumerate(along):
        angle = np.pi * number / _ORIENTATIONS
        done = 0
        for index, steps in enumerate(doublings):
            for step in range(done, steps):
                piece = _with_shifted(piece, 2**step * np.cos(angle), 2**step * np.sin(angle))
            done = steps
            # Shifts went one way only: back by half.
            middle = _shifted(
                piece, -(2**steps - 1) / 2 * np.cos(angle), -(2**steps - 1) / 2 * np.sin(angle)
            )
            if found[index] is None:
                found[index] = middle.copy(), middle.copy(), middle
                continue
            lowest, highest, total = found[index]
            np.minimum(lowest, middle, out=lowest)
            np.maximum(highest, middle, out=highest)
            total += middle
    return [(low, high, total / np.float32(_ORIENTATIONS)) for low, high, total in found]


def curves(along: list[Floats], sign: int) -> list[Floats]:
    """Means of the second derivative along curves: two rays from a pixel that may bend.

    A ray is continued by the best of those of equal length that start at its end in nearly its
    direction, as in Brandt and Dym, SIAM J. Appl. Math. 1999, doi:10.1137/S0036139996309306. It is
    done at half the size. Returns the largest over all directions, in standard deviations, for each
    of `_RAYS`; and for the second its excess over the mean in its surroundings.
    """
    shape = along[0].shape
    halves = [_halved(each) * np.float32(sign) for each in along]
    count = 2 * _ORIENTATIONS
    rays = halves + halves  # directions 0 to 2 pi
    best = []
    for step in range(_RAYS[-1]):
        longer = []
        for number in range(count):
            angle = np.pi * number / _ORIENTATIONS
            onward = rays[number]
            if step >= _FIRST_BEND:
                onward = np.maximum(onward, rays[number - 1])
                np.maximum(onward, rays[(number + 1) % count], out=onward)
            onward = _shifted(onward, 2**step * np.cos(angle), 2**step * np.sin(angle))
            onward += rays[number]
            onward *= np.float32(0.5)
            longer.append(onward)
        rays = longer
        if step + 1 in _RAYS:
            curve = rays[0] + rays[_ORIENTATIONS]
            for number in range(1, _ORIENTATIONS):
                np.maximum(curve, rays[number] + rays[number + _ORIENTATIONS], out=curve)
            best.append(curve * np.float32(2))
    best.append(best[1] - ndimage.uniform_filter(best[1], NEAR_PX))
    return [_doubled(each, shape) for each in best]


def _halved(plane: Floats) -> Floats:
    """Means of squares of 2 px."""
    rows, columns = plane.shape
    even = np.pad(plane, ((0, rows % 2), (0, columns % 2)), mode="edge")
    halved: Floats = even[::2, ::2] + even[1::2, ::2]
    halved += even[::2, 1::2]
    halved += even[1::2, 1::2]
    halved *= np.float32(0.25)
    return halved


def _doubled(plane: Floats, shape: tuple[int, ...]) -> Floats:
    doubled: Floats = plane.repeat(2, axis=0).repeat(2, axis=1)[: shape[0], : shape[1]]
    return doubled


def _shifted(plane: Floats, x: float, y: float) -> Floats:
    """`plane` at (row + y, column + x), to the nearest pixel; 0 beyond the border."""
    rows, columns = round(y), round(x)
    out = np.zeros_like(plane)
    height, width = plane.shape
    if abs(rows) >= height or abs(columns) >= width:
        return out
    out[max(0, -rows) : height - max(0, rows), max(0, -columns) : width - max(0, columns)] = plane[
        max(0, rows) : height - max(0, -rows), max(0, columns) : width - max(0, -columns)
    ]
    return out


def _with_shifted(plane: Floats, x: float, y: float) -> Floats:
    summed = _shifted(plane, x, y)
    summed += plane
    summed *= np.float32(0.5)
    return summed
