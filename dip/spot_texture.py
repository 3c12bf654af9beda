"""The texture of specks: the detail of their surroundings, added to the fills of many at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dip.filling.detail import add_detail_to_spots
from dip.filling.whole_copies import SEARCHED_PX
from dip.machine.threads import side_by_side
from dip.regions.box import Box
from dip.regions.composite import Canvas
from dip.regions.mask import PackedPlane
from dip.samples import full_scale, to_floats

_TILE_PX = 512
"""Spots in squares of this size share the work on their surroundings."""

_MARGIN_PX = SEARCHED_PX + 16

Spot = tuple[Box, NDArray[np.float32]]
"""The box of a piece of damage, and its soft mask."""


def texture_spots(
    image: NDArray[Any],
    unknown: PackedPlane,
    smooth: Canvas,
    delivered: Canvas,
    spots: Sequence[Spot],
    *,
    strength: float,
    seed: int,
) -> None:
    """Add the detail of the surroundings to the fills of spots.

    Parameters
    ----------
    image : ndarray
        (H, W, C)
    unknown : PackedPlane
    smooth : Canvas
        The fills of all damage.
    delivered : Canvas
        Gets the fills with detail.
    spots : sequence of tuple
        Boxes of damage, and the soft mask of each, (height, width).
    strength, seed
        See `dip.filling.detail.add_detail`.
    """
    tiles: defaultdict[tuple[int, int], list[Spot]] = defaultdict(list)
    for spot in spots:
        tiles[spot[0].top // _TILE_PX, spot[0].left // _TILE_PX].append(spot)
    frame = Box.of(image)
    scale = full_scale(image.dtype)

    def work(group: list[Spot]) -> list[NDArray[np.float32]]:
        core = reduce(Box.union, (box for box, _ in group))
        seen = core.expanded(_MARGIN_PX, frame)
        guide, hidden = to_floats(image[seen.slices]), unknown[seen.slices]
        guide[hidden] = to_floats(smooth.crop(seen.slices)[hidden])
        boxes = [box.relative_to(seen) for box, _ in group]
        generator = np.random.default_rng((seed, core.top, core.left))
        return add_detail_to_spots(guide, hidden, boxes, strength=strength, generator=generator)

    groups = [tiles[place] for place in sorted(tiles)]
    with side_by_side(torch.get_num_threads()) as pool:
        for group, detailed in zip(groups, pool.map(work, groups), strict=True):
            for (box, soft_mask), pixels in zip(group, detailed, strict=True):
                inside = (soft_mask > 0).astype(np.float32)
                delivered.blend(box, pixels * scale, inside)
