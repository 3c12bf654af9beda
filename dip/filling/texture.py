"""Give the smooth fill of a hole the detail of its surroundings.

A network's fill, averaged over runs, is the expected colour of each pixel: nothing has a higher
PSNR, and where the photograph is full of detail nothing looks less like it (Blau, Michaeli, *The
perception-distortion tradeoff*, CVPR 2018, DOI 10.1109/CVPR.2018.00652). Here it becomes the guide
by which pieces of the surroundings are copied: coarsely by a shift map, then from size to size by
patch matching. What detail these have, and the fill has not, is laid over it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dip.filling.laplacian_bands import complete
from dip.filling.patch_match import PATCH_PX, PatchField
from dip.filling.resample import enlarge, reduce
from dip.filling.shift_map import Offsets, dominant_offsets, shift_map
from dip.regions.mask import rough_thickness_px
from dip.regions.region import Box, tight_box

Array = NDArray[np.float32]
Plane = NDArray[np.bool_]

TEXTURE_MB = 180.0
"""What it takes beside its arguments and result, at most; measured."""

_CONTEXT = 3.0
"""How far around a hole is copied from, in thicknesses."""
_NEAR = 1.5
"""How far around it offsets are counted, in thicknesses."""
_MOST_OFFSETS = 60
_MOST_SOURCES = 120_000
_MOST_NODES = 4_000
_MOST_SEARCHED_PX = 1_000_000
"""Larger images than this are not searched again: there, what was found one size below is used."""
_SMALLEST_SIDE_PX = 32
_ROUNDS = 2


def add_texture(
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
        (H, W) bool; the target is not looked at elsewhere.
    strength : float
        In [0, 1]: 0 leaves the fill as it is, 1 makes it as rich in detail as its surroundings.
    regularity : float
        Of the surroundings, in [0, 1], see `dip.filling.residual.carried`: where they repeat,
        copies are right, and stand for the fill.
    seed : int

    Returns
    -------
    ndarray
        (H, W, C), float32; `fill` itself where too little is known to copy from.
    """
    unknown = ~known
    hole = tight_box(unknown, Box.of(known)) if strength > 0 else None
    if hole is None:
        return fill
    width = rough_thickness_px(unknown)
    window = hole.expanded(int(_CONTEXT * width), Box.of(known)).slices
    guide = np.where(known[window][:, :, None], target[window], fill[window])
    copied = _copy(guide, unknown[window], width, np.random.default_rng(seed))
    if copied is None:
        return fill
    textured = complete(guide, copied, strength=strength)
    textured += np.float32(strength * regularity**2) * (copied - textured)
    textured = textured.clip(guide.min(), guide.max())
    result = fill.copy()
    result[window][unknown[window]] = textured[unknown[window]]
    return result


def _copy(
    guide: Array, unknown: Plane, thickness: float, generator: np.random.Generator
) -> Array | None:
    """The image, its hole filled with copies; nothing where too little is known."""
    sizes = [(guide, unknown)]  # each half as large as the one before
    counted = None
    while min(sizes[-1][1].shape) >= 2 * _SMALLEST_SIDE_PX:
        hole = sizes[-1][1]
        if counted is None and np.count_nonzero(~hole) <= _MOST_SOURCES:
            counted = len(sizes) - 1
        if counted is not None and np.count_nonzero(hole) <= _MOST_NODES:
            break
        smaller, whole = reduce(sizes[-1][0], ~hole, 2)
        sizes.append((smaller, ~whole))
    if counted is None:
        counted = len(sizes) - 1
    image, hole = sizes[counted]
    near = ndimage.distance_transform_edt(~hole) < _NEAR * thickness / 2**counted + 8
    offsets = dominant_offsets(image, ~hole, near, most=_MOST_OFFSETS, generator=generator)
    field = PatchField(image, hole, generator)
    if not len(offsets) or not len(field.sources):
        return None
    factor = 2 ** (len(sizes) - 1 - counted)
    labels = shift_map(*sizes[-1], np.round(offsets / factor).astype(np.int64))
    field.start(*_shifted(field, labels, offsets, factor))
    return _refine(field, sizes[:counted], generator)


def _shifted(
    field: PatchField, labels: NDArray[np.int64], offsets: Offsets, factor: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where a shift map of an image that is smaller by a factor takes a field's targets from."""
    rows, columns = np.divmod(field.targets, field.shape[1])
    label = labels[rows // factor, columns // factor]
    moved = np.where(label[:, None] < 0, np.iinfo(np.int32).min, offsets[label])
    return rows + moved[:, 0], columns + moved[:, 1]


def _refine(
    field: PatchField, larger: list[tuple[Array, Plane]], generator: np.random.Generator
) -> Array:
    """Search and vote at the size of a field, then at each larger one, the largest last."""
    field.vote()
    _improve(field)
    for guide, unknown in reversed(larger):
        smaller, field = field, PatchField(guide, unknown, generator)
        rows, columns = np.divmod(field.targets, field.shape[1])
        inner = [
            np.clip(place // 2, PATCH_PX // 2, side - 1 - PATCH_PX // 2)
            for place, side in zip((rows, columns), smaller.shape, strict=True)
        ]
        row, column = smaller.matches(*inner)
        field.start(
            np.where(row < 0, -1, 2 * (row - inner[0]) + rows),
            2 * (column - inner[1]) + columns,
        )
        field.image[unknown] = enlarge(smaller.image, *field.shape, 2)[unknown]
        field.vote(compare=_is_searched(field))
        _improve(field)
    return field.image


def _improve(field: PatchField) -> None:
    for _ in range(_ROUNDS if _is_searched(field) else 0):
        field.search()
        field.vote()


def _is_searched(field: PatchField) -> bool:
    return field.shape[0] * field.shape[1] <= _MOST_SEARCHED_PX
