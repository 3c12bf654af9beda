"""Patches: small squares around specks and along scratches, many of which are fitted at once.

A region costs at least a few hundred iterations of its own. A film scan has thousands of specks, so
their patches are stacked into one tensor, and one network is fitted to the whole stack.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dip.machine.untouched_zeros import untouched_zeros
from dip.regions.box import Box, tight_box
from dip.regions.mask import thickness_px
from dip.regions.region import Region, damage_boxes, with_context
from dip.regions.rules import THIN_UP_TO_PX, has_enough_context

SIDES_PX = (32, 40, 48, 64, 80)
"""Sides of patches; patches of one side form a stack."""

CONTEXT_PX = 12
"""Smallest margin around the damage in a patch; 12 px are enough for specks."""

_LONGEST_PX = 40
"""Longer damage is cut into cells, each with a patch of its own."""

_CELL_PX = 28
"""Side of a cell."""

_FADE_PX = 6
"""Cells reach this far into each other, and their fills are cross-faded there."""

_JOINED_PX = 2
"""Damage up to twice this far apart shares a patch."""

_FEW = 12
"""Fewer patches of one side are no stack of their own."""

_WORTHWHILE = 2.0
"""Damage is divided into patches if they cover less than this multiple of its region: a pixel of a
patch takes less than half as long, and the fill is as good or better."""


@dataclass(frozen=True, eq=False)
class Patch:
    """A square around a piece of thin damage.

    Parameters
    ----------
    box : Box
        The pixels that the network sees.
    core : Box
        Inside `box`: the damage that this patch fills.
    weight : ndarray
        (core.height, core.width), float32 in [0, 1]: the share of this patch in the fill of each
        pixel; 0 for pixels that it does not fill. Along a cut it falls towards the neighbour.
    """

    box: Box
    core: Box
    weight: NDArray[np.float32]


def find_patches(unknown: NDArray[np.bool_]) -> tuple[list[Patch], NDArray[np.bool_]]:
    """Divide thin, sparse damage into patches.

    Parameters
    ----------
    unknown : ndarray
        (H, W) bool

    Returns
    -------
    patches : list of Patch
        In reading order of the groups of damage.
    rest : ndarray
        (H, W) bool: the unknown pixels that no patch fills, because they are thick or dense.
    """
    frame = Box.of(unknown)
    patches: list[Patch] = []
    rest, taken = (untouched_zeros(unknown.shape, unknown.dtype) for _ in range(2))
    for group in damage_boxes(unknown):
        # The boxes of two groups can overlap.
        damage = unknown[group.slices] & ~taken[group.slices]
        found = _patches_of_group(unknown, damage, group, frame)
        if found is None:
            rest[group.slices] |= damage
        else:
            patches += found
        taken[group.slices] |= damage
    return patches, rest


def _patches_of_group(
    unknown: NDArray[np.bool_], damage: NDArray[np.bool_], group: Box, frame: Box
) -> list[Patch] | None:
    """The patches of damage in a box; None where a region serves better."""
    region: Region | None = None
    if max(group.height, group.width) > _LONGEST_PX:
        region = with_context(unknown, group, frame)
        if region.damage != "thin":
            return None
    area, patches = 0, []
    limit = _WORTHWHILE * region.box.area if region else frame.area
    for patch in _pieces(unknown, damage, group, frame):
        if patch is None or (area := area + patch.box.area) > limit:
            return None
        patches.append(patch)
    return patches


def _pieces(
    unknown: NDArray[np.bool_], damage: NDArray[np.bool_], group: Box, frame: Box
) -> Iterator[Patch | None]:
    """A patch for each piece of damage in a box; None for a piece that no patch can hold."""
    outer = group.expanded(_JOINED_PX, frame)
    padded = np.zeros((outer.height, outer.width), dtype=bool)
    padded[group.within(outer)] = damage
    joined = ndimage.binary_dilation(padded, iterations=_JOINED_PX)
    labels, _ = ndimage.label(joined, structure=np.ones((3, 3), dtype=int))
    labels *= padded
    for number, index in enumerate(ndimage.find_objects(labels), start=1):
        if index is None:
            continue
        own = labels[index] == number
        thickness = thickness_px(np.pad(own, 1)) if min(own.shape) > 2 else 2.0
        place = Box(outer.top + index[0].start, outer.left + index[1].start, *own.shape)
        if thickness > THIN_UP_TO_PX:
            yield None
        elif max(own.shape) <= _LONGEST_PX:
            yield _patch(unknown, place, own.astype(np.float32), thickness, frame)
        else:
            yield from _cells(unknown, place, own, thickness, frame)


def _cells(
    unknown: NDArray[np.bool_], place: Box, own: NDArray[np.bool_], thickness: float, frame: Box
) -> Iterator[Patch | None]:
    """Cut a long piece of damage into cells."""
    rows, columns = (_ramps(side) for side in own.shape)
    for row, vertical in rows:
        for column, horizontal in columns:
            cell = own[row, column]
            within = tight_box(cell, Box.of(cell))
            if within is None:
                continue
            weight = np.multiply.outer(vertical, horizontal) * cell
            core = Box(
                place.top + row.start + within.top, place.left + column.start + within.left,
                within.height, within.width,
            )  # fmt: skip
            yield _patch(unknown, core, weight[within.slices], thickness, frame)


def _ramps(side: int) -> list[tuple[slice, NDArray[np.float32]]]:
    """Overlapping parts of a side, and weights that add to one."""
    count = max(1, round(side / _CELL_PX))
    edges = [side * number // count for number in range(count + 1)]
    parts = []
    for low, high in pairwise(edges):
        start = max(0, low - _FADE_PX) if low else 0
        end = min(side, high + _FADE_PX)
        position = np.arange(start, end) + 0.5
        rise = 0.5 + (position - low) / (2 * _FADE_PX) if low else np.ones(end - start)
        fall = 0.5 + (high - position) / (2 * _FADE_PX) if high < side else np.ones(end - start)
        parts.append((slice(start, end), np.clip(np.minimum(rise, fall), 0, 1).astype(np.float32)))
    return parts


def _patch(
    unknown: NDArray[np.bool_],
    core: Box,
    weight: NDArray[np.float32],
    thickness: float,
    frame: Box,
) -> Patch | None:
    """The smallest square that holds damage and context; None where there is none."""
    wanted = max(core.height, core.width) + 2 * max(CONTEXT_PX, round(thickness))
    side = next((each for each in SIDES_PX if each >= wanted), SIDES_PX[-1])
    if side > min(frame.height, frame.width) or side < max(core.height, core.width) + CONTEXT_PX:
        return None
    box = _square(core, side, frame)
    known = int(np.count_nonzero(~unknown[box.slices]))
    if not has_enough_context(known, box.area) or 2 * known < box.area:
        return None
    return Patch(box, core, weight)


def in_stacks(patches: list[Patch], frame: Box) -> dict[int, list[Patch]]:
    """Sort patches by side; a few patches of one side join those of the next larger one."""
    stacks = {side: [each for each in patches if each.box.width == side] for side in SIDES_PX}
    for side, larger in pairwise(SIDES_PX):
        if len(stacks[side]) < _FEW and stacks[larger] and larger <= min(frame.height, frame.width):
            stacks[larger] += [
                replace(each, box=_square(each.core, larger, frame)) for each in stacks.pop(side)
            ]
    return {side: stack for side, stack in stacks.items() if stack}


def _square(core: Box, side: int, frame: Box) -> Box:
    """A square around the middle of a core, inside the frame."""
    top = core.top - (side - core.height) // 2
    left = core.left - (side - core.width) // 2
    return Box(
        min(max(0, top), frame.height - side), min(max(0, left), frame.width - side), side, side
    )


def covered(patch: Patch, regions: Iterable[Region]) -> bool:
    """Whether a region fills all damage of a patch."""
    return any(patch.core.intersection(each.core) == patch.core for each in regions)
