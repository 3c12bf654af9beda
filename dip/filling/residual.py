"""Carry what a fit missed around a hole into it, in the way that suits the photograph.

What a fit missed is known at the known pixels, and there are two ways to say how it goes on. Where
it is an offset, of skin or of a sky, a membrane takes it far in. Where the surroundings repeat, as
bricks and shelves do, a membrane draws streaks, and kriging with a covariance that reaches across
several repetitions lets joints and boards run on. Which is right is tried on the photograph itself:
squares of known pixels are taken for holes, both ways fill them, and the mixture of the two that
comes nearest to what was there is found by least squares.

Source: predictors mixed by how they do on data held out: Wolpert, *Stacked generalization*, Neural
Networks 5(2), 1992, DOI 10.1016/S0893-6080(05)80023-1.
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
from dip.regions.mask import rough_thickness_px
from dip.regions.region import Box, tight_box

Array = NDArray[np.float32]
Plane = NDArray[np.bool_]

_SMOOTH_RANGE = 0.4
"""Around holes texture runs on further than around thin damage, shelves or joints: so far, in
thicknesses, within limits; the covariance of random texture is not known well at large distances.
"""
_SMOOTH_RANGE_PX = 20, 40

_SMOOTH = replace(FINE, overlap_px=16)

_REGULAR_RANGE = 1.2
_REGULAR_RANGE_PX = 40, 80
_REGULAR = KrigingWindow(core_px=64, margin_px=96, tolerance=1e-2, overlap_px=32)
_REGULAR_TRIED = KrigingWindow(core_px=128, margin_px=96, tolerance=1e-2, overlap_px=32)
"""A third of the time."""
_THICKEST_PX = 160
"""A thicker hole is reduced for the regular way, to be as thick as this at most."""

_SURROUNDINGS = 3.0
"""Squares are looked for as far from a hole as this, in thicknesses."""
_SQUARES = 12
_FEWEST_SQUARES = 3
_PLACES = 30
_DOUBTED, _BELIEVED = 0.45, 0.75
"""A share of the regular way, found in squares, that counts for nothing, and that counts for all:
the fit has seen the squares, so they lack the offset for which the smooth way is there."""


def carried(
    residual: Array, known: Plane, *, mixed: bool = True, seed: int = 0
) -> tuple[Array, float]:
    """What to add to the fill of a hole, and how regular its surroundings are.

    Parameters
    ----------
    residual : ndarray
        (H, W, C), float32: target − output; not looked at where it is unknown.
    known : ndarray
        (H, W) bool
    mixed : bool
        Whether the regular way is tried; otherwise all is carried smoothly.
    seed : int
        Of the places where the two ways are tried.

    Returns
    -------
    ndarray
        (H, W, C), float32; of use at the unknown pixels.
    float
        Share of the regular way, in [0, 1].
    """
    residual = np.where(known[:, :, None], residual, np.float32(0))
    thickness = rough_thickness_px(~known)
    smooth = _smooth(residual, known, thickness)
    hole = tight_box(~known, Box.of(known)) if mixed else None
    if hole is None:
        return smooth, 0.0
    around = hole.expanded(round(_SURROUNDINGS * thickness), Box.of(known))
    crop = around.slices
    factor = math.ceil(thickness / _THICKEST_PX)
    small, whole = reduce(residual[crop], known[crop], factor)
    share = _share_of_regular(small.mean(2, keepdims=True), whole, thickness / factor, seed)
    if share > 0:
        regular = _regular(small, whole, thickness / factor)
        if factor > 1:
            regular = enlarge(regular, around.height, around.width, factor)
            rest = residual[crop] - regular
            regular += krige(rest, known[crop], range_px=_SMOOTH_RANGE_PX[1], detail=_SMOOTH)
        smooth[crop] += np.float32(share) * (regular - smooth[crop])
    return smooth, share


def _smooth(
    residual: Array,
    known: Plane,
    thickness: float,
    *,
    wanted: Plane | None = None,
    detail: KrigingWindow = _SMOOTH,
) -> Array:
    """A membrane, and its remainder kriged from nearby."""
    nothing = np.broadcast_to(np.float32(0), residual.shape)
    smooth = harmonise(nothing, residual, known)
    range_px = _within(_SMOOTH_RANGE * thickness, _SMOOTH_RANGE_PX)
    smooth += krige(residual - smooth, known, range_px=range_px, wanted=wanted, detail=detail)
    return smooth


def _regular(
    residual: Array,
    known: Plane,
    thickness: float,
    *,
    wanted: Plane | None = None,
    detail: KrigingWindow = _REGULAR,
) -> Array:
    """Kriged from far away."""
    range_px = _within(_REGULAR_RANGE * thickness, _REGULAR_RANGE_PX)
    return krige(residual, known, range_px=range_px, wanted=wanted, detail=detail)


def _within(length: float, limits: tuple[int, int]) -> int:
    return round(min(max(length, limits[0]), limits[1]))


def _share_of_regular(residual: Array, known: Plane, thickness: float, seed: int) -> float:
    """How much of the regular way suits an image, in [0, 1], by squares of its known pixels."""

    def attempt(square: Box) -> tuple[float, float]:
        """Of the line from the smooth fill to the regular one: its slope and its curvature."""
        window = square.expanded(_REGULAR.margin_px, Box.of(known))
        inside = square.within(window)
        there = known[window.slices].copy()
        there[inside] = False
        wanted = np.zeros_like(there)
        wanted[inside] = True
        field = np.where(there[:, :, None], residual[window.slices], np.float32(0))
        smooth = _smooth(field, there, square.height, wanted=wanted, detail=ROUGH)[inside]
        regular = _regular(field, there, square.height, wanted=wanted, detail=_REGULAR_TRIED)
        step = regular[inside] - smooth
        missed = residual[square.slices] - smooth
        energy = max(float(np.square(missed).sum()), 1e-12)
        return float((missed * step).sum()) / energy, float(np.square(step).sum()) / energy

    squares = list(_squares(known, round(thickness), np.random.default_rng(seed)))
    if len(squares) < _FEWEST_SQUARES:
        return 0.0
    with side_by_side(torch.get_num_threads()) as pool:
        slopes, curvatures = np.array(list(pool.map(attempt, squares))).T
    if not curvatures.sum():
        return 0.0
    share = slopes.sum() / curvatures.sum()
    others = (slopes.sum() - slopes) / np.maximum(curvatures.sum() - curvatures, 1e-12)
    # By leaving each out (the jackknife).
    error = math.sqrt((len(squares) - 1) * others.var())
    return float(np.clip((share - error - _DOUBTED) / (_BELIEVED - _DOUBTED), 0, 1))


def _squares(known: Plane, side: int, generator: np.random.Generator) -> Iterator[Box]:
    """Squares of known pixels that overlap little, as large as there is room for."""
    counted = np.pad(known, ((1, 0), (1, 0))).astype(np.int32).cumsum(0).cumsum(1)
    for part in (1.0, 0.7, 0.5, 0.35):
        length = max(1, round(part * side))
        whole = (
            counted[length:, length:]
            - counted[:-length, length:]
            - counted[length:, :-length]
            + counted[:-length, :-length]
        )
        corners = np.argwhere(whole == length**2)
        if len(corners) >= _PLACES:
            break
    else:
        return
    taken = np.zeros(known.shape, dtype=np.int32)
    for _ in range(_SQUARES):
        some = corners[generator.integers(len(corners), size=_PLACES)]
        boxes = [Box(int(row), int(column), length, length) for row, column in some]
        square = min(boxes, key=lambda box: int(taken[box.slices].sum()))
        taken[square.slices] += 1
        yield square
