"""Copy blocks of detail from the surroundings, each whole, and cross-fade them.

A mean of several copies is smooth: grain that is averaged is no longer grain. So each block of the
damage copies from one place, all channels together, and between two blocks the weights are such
that the sum of two independent copies has the energy of one.
"""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from dip.filling.blur import blur

Array = NDArray[np.float32]
Plane = NDArray[np.bool_]
Index = NDArray[np.int64]

BLOCK_PX = 8
_FADE_PX = 3.0
"""Width of the cross-fade between two blocks; the rest of a block is a copy of one place."""
_CLEAR_PX = BLOCK_PX
"""A source has no unknown pixel this near to its centre, up or down, left or right."""
_CLOSE_PX = BLOCK_PX // 2
"""The same where no source resembles a block, and no more than that is compared: a narrow margin
holds the only paper of its kind."""
_POOR = 0.06
"""Root mean square, in units of full scale, from which a source does not resemble a block."""
_CLOSE_STEP_PX = 2
"""They are looked for in every second row and column."""
_CLOSE_TRIALS_PX = 2, 2, 4, 8, 16, 32, 48
"""Largest distances of places whose nearest close source is tried."""
_WINDOW_PX = np.arange(-8, 9, 2)
_ROUGH_WINDOW_PX = np.arange(-8, 9, 4)
_CLOSE_WINDOW_PX = np.arange(-4, 5, 2)
"""Rows and columns, from a block's centre, at which a source is compared: to refine it, to choose
among random places, and where none resembles the block."""
_BLUR_PX = 1.0
"""Sources are compared after a blur: structure is to agree, and grain cannot."""
_UNKNOWN_WEIGHT = 0.5
"""Weight of the fill, relative to known pixels, in this comparison."""
_NEAR_PX, _NEAR_TRIALS = 48, 32
_FAR_PX, _FAR_TRIALS = 80, 8
"""Largest distance of a source, and the number of random places that are tried for each block."""
_ROUNDS = 2
"""Rounds in which a block tries its neighbours' offsets, and places around its own."""
_REFINED_PX = 12, 4, 2, 1, 1
"""Largest distance of the places around: beside an edge a source must be right to a pixel."""

SEARCHED_PX = _FAR_PX + BLOCK_PX
"""Nothing further away than this is copied."""


def copy_blocks(
    detail: Array, guide: Array, unknown: Plane, wanted: Plane, generator: np.random.Generator
) -> Array | None:
    """Copy the detail of similar places to the damage, inside each image of a stack.

    Parameters
    ----------
    detail : ndarray
        (N, H, W, C), float32, with a mean near zero; several have a height in whole blocks.
    guide : ndarray
        (N, H, W, C), float32: images, with a fill where unknown; sources resemble them.
    unknown : ndarray
        (N, H, W) bool; blocks with an unknown pixel that is wanted get a copy.
    wanted : ndarray
        (N, H, W) bool, the pixels at which the copies are needed: `unknown` and a margin.
    generator : numpy Generator

    Returns
    -------
    ndarray or None
        (N, H, W, C), float32: the detail, with copies where wanted; None where no source is known.
    """
    offsets = _Search(guide, unknown, wanted, generator).offsets()
    if offsets is None:
        return None
    copied = detail.copy()
    below_each_other = copied.reshape(-1, *detail.shape[2:])
    rows, columns = np.nonzero(wanted.reshape(-1, wanted.shape[2]))
    copies = _cross_fade(below_each_other, offsets, rows, columns)
    below_each_other[rows, columns] = copies
    return copied


def _is_clear(unknown: Plane, reach: int) -> Plane:
    """Whether a square of twice this side around each pixel is inside and known, (N, H, W)."""
    summed = np.pad(unknown, ((0, 0), (1, 0), (1, 0))).cumsum(1, dtype=np.int32).cumsum(2)
    side, (height, width) = 2 * reach, unknown.shape[1:]
    clear = np.zeros_like(unknown)
    if min(height, width) >= side:
        count = summed[:, side:, side:] - summed[:, :-side, side:]
        count += summed[:, :-side, :-side] - summed[:, side:, :-side]
        clear[:, reach : height - reach + 1, reach : width - reach + 1] = count == 0
    return clear


class _Search:
    """For each block that touches the damage, the offset to the most similar known place.

    The images of a stack are below each other.
    """

    def __init__(
        self, guide: Array, unknown: Plane, wanted: Plane, generator: np.random.Generator
    ) -> None:
        self._generator = generator
        count, self._span, width = unknown.shape
        self._reach = max(self._span, width) // 2
        self._height, self._width = height, width = count * self._span, width
        self._unknown = unknown
        self._clear = _is_clear(unknown, _CLEAR_PX).reshape(height, width)
        self._shape = -(-height // BLOCK_PX), -(-width // BLOCK_PX)
        pad = (0, -height % BLOCK_PX), (0, -width % BLOCK_PX)
        blocks = np.pad((unknown & wanted).reshape(height, width), pad).reshape(
            self._shape[0], BLOCK_PX, self._shape[1], BLOCK_PX
        )
        self._block_rows, self._block_columns = np.nonzero(blocks.any((1, 3)))
        half = BLOCK_PX // 2
        self._rows = np.minimum(self._block_rows * BLOCK_PX + half, height - 1)
        self._columns = np.minimum(self._block_columns * BLOCK_PX + half, width - 1)
        self._tops = self._rows - self._rows % self._span  # of the image of each block
        blurred = blur(torch.from_numpy(guide).permute(0, 3, 1, 2).contiguous(), _BLUR_PX)
        self._pixels = blurred.permute(0, 2, 3, 1).contiguous().numpy().reshape(height * width, -1)
        self._cost = np.full(len(self._rows), np.inf)
        self._offsets = np.zeros((len(self._rows), 2), dtype=np.int64)

    def _compare(self, window_px: Index) -> None:
        """Compare sources at these rows and columns from a block's centre."""
        self._window_px = window_px
        own = self._window(self._rows, self._columns)
        unknown = self._unknown.ravel()[own]
        weights = np.where(unknown, np.float32(_UNKNOWN_WEIGHT), np.float32(1))
        self._weights = weights / weights.sum(1, keepdims=True)
        self._own = self._pixels[own]
        known = np.flatnonzero(np.isfinite(self._cost))
        self._cost[known] = self._costs(known, self._offsets[known])

    def offsets(self) -> Index | None:
        """Rows and columns to each block's source, (blocks down, blocks across, 2).

        A block without a source of its own, or without damage, has that of the nearest one with.
        """
        every = np.arange(len(self._rows))
        self._compare(_ROUGH_WINDOW_PX)
        for reach, trials in ((_NEAR_PX, _NEAR_TRIALS), (_FAR_PX, _FAR_TRIALS)):
            for _ in range(trials):
                self._offer(self._random(reach), every)
        self._compare(_WINDOW_PX)
        for _ in range(_ROUNDS):
            self._try_those_of_neighbours()
            for reach in _REFINED_PX:
                self._offer(self._offsets + self._random(reach), every)
        self._look_closer()
        found = np.zeros(self._shape, dtype=bool)
        found[self._block_rows, self._block_columns] = np.isfinite(self._cost)
        if not found.any():
            return None
        offsets = np.zeros((*self._shape, 2), dtype=np.int64)
        offsets[self._block_rows, self._block_columns] = self._offsets
        nearest = ndimage.distance_transform_edt(
            ~found, return_distances=False, return_indices=True
        )
        filled: Index = offsets[nearest[0], nearest[1]]
        return filled

    def _look_closer(self) -> None:
        """Try sources close to the damage for blocks that nothing else resembles."""
        poor = self._cost > _POOR**2
        if not poor.any():
            return
        close = _is_clear(self._unknown, _CLOSE_PX).reshape(self._clear.shape)
        if not close.any():
            return
        step = _CLOSE_STEP_PX
        nearest = ndimage.distance_transform_edt(
            ~close[::step, ::step], return_distances=False, return_indices=True
        )
        self._clear = close
        self._compare(_CLOSE_WINDOW_PX)
        index = np.flatnonzero(poor)
        here = np.stack((self._rows, self._columns), 1)[index]
        for reach in _CLOSE_TRIALS_PX:
            place = here + self._random(reach)[index]
            row, column = place.clip(0, (self._height - 1, self._width - 1)).T // step
            self._offer(nearest[:, row, column].T * step - here, index)

    def _random(self, reach: int) -> Index:
        reach = min(reach, self._reach)
        return self._generator.integers(-reach, reach + 1, (len(self._rows), 2))

    def _try_those_of_neighbours(self) -> None:
        """Offer each block the offsets of the four beside it: larger pieces then stay whole."""
        number = np.full((self._shape[0] + 2, self._shape[1] + 2), -1)
        number[self._block_rows + 1, self._block_columns + 1] = np.arange(len(self._rows))
        for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            other = number[self._block_rows + 1 + down, self._block_columns + 1 + right]
            index = np.flatnonzero(other >= 0)
            self._offer(self._offsets[other[index]], index)

    def _offer(self, offsets: Index, index: Index) -> None:
        """Take an offset for some blocks, where it leads to known pixels that fit better."""
        rows = self._rows[index] + offsets[:, 0]
        columns = self._columns[index] + offsets[:, 1]
        down, width = rows - self._tops[index], self._width
        usable = (down >= 0) & (down < self._span) & (columns >= 0) & (columns < width)
        usable &= self._clear[rows.clip(0, self._height - 1), columns.clip(0, width - 1)]
        index, offsets = index[usable], offsets[usable]
        cost = self._costs(index, offsets)
        better = cost < self._cost[index]
        self._cost[index[better]] = cost[better]
        self._offsets[index[better]] = offsets[better]

    def _costs(self, index: Index, offsets: Index) -> Array:
        """Mean square differences between some blocks and their sources."""
        window = self._window(
            self._rows[index] + offsets[:, 0], self._columns[index] + offsets[:, 1]
        )
        difference = self._pixels.take(window, axis=0)
        difference -= self._own[index]
        costs: Array = np.einsum("npc,npc,np->n", difference, difference, self._weights[index])
        return costs

    def _window(self, rows: Index, columns: Index) -> Index:
        """Indices of the pixels that are compared, (blocks, pixels)."""
        down = np.clip(rows[:, None] + self._window_px, 0, self._height - 1)
        right = np.clip(columns[:, None] + self._window_px, 0, self._width - 1)
        window: Index = (down[:, :, None] * self._width + right[:, None]).reshape(
            len(rows), len(self._window_px) ** 2
        )
        return window


def _cross_fade(detail: Array, offsets: Index, rows: Index, columns: Index) -> Array:
    """The copies at some pixels, (pixels, C).

    The weights of the blocks around a pixel add to one. Independent copies lose energy in such a
    sum, which is scaled up again; copies with the same offset are one copy, and lose none.
    """
    height, width, channels = detail.shape
    pixels = detail.reshape(height * width, channels)
    along = [
        _block_weights(each, count)
        for each, count in zip((rows, columns), offsets.shape[:2], strict=True)
    ]
    total = np.zeros((len(rows), channels), dtype=np.float32)
    weights, sources = [], []
    for (block_row, row_weight), (block_column, column_weight) in product(*along):
        offset = offsets[block_row, block_column]
        row = np.clip(rows + offset[:, 0], 0, height - 1)
        column = np.clip(columns + offset[:, 1], 0, width - 1)
        weights.append(row_weight * column_weight)
        sources.append(row * width + column)
        total += weights[-1][:, None] * pixels.take(sources[-1], axis=0)
    energy = np.square(weights).sum(0)
    parts = list(zip(weights, sources, strict=True))
    for (weight, source), (other_weight, other) in combinations(parts, 2):
        energy += 2 * weight * other_weight * (source == other)
    copies: Array = (total / np.sqrt(energy)[:, None]).astype(np.float32, copy=False)
    return copies


def _block_weights(position: Index, count: int) -> list[tuple[Index, Array]]:
    """The two blocks next to each position along an axis, and their weights."""
    along = (position + 0.5) / BLOCK_PX - 0.5  # 0 at the centre of the first block
    first = np.floor(along).astype(np.int64)
    weight = np.clip((along - first - 0.5) * BLOCK_PX / _FADE_PX + 0.5, 0, 1).astype(np.float32)
    return [(first.clip(0, count - 1), 1 - weight), ((first + 1).clip(0, count - 1), weight)]
