"""Pictures of the present state of a restoration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dip.regions.box import Box
from dip.regions.composite import Canvas, composite

Array = NDArray[Any]

_LONGEST_PX = 1280
"""Longer side of a preview of all damage."""

_MARGIN_PX = 16
"""Smallest margin around the damage."""


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The current state of a rectangle of the image.

    Parameters
    ----------
    box : Box
    pixels : ndarray
        (height, width, C), of the image's sample type; the image's own outside the damage. Every
        `reduction`-th row and column of the box.
    reduction : int
    """

    box: Box
    pixels: Array
    reduction: int = 1


def preview_of_damage(
    image: Array, canvas: Canvas, damage: Sequence[tuple[Box, NDArray[np.float32]]]
) -> Preview:
    """Draw all damage with the fills so far, at a reduced size where it is wide.

    Parameters
    ----------
    image : ndarray
        (H, W, C)
    canvas : Canvas
    damage : sequence of tuple
        Boxes, and the soft mask of each, (height, width).
    """
    whole = reduce(Box.union, (core for core, _ in damage))
    margin = max(_MARGIN_PX, max(whole.height, whole.width) // 8)
    box = whole.expanded(margin, Box.of(image))
    step = -(-max(box.height, box.width) // _LONGEST_PX)
    shown = image[box.slices][::step, ::step].copy()
    for core, soft_mask in damage:
        top, left = -(core.top - box.top) % step, -(core.left - box.left) % step
        mask = soft_mask[top::step, left::step]
        row, column = (core.top + top - box.top) // step, (core.left + left - box.left) // step
        index = slice(row, row + mask.shape[0]), slice(column, column + mask.shape[1])
        fill = canvas.crop(core.slices)[top::step, left::step]
        shown[index] = composite(shown[index], fill, mask)
    return Preview(box=box, pixels=shown, reduction=step)
