"""Masks that grow: over all of their rim, or over some pixels of it.

`--grow` and the form field `grow` come here. GIMP and the page grow a mask before they send it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dip.machine.untouched_zeros import untouched_zeros
from dip.regions.box import Box
from dip.regions.mask import SoftMask, checked
from dip.regions.region import damage_boxes
from dip.samples import full_scale, to_samples

_SQUARE = 0.414
"""Share of a growth by squares; the rest is by diamonds, and both together are an octagon."""


def grown(soft_mask: SoftMask, growth_px: int) -> SoftMask:
    """Grow a soft mask in all directions, nearly round; a feathered edge moves outwards.

    Parameters
    ----------
    soft_mask : SoftMask
    growth_px : int

    Raises
    ------
    TooFewKnownPixels
        Nearly all of the image would be unknown.
    """
    frame, parts = Box.of(soft_mask.unknown), []
    for box in damage_boxes(soft_mask.unknown):
        outer = box.expanded(growth_px, frame)
        values = np.zeros((outer.height, outer.width), dtype=np.float32)
        values[box.within(outer)] = soft_mask[box.slices]
        parts.append((outer, _dilated(values, growth_px)))
    soft_mask.release()
    return checked(_with_values(soft_mask, parts))


def with_pixels(soft_mask: SoftMask, pixels: list[tuple[Box, NDArray[np.bool_]]]) -> SoftMask:
    """Mark further pixels, in full.

    Parameters
    ----------
    soft_mask : SoftMask
    pixels : list of tuple
        A box, and the pixels in it that are marked, (height, width).

    Raises
    ------
    TooFewKnownPixels
    """
    parts = [(box, soft_mask[box.slices]) for box in damage_boxes(soft_mask.unknown)]
    parts += [(box, marked.astype(np.float32)) for box, marked in pixels]
    soft_mask.release()
    return checked(_with_values(soft_mask, parts))


def _with_values(soft_mask: SoftMask, parts: list[tuple[Box, NDArray[np.float32]]]) -> SoftMask:
    """A mask with the greatest of the values that boxes give a pixel, and 0 outside of all."""
    kind = soft_mask.dtype if soft_mask.dtype.kind == "u" else np.dtype(np.float32)
    if soft_mask.dtype.kind == "b":
        kind = np.dtype(np.uint8)
    samples = untouched_zeros(soft_mask.shape, kind)
    for box, values in parts:
        old = samples[box.slices]
        np.maximum(old, to_samples(values * full_scale(kind), kind), out=old)
    return SoftMask(samples)


def _dilated(values: NDArray[np.float32], growth_px: int) -> NDArray[np.float32]:
    square_px = round(_SQUARE * growth_px)
    values = ndimage.maximum_filter(values, 2 * square_px + 1)
    for _ in range(growth_px - square_px):
        down, across = (ndimage.maximum_filter1d(values, 3, axis) for axis in (0, 1))
        values = np.maximum(down, across)
    return values
