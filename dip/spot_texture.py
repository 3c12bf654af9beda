"""The texture of specks: the detail of their surroundings, added to the fills of many at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dip.filling.detail import add_detail_to_stack
from dip.filling.whole_copies import SEARCHED_PX
from dip.machine.threads import side_by_side
from dip.regions.box import Box
from dip.regions.composite import Canvas, Fill
from dip.regions.mask import PackedPlane
from dip.samples import full_scale, to_floats, to_samples

_TILE_PX = 512
"""Where spots are dense, those in squares of this size share their surroundings."""
_MARGIN_PX = SEARCHED_PX + 16
_SEARCHED_PX = 28
"""Where they are not, sources are looked for so far around each spot."""
_MEASURED_PX = 16
"""The detail is measured so far around it."""
_STEP_PX = 16
"""The windows around spots have sides that are multiples of this: those of one size are a stack."""
_STACK_PX = 300_000
"""Pixels of a stack of windows at most, for memory."""

Spot = tuple[Box, NDArray[np.float32]]
"""The box of a piece of damage, and its soft mask."""


def texture_spots(
    image: NDArray[Any],
    unknown: PackedPlane,
    smooth: Canvas,
    spots: Sequence[Spot],
    *,
    strength: float,
    seed: int,
) -> Iterator[Fill]:
    """Add the detail of the surroundings to the fills of spots.

    Parameters
    ----------
    image : ndarray
        (H, W, C)
    unknown : PackedPlane
    smooth : Canvas
        The fills of all damage.
    spots : sequence of tuple
        Boxes of damage, and the soft mask of each, (height, width).
    strength, seed
        See `dip.filling.detail.add_detail`.

    Yields
    ------
    Fill
        With detail, one for each spot.
    """
    scale = full_scale(image.dtype)

    def work(stack: _Stack) -> NDArray[np.float32]:
        guides, hidden = [], []
        for window in stack.windows:
            pixels, inside = to_floats(image[window.slices]), unknown[window.slices]
            pixels[inside] = to_floats(smooth.crop(window.slices)[inside])
            guides.append(pixels)
            hidden.append(inside)
        first = stack.spots[0][0]
        generator = np.random.default_rng((seed, first.top, first.left))
        return add_detail_to_stack(
            np.stack(guides), np.stack(hidden), stack.inner, strength=strength, generator=generator
        )

    stacks = list(_stacks(spots, Box.of(image)))
    with side_by_side(torch.get_num_threads()) as pool:
        for stack, detailed in zip(stacks, pool.map(work, stacks), strict=True):
            for number, (box, soft_mask) in enumerate(stack.spots):
                one = len(stack.windows) == 1
                place = box.relative_to(stack.windows[0 if one else number]).within(stack.inner)
                pixels = to_samples(detailed[0 if one else number][place] * scale, image.dtype)
                yield Fill(box=box, pixels=pixels, soft_mask=soft_mask)


class _Stack(NamedTuple):
    """Spots, and windows of one size: one for each spot, or one around all of them."""

    spots: list[Spot]
    windows: list[Box]
    inner: Box
    """The part of each window in which detail is measured and added."""


def _stacks(spots: Sequence[Spot], frame: Box) -> Iterator[_Stack]:
    """Divide spots into stacks, so that little of the image is looked at twice."""
    tiles: defaultdict[tuple[int, int], list[Spot]] = defaultdict(list)
    for spot in spots:
        tiles[spot[0].top // _TILE_PX, spot[0].left // _TILE_PX].append(spot)
    alike: defaultdict[tuple[int, Box], list[tuple[Spot, Box]]] = defaultdict(list)
    for place in sorted(tiles):
        group = tiles[place]
        windows = [_window(box, frame) for box, _ in group]
        core = reduce(Box.union, (box for box, _ in group))
        seen = core.expanded(_MARGIN_PX, frame)
        too_large = max(window.height for window in windows) > min(frame.height, frame.width)
        if too_large or sum(window.area for window in windows) > seen.area:
            measured = core.expanded(_MEASURED_PX, frame).relative_to(seen)
            yield _Stack(group, [seen], measured)
            continue
        for spot, window in zip(group, windows, strict=True):
            inner = _inner(spot[0].relative_to(window), window.height)
            alike[window.height, inner].append((spot, window))
    for (side, inner), each in alike.items():
        most = max(1, _STACK_PX // side**2)
        for start in range(0, len(each), most):
            part = each[start : start + most]
            yield _Stack([spot for spot, _ in part], [window for _, window in part], inner)


def _window(spot: Box, frame: Box) -> Box:
    """A square around a spot, of one of a few sizes; inside the frame if that is large enough."""
    side = max(spot.height, spot.width) + 2 * _SEARCHED_PX
    side += -side % _STEP_PX
    top, left = spot.top - (side - spot.height) // 2, spot.left - (side - spot.width) // 2
    top, left = min(top, frame.height - side), min(left, frame.width - side)
    return Box(max(0, top), max(0, left), side, side)


def _inner(spot: Box, side: int) -> Box:
    """The middle of a spot's window if the spot is there, else the window."""
    margin = _SEARCHED_PX - _MEASURED_PX
    middle = Box(margin, margin, side - 2 * margin, side - 2 * margin)
    return middle if middle.intersection(spot) == spot else Box(0, 0, side, side)
