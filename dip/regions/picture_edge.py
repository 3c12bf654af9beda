"""Damage at the picture's edge that known pixels reach from one side alone.

A network interpolates between known pixels on both sides. Beyond the last of them it extrapolates,
and nothing holds it: it paints the colours of the picture into the white margin of a print. There,
a smooth fill that continues the nearest known pixels is closer to the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dip.machine.untouched_zeros import untouched_zeros
from dip.regions.box import Box
from dip.regions.mask import rough_thickness_px
from dip.regions.region import damage_boxes

Plane = NDArray[np.bool_]

_FURTHEST = 2.0
"""Known pixels on both sides support a pixel up to this distance from each other, in thicknesses of
the damage."""
_RAMP_PX = 12
"""Next to supported pixels, the weight of unsupported ones grows over this distance."""
_NONE = 60_000
"""The distance, in steps, where no known pixel lies in a direction."""


def unsupported_pixels(unknown: Plane) -> Plane | None:
    """Find the unknown pixels at the picture's edge without known pixels on both sides.

    The sides are looked at along rows, columns and both diagonals.

    Parameters
    ----------
    unknown : ndarray
        (H, W) bool, of the whole picture.

    Returns
    -------
    ndarray or None
        (H, W) bool; None where there are no such pixels.
    """
    frame = Box.of(unknown)
    found: Plane | None = None
    for box in damage_boxes(unknown):
        if not _touches(box, frame):
            continue
        labels, _ = ndimage.label(unknown[box.slices], np.ones((3, 3), dtype=int))
        for number, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
            damage = Box.from_edges(
                box.top + rows.start,
                box.left + columns.start,
                box.top + rows.stop,
                box.left + columns.stop,
            )
            if not _touches(damage, frame):
                continue
            seen = damage.expanded(1, frame)
            unsupported = _unsupported(unknown[seen.slices])[damage.within(seen)]
            unsupported &= labels[rows, columns] == number
            if found is None:
                found = untouched_zeros(unknown.shape, np.dtype(bool))
            found[damage.slices] |= unsupported
    return found if found is not None and found.any() else None


def unsupported_weight(unknown: Plane, unsupported: Plane) -> NDArray[np.float32]:
    """Weight of a fill that continues the nearest known pixels, against that of a network.

    Parameters
    ----------
    unknown, unsupported : ndarray
        (h, w) bool; see `unsupported_pixels`.

    Returns
    -------
    ndarray
        (h, w, 1), float32 in [0, 1]: 1 at unsupported pixels, but for a ramp next to other unknown
        ones, which hides the seam; 0 elsewhere.
    """
    supported = unknown & ~unsupported
    if not supported.any():
        return unsupported.astype(np.float32)[:, :, None]
    distance = ndimage.distance_transform_edt(~supported)
    weight = np.where(unsupported, np.minimum(distance / _RAMP_PX, 1), 0)
    return weight.astype(np.float32)[:, :, None]


def _touches(box: Box, frame: Box) -> bool:
    at_first = box.top == frame.top or box.left == frame.left
    return at_first or box.bottom == frame.bottom or box.right == frame.right


def _unsupported(unknown: Plane) -> Plane:
    """As `unsupported_pixels`, for one damage that touches the picture's edge."""
    most = _FURTHEST * rough_thickness_px(unknown)
    unsupported = unknown.copy()

    def gap(turn: Callable[[NDArray[Any]], NDArray[Any]], step: int) -> NDArray[np.int32]:
        """Steps between the known pixels on both sides; each turn is its own inverse."""
        both = turn(_steps(turn(unknown), step)).astype(np.int32)
        both += turn(_steps(turn(unknown)[::-1, ::-1], step)[::-1, ::-1])
        return both

    for turn, step, length in (
        (lambda plane: plane, 0, 1.0),
        (lambda plane: plane.T, 0, 1.0),
        (lambda plane: plane, 1, 2**0.5),
        (lambda plane: plane, -1, 2**0.5),
    ):
        unsupported &= gap(turn, step) * length > most
    return unsupported


def _steps(unknown: Plane, step: int) -> NDArray[np.uint16]:
    """Steps up to the next known pixel, each one row up and `step` columns to the left."""
    height, width = unknown.shape
    steps = np.full((height, width), _NONE, dtype=np.uint16)
    above = np.full(width, _NONE, dtype=np.uint16)
    for row in range(height):
        before = np.full(width, _NONE, dtype=np.uint16)
        if step == 0:
            before[:] = above
        elif step > 0:
            before[step:] = above[:-step]
        else:
            before[:step] = above[-step:]
        above = np.where(unknown[row], np.minimum(before, _NONE - 1) + 1, 0).astype(np.uint16)
        steps[row] = above
    return steps
