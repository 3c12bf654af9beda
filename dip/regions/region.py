"""The regions of a photograph that are fitted: the damage and its context.

Geometry is row-first: (top, left, height, width), in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dip.config import Damage
from dip.regions.box import Box, tight_box
from dip.regions.mask import kind_of_damage, thickness_px
from dip.regions.rules import BLOCK_PX, THIN_CONTEXT_PX, has_enough_context, hole_context_px

TILE_OVERLAP_PX = 12
"""Tiles reach this far into each other's cores, and are cross-faded there."""

_DIVIDED_PX = 80_000
"""Larger regions of thin damage are halved, so that two cores share them, unless there are many."""

ENOUGH_REGIONS = 4
"""So many regions of thin damage can be fitted side by side, undivided."""

_SMALLEST_PX = 64
"""Smallest side of a region where the image allows it: networks have up to five scales."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """A rectangle of the photograph that is fitted at once.

    Parameters
    ----------
    box : Box
        The pixels that the network sees: the damage and its context.
    core : Box
        Inside `box`: the damage that this region fills.
    damage : str
        Its kind; see `dip.regions.mask.kind_of_damage`.
    reduction : int
        The region is fitted at 1 / reduction of its size.
    tiled : bool
        Whether neighbouring regions share damage with this one, so that fills are cross-faded.
    """

    box: Box
    core: Box
    damage: Damage
    reduction: int = 1
    tiled: bool = False

    @property
    def fitted_pixels(self) -> int:
        """Pixels of the image that the network produces."""
        return math.ceil(self.box.height / self.reduction) * math.ceil(
            self.box.width / self.reduction
        )


def plan_regions(
    unknown: NDArray[np.bool_],
    *,
    max_pixels: Mapping[Damage, int],
    damage: NDArray[np.bool_] | None = None,
    halve: bool = True,
) -> list[Region]:
    """Divide the damage into regions; distant damage gets a region of its own.

    Parameters
    ----------
    unknown : ndarray
        (H, W) bool
    max_pixels : mapping
        Largest region for each kind of damage, in pixels. A larger region of thin or scattered
        damage is cut into overlapping tiles; one with a hole is fitted at reduced size.
    damage : ndarray, optional
        (H, W) bool: the unknown pixels that need a region; all when None.
    halve : bool
        Whether large regions of thin damage become two, for two cores.

    Returns
    -------
    list of Region
        In reading order. Each pixel of the damage is in the core of at least one region.
    """
    frame = Box.of(unknown)
    boxes = damage_boxes(unknown if damage is None else damage)
    groups = _merged([with_context(unknown, box, frame) for box in boxes], frame)
    halve = halve and sum(group.damage == "thin" for group in groups) < ENOUGH_REGIONS
    regions: list[Region] = []
    for group in groups:
        most = max_pixels[group.damage]
        divided = halve and group.damage == "thin" and group.box.area > _DIVIDED_PX
        if group.box.area <= most and not divided:
            regions.append(group)
        elif group.damage == "hole":
            reduction = math.ceil(math.sqrt(group.box.area / most))
            regions.append(
                Region(box=group.box, core=group.core, damage="hole", reduction=reduction)
            )
        else:
            regions.extend(_tiles(unknown, group, frame, most))
    return sorted(regions, key=lambda region: region.core)


def damage_boxes(unknown: NDArray[np.bool_]) -> list[Box]:
    """Find tight boxes around damaged areas that are more than a block apart."""
    height, width = unknown.shape
    rows = np.arange(0, height, BLOCK_PX)
    columns = np.arange(0, width, BLOCK_PX)
    # Row by row of blocks: reduceat along columns takes sixty times as long.
    strips = np.stack([unknown[row : row + BLOCK_PX].any(axis=0) for row in rows])
    blocks = np.logical_or.reduceat(strips, columns, axis=1)
    labels, _ = ndimage.label(blocks, structure=np.ones((3, 3), dtype=int))
    boxes = []
    for row_slice, column_slice in ndimage.find_objects(labels):
        block = Box.from_edges(
            row_slice.start * BLOCK_PX,
            column_slice.start * BLOCK_PX,
            min(row_slice.stop * BLOCK_PX, height),
            min(column_slice.stop * BLOCK_PX, width),
        )
        box = tight_box(unknown, block)
        if box is not None:
            boxes.append(box)
    return boxes


def with_context(unknown: NDArray[np.bool_], core: Box, frame: Box) -> Region:
    """Make the region of the damage in a box, with the margin that its kind of damage needs."""
    # With some surroundings: a straight scratch fills its own box.
    crop = unknown[core.expanded(BLOCK_PX, frame).slices]
    damage = kind_of_damage(crop)
    margin = hole_context_px(thickness_px(crop)) if damage == "hole" else THIN_CONTEXT_PX
    margin = max(margin, (_SMALLEST_PX - min(core.height, core.width) + 1) // 2)
    box = core.expanded(margin, frame)
    while box != frame and not _has_enough_context(unknown, box):
        margin *= 2
        box = core.expanded(margin, frame)
    return Region(box=box, core=core, damage=damage)


def _has_enough_context(unknown: NDArray[np.bool_], box: Box) -> bool:
    return has_enough_context(int(np.count_nonzero(~unknown[box.slices])), box.area)


def _merged(groups: list[Region], frame: Box) -> list[Region]:
    """Join groups where one larger region costs less than two that overlap."""
    difficulty = {"thin": 0, "scattered": 1, "hole": 2}
    merged: list[Region] = []
    for group in groups:
        position = 0
        while position < len(merged):  # a join may enable a join with an earlier group
            other = merged[position]
            box, shared = group.box.union(other.box), group.box.intersection(other.box)
            if box.area <= 1.1 * (group.box.area + other.box.area) - shared.area:
                damage = max(group.damage, other.damage, key=difficulty.__getitem__)
                group = Region(box=box, core=group.core.union(other.core), damage=damage)
                merged.pop(position)
                position = 0
            else:
                position += 1
        merged.append(group)
    return merged


def _tiles(
    unknown: NDArray[np.bool_], group: Region, frame: Box, max_pixels: int
) -> Iterator[Region]:
    """Cut a group into tiles of at most `max_pixels`, context included, where there is damage."""
    side = max(_SMALLEST_PX, math.isqrt(max_pixels) - 2 * THIN_CONTEXT_PX)
    down = math.ceil(group.core.height / side)
    across = math.ceil(group.core.width / side)
    if down == across == 1:
        down, across = (2, 1) if group.core.height > group.core.width else (1, 2)
    for top, height in _split(group.core.top, group.core.height, down):
        for left, width in _split(group.core.left, group.core.width, across):
            core = tight_box(unknown, Box(top, left, height, width))
            if core is not None:
                context = with_context(unknown, core, frame)
                yield Region(box=context.box, core=core, damage=group.damage, tiled=True)


def _split(start: int, length: int, parts: int) -> Iterator[tuple[int, int]]:
    edges = [start + length * index // parts for index in range(parts + 1)]
    for low, high in pairwise(edges):
        yield low, high - low
