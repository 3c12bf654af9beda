"""Extrapolate the residual of a fit into a hole, by a smooth membrane and long-range kriging.

The residual, target − output, is known at the known pixels. Where it is an offset, as on skin or in
a sky, a membrane extends it far into the hole. Where the surroundings repeat, as bricks and shelves
do, a membrane draws streaks; kriging with a covariance across several periods continues joints and
boards. The photograph itself decides between the two: both fill squares of known pixels, and least
squares finds the weights with the smallest error there (stacking).

Source: Wolpert, *Stacked generalization*, Neural Networks 5(2), 1992,
DOI 10.1016/S0893-6080(05)80023-1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from dip.filling.kriging import FINE, ROUGH, KrigingWindow, krige
from dip.filling.membrane import harmonise
from dip.filling.resample import enlarge, reduce
from dip.machine.threads import side_by_side
from dip.regions.box import Box, tight_box
from dip.regions.mask import rough_thickness_px

Array = NDArray[np.float32]
Plane = NDArray[np.bool_]

_SMOOTH_RANGE = 0.4
"""Kriging range around holes, in thicknesses: texture continues further than around thin damage."""
_SMOOTH_RANGE_PX = 20, 40
"""Limits of that range; the covariance of random texture is uncertain at large distances."""

_SMOOTH_WINDOW = replace(FINE, overlap_px=16)

_LONG_RANGE = 1.2
"""Range of the long-range kriging, in thicknesses."""
_LONG_RANGE_PX = 40, 80
"""Limits of that range."""
_LONG_RANGE_WINDOW = KrigingWindow(core_px=64, margin_px=96, tolerance=1e-2, overlap_px=32)
_LONG_RANGE_TRIAL_WINDOW = KrigingWindow(core_px=128, margin_px=96, tolerance=1e-2, overlap_px=32)
"""Takes a third of the time."""
_LONG_RANGE_THICKNESS_PX = 160
"""For long-range kriging, an image with a thicker hole is reduced to this thickness at most."""

_SQUARES_DISTANCE = 3.0
"""Trial squares are at most this far from the hole, in thicknesses."""
_SQUARES = 12
_FEWEST_SQUARES = 3
_CANDIDATES = 30
"""Each trial square is chosen among so many random positions."""
_WEIGHT_AS_0, _WEIGHT_AS_1 = 0.45, 0.75
"""Measured weights of long-range kriging below the first become 0, above the second 1. The measured
weight is too high: the fit has seen the trial squares, so their residual lacks the offset that a
membrane extends into a hole."""


def extrapolate_residual(
    residual: Array, known: Plane, *, stacked: bool = True, seed: int = 0
) -> tuple[Array, float]:
    """Extrapolate the residual into a hole, by a smooth membrane or long-range kriging.

    Parameters
    ----------
    residual : ndarray
        (H, W, C), float32: target − output; ignored where unknown.
    known : ndarray
        (H, W) bool
    stacked : bool
        Whether long-range kriging is tried; otherwise only the smooth membrane is used.
    seed : int
        Seed of the positions of the trial squares.

    Returns
    -------
    ndarray
        (H, W, C), float32, to be added to the output; only the unknown pixels are meaningful.
    float
        Regularity of the surroundings: the weight of long-range kriging, in [0, 1].
    """
    residual = np.where(known[:, :, None], residual, np.float32(0))
    thickness = rough_thickness_px(~known)
    smooth = _smooth_fill(residual, known, thickness)
    hole = tight_box(~known, Box.of(known)) if stacked else None
    if hole is None:
        return smooth, 0.0
    around = hole.expanded(round(_SQUARES_DISTANCE * thickness), Box.of(known))
    crop = around.slices
    factor = math.ceil(thickness / _LONG_RANGE_THICKNESS_PX)
    small, small_known = reduce(residual[crop], known[crop], factor)
    gray = small.mean(2, keepdims=True)
    regularity = _measure_regularity(gray, small_known, thickness / factor, seed)
    if regularity > 0:
        kriged = _long_range_fill(small, small_known, thickness / factor)
        if factor > 1:
            kriged = enlarge(kriged, around.height, around.width, factor)
            rest = residual[crop] - kriged
            range_px = _SMOOTH_RANGE_PX[1]
            kriged += krige(rest, known[crop], range_px=range_px, window=_SMOOTH_WINDOW)
        smooth[crop] += np.float32(regularity) * (kriged - smooth[crop])
    return smooth, regularity


def _smooth_fill(
    residual: Array,
    known: Plane,
    thickness: float,
    *,
    needed: Plane | None = None,
    window: KrigingWindow = _SMOOTH_WINDOW,
) -> Array:
    """A membrane, plus its short-range kriged remainder."""
    zero = np.broadcast_to(np.float32(0), residual.shape)
    smooth = harmonise(zero, residual, known)
    range_px = _clamp(_SMOOTH_RANGE * thickness, _SMOOTH_RANGE_PX)
    smooth += krige(residual - smooth, known, range_px=range_px, needed=needed, window=window)
    return smooth


def _long_range_fill(
    residual: Array,
    known: Plane,
    thickness: float,
    *,
    needed: Plane | None = None,
    window: KrigingWindow = _LONG_RANGE_WINDOW,
) -> Array:
    range_px = _clamp(_LONG_RANGE * thickness, _LONG_RANGE_PX)
    return krige(residual, known, range_px=range_px, needed=needed, window=window)


def _clamp(length: float, limits: tuple[int, int]) -> int:
    return round(min(max(length, limits[0]), limits[1]))


def _measure_regularity(residual: Array, known: Plane, thickness: float, seed: int) -> float:
    """The best weight of long-range kriging in squares of known pixels, in [0, 1]."""

    def measure(square: Box) -> tuple[float, float]:
        """Slope and curvature of the error, from the smooth fill to the long-range fill."""
        seen = square.expanded(_LONG_RANGE_WINDOW.margin_px, Box.of(known))
        inside = square.within(seen)
        trial_known = known[seen.slices].copy()
        trial_known[inside] = False
        needed = np.zeros_like(trial_known)
        needed[inside] = True
        field = np.where(trial_known[:, :, None], residual[seen.slices], np.float32(0))
        side = square.height
        smooth = _smooth_fill(field, trial_known, side, needed=needed, window=ROUGH)[inside]
        kriged = _long_range_fill(
            field, trial_known, side, needed=needed, window=_LONG_RANGE_TRIAL_WINDOW
        )
        step = kriged[inside] - smooth
        error = residual[square.slices] - smooth
        energy = max(float(np.square(error).sum()), 1e-12)
        return float((error * step).sum()) / energy, float(np.square(step).sum()) / energy

    squares = list(_trial_squares(known, round(thickness), np.random.default_rng(seed)))
    if len(squares) < _FEWEST_SQUARES:
        return 0.0
    with side_by_side(torch.get_num_threads()) as pool:
        slopes, curvatures = np.array(list(pool.map(measure, squares))).T
    if not curvatures.sum():
        return 0.0
    weight = slopes.sum() / curvatures.sum()
    # Standard error by the jackknife: the weight without each square in turn.
    others = (slopes.sum() - slopes) / np.maximum(curvatures.sum() - curvatures, 1e-12)
    deviation = math.sqrt((len(squares) - 1) * others.var())
    lower = weight - deviation
    return float(np.clip((lower - _WEIGHT_AS_0) / (_WEIGHT_AS_1 - _WEIGHT_AS_0), 0, 1))


def _trial_squares(known: Plane, side: int, generator: np.random.Generator) -> Iterator[Box]:
    """Squares of known pixels that overlap little, as large as the known area allows."""
    summed = np.pad(known, ((1, 0), (1, 0))).astype(np.int32).cumsum(0).cumsum(1)
    for scale in (1.0, 0.7, 0.5, 0.35):
        length = max(1, round(scale * side))
        known_count = (
            summed[length:, length:]
            - summed[:-length, length:]
            - summed[length:, :-length]
            + summed[:-length, :-length]
        )
        corners = np.argwhere(known_count == length**2)
        if len(corners) >= _CANDIDATES:
            break
    else:
        return
    used = np.zeros(known.shape, dtype=np.int32)
    for _ in range(_SQUARES):
        candidates = corners[generator.integers(len(corners), size=_CANDIDATES)]
        boxes = [Box(int(row), int(column), length, length) for row, column in candidates]
        square = min(boxes, key=lambda box: int(used[box.slices].sum()))
        used[square.slices] += 1
        yield square
