"""Continue the structure of the surroundings through the smooth fill of a hole.

A network's fill, averaged over runs, is the expected colour of each pixel. It has the highest PSNR,
but in a detailed photograph it looks blurred (Blau, Michaeli, *The perception-distortion tradeoff*,
CVPR 2018, DOI 10.1109/CVPR.2018.00652). This module uses it as a guide to copy pieces of the
surroundings: first a shift map at the smallest scale, then patch matching at each larger scale. The
detail that the copies have and the fill lacks is added to the fill.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dip.filling.laplacian_bands import add_missing_bands
from dip.filling.patch_match import PATCH_PX, PatchField
from dip.filling.resample import enlarge, reduce
from dip.filling.shift_map import Offsets, dominant_offsets, shift_map
from dip.regions.box import Box, tight_box
from dip.regions.mask import rough_thickness_px

Array = NDArray[np.float32]
Plane = NDArray[np.bool_]

STRUCTURE_MB = 180.0
"""Peak memory beside arguments and result; measured."""

_HALF_THICK_PX = 8
"""Structure continues through damage of twice this thickness; a scratch that touches a hole is too
thin to need it, and its fill is known well."""
_CONTEXT = 3.0
"""Detail is copied from at most this far around a hole, in thicknesses."""
_OFFSETS_CONTEXT = 1.5
"""Offsets are counted at most this far around a hole, in thicknesses."""
_MAX_OFFSETS = 60
_MAX_SOURCES = 120_000
"""Offsets are counted at the largest scale with at most so many known pixels."""
_MAX_NODES = 4_000
"""The shift map is computed at a scale with at most so many unknown pixels."""
_MAX_SEARCHED_PX = 1_000_000
"""Larger scales than this reuse the matches of the scale below, without a new search."""
_SMALLEST_SIDE_PX = 32
_ROUNDS = 2


def add_structure(
    fill: Array,
    target: Array,
    known: Plane,
    *,
    strength: float = 1.0,
    regularity: float = 0.0,
    seed: int = 0,
) -> Array:
    """Copy the detail of the known pixels into a smooth fill.

    Parameters
    ----------
    fill, target : ndarray
        (H, W, C), float32, in units of full scale
    known : ndarray
        (H, W) bool; the target is ignored elsewhere.
    strength : float
        In [0, 1]: 0 leaves the fill unchanged, 1 gives it as much detail as its surroundings.
    regularity : float
        Regularity of the surroundings, in [0, 1], from `dip.filling.residual.extrapolate_residual`:
        the copies replace the fill where the surroundings repeat.
    seed : int

    Returns
    -------
    ndarray
        (H, W, C), float32; `fill` itself where the known pixels are too few or the damage is thin.
    """
    unknown = _thick_parts(~known)
    hole = tight_box(unknown, Box.of(known)) if strength > 0 else None
    if hole is None:
        return fill
    width = rough_thickness_px(unknown)
    window = hole.expanded(int(_CONTEXT * width), Box.of(known)).slices
    guide = np.where(known[window][:, :, None], target[window], fill[window])
    copied = _copy(guide, unknown[window], width, np.random.default_rng(seed))
    if copied is None:
        return fill
    textured = add_missing_bands(guide, copied, strength=strength)
    textured += np.float32(strength * regularity**2) * (copied - textured)
    textured = textured.clip(guide.min(), guide.max())
    result = fill.copy()
    result[window][unknown[window]] = textured[unknown[window]]
    return result


def _thick_parts(unknown: Plane) -> Plane:
    """The parts of damage that hold a disc, with their corners; the rest is as good as known."""
    thick = ndimage.distance_transform_edt(unknown) > _HALF_THICK_PX
    if not thick.any():
        return thick
    parts: Plane = unknown & (ndimage.distance_transform_edt(~thick) <= 1.5 * _HALF_THICK_PX)
    return parts


def _copy(
    guide: Array, unknown: Plane, thickness: float, generator: np.random.Generator
) -> Array | None:
    """The image with copies in its hole; None where the known pixels are too few."""
    scales = [(guide, unknown)]  # each half as large as the one before
    counted = None  # index of the scale at which offsets are counted
    while min(scales[-1][1].shape) >= 2 * _SMALLEST_SIDE_PX:
        hole = scales[-1][1]
        if counted is None and np.count_nonzero(~hole) <= _MAX_SOURCES:
            counted = len(scales) - 1
        if counted is not None and np.count_nonzero(hole) <= _MAX_NODES:
            break
        smaller, smaller_known = reduce(scales[-1][0], ~hole, 2)
        scales.append((smaller, ~smaller_known))
    if counted is None:
        counted = len(scales) - 1
    image, hole = scales[counted]
    near = ndimage.distance_transform_edt(~hole) < _OFFSETS_CONTEXT * thickness / 2**counted + 8
    offsets = dominant_offsets(image, ~hole, near, most=_MAX_OFFSETS, generator=generator)
    field = PatchField(image, hole, generator)
    if not len(offsets) or not len(field.sources):
        return None
    factor = 2 ** (len(scales) - 1 - counted)
    labels = shift_map(*scales[-1], np.round(offsets / factor).astype(np.int64))
    field.start(*_positions(field, labels, offsets, factor))
    return _refine(field, scales[:counted], generator)


def _positions(
    field: PatchField, labels: NDArray[np.int64], offsets: Offsets, factor: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns that a shift map, smaller by a factor, assigns to the field's targets."""
    rows, columns = np.divmod(field.targets, field.shape[1])
    label = labels[rows // factor, columns // factor]
    offset = np.where(label[:, None] < 0, np.iinfo(np.int32).min, offsets[label])
    return rows + offset[:, 0], columns + offset[:, 1]


def _refine(
    field: PatchField, larger: list[tuple[Array, Plane]], generator: np.random.Generator
) -> Array:
    """Search and vote at the scale of a field, then at each larger scale."""
    field.vote()
    _improve(field)
    for guide, unknown in reversed(larger):
        smaller, field = field, PatchField(guide, unknown, generator)
        rows, columns = np.divmod(field.targets, field.shape[1])
        inner = [
            np.clip(position // 2, PATCH_PX // 2, side - 1 - PATCH_PX // 2)
            for position, side in zip((rows, columns), smaller.shape, strict=True)
        ]
        row, column = smaller.matches(*inner)
        field.start(
            np.where(row < 0, -1, 2 * (row - inner[0]) + rows),
            2 * (column - inner[1]) + columns,
        )
        field.image[unknown] = enlarge(smaller.image, *field.shape, 2)[unknown]
        field.vote(compare=_is_searched(field))
        _improve(field)
    return field.copies(compare=_is_searched(field))


def _improve(field: PatchField) -> None:
    for _ in range(_ROUNDS if _is_searched(field) else 0):
        field.search()
        field.vote()


def _is_searched(field: PatchField) -> bool:
    return field.shape[0] * field.shape[1] <= _MAX_SEARCHED_PX
