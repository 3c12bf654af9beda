"""Composites of image and fill: known pixels untouched, soft edges and tiles blended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dip.machine.untouched_zeros import untouched_zeros
from dip.regions.box import Box
from dip.regions.region import TILE_OVERLAP_PX, Region
from dip.samples import to_samples

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Fill:
    """Filled pixels of one rectangle.

    Parameters
    ----------
    box : Box
    pixels : ndarray
        (height, width, C), of the image's sample type, not blended with the image; valid where
        `soft_mask` is above 0.
    soft_mask : ndarray
        (height, width), float32 in [0, 1]: the opacity of the pixels over the image.
    """

    box: Box
    pixels: Array
    soft_mask: NDArray[np.float32]


def composite(target: Array, fill: Array, soft_mask: NDArray[np.float32]) -> Array:
    """Combine the unknown pixels of a fill with the known pixels of a target.

    Parameters
    ----------
    target : ndarray
        (H, W, C), any sample type.
    fill : ndarray
        (H, W, C), in the units of the target's samples.
    soft_mask : ndarray
        (H, W), in [0, 1]; a feathered edge blends the two.

    Returns
    -------
    ndarray
        (H, W, C) of the target's sample type; bit for bit the target where the soft mask is 0.
    """
    result = target.copy()
    inside = soft_mask > 0
    weight = soft_mask[inside][:, None].astype(np.float64)  # (N, 1)
    old, new = target[inside].astype(np.float64), fill[inside].astype(np.float64)
    # A damaged sample of a float image may be NaN, which a weight of 0 would not remove.
    old = np.where(weight < 1, old, 0)
    result[inside] = to_samples(weight * new + (1 - weight) * old, target.dtype)
    return result


class Canvas:
    """The fills of all damage in an image's size, not yet blended with the target.

    First a fill without a network is written everywhere, then those of the fits over it.

    Only pages that are written take memory, so a few scratches in many megapixels cost little.
    """

    def __init__(self, like: Array) -> None:
        self._pixels = untouched_zeros(like.shape, like.dtype)
        self._fitted = untouched_zeros(like.shape[:2], np.dtype(bool))
        self._provisional: list[tuple[Box, Array, NDArray[np.bool_]]] = []

    def begin(self, core: Box, pixels: Array) -> None:
        """Write a first fill, (height, width, C) floats in the units of the image's samples."""
        self._pixels[core.slices] = to_samples(pixels.astype(np.float64), self._pixels.dtype)

    def blend(
        self,
        core: Box,
        pixels: Array,
        weight: NDArray[np.float32],
        *,
        provisional: bool = False,
    ) -> None:
        """Mix a fill with the fill that is there.

        Parameters
        ----------
        core : Box
        pixels : ndarray
            (height, width, C), floats in the units of the image's samples.
        weight : ndarray
            (height, width), in [0, 1]: the share of the new fill.
        provisional
            See `write`.
        """
        self._prepare(core, provisional)
        inside = weight > 0
        old, share = self._pixels[core.slices][inside], weight[inside][:, None].astype(np.float64)
        mixed = share * pixels[inside] + (1 - share) * old
        self._pixels[core.slices][inside] = to_samples(mixed, self._pixels.dtype)

    def undo_provisional(self) -> None:
        """Undo all provisional fills."""
        while self._provisional:
            box, old_pixels, old_fitted = self._provisional.pop()
            self._pixels[box.slices], self._fitted[box.slices] = old_pixels, old_fitted

    def _prepare(self, box: Box, provisional: bool) -> None:
        """Keep the state of a box before a provisional fill; a lasting one undoes those first."""
        if not provisional:
            self.undo_provisional()
            return
        old = self._pixels[box.slices].copy(), self._fitted[box.slices].copy()
        self._provisional.append((box, *old))

    def write(self, region: Region, pixels: Array, *, provisional: bool = False) -> None:
        """Write the fill of a region; tiles are cross-faded with the fills already there.

        Parameters
        ----------
        region : Region
        pixels : ndarray
            (height, width, C) of `region.box`, floats in the units of the image's samples.
        provisional : bool
            Whether `undo_provisional`, and the next fill that is not provisional, undo this one.
        """
        box = region.core
        if region.tiled:
            box = box.expanded(TILE_OVERLAP_PX, region.box)
        self._prepare(box, provisional)
        old, fitted = self._pixels[box.slices], self._fitted[box.slices]
        new = pixels[box.within(region.box)].astype(np.float64)
        if region.tiled and fitted.any():
            weight = np.where(fitted, _ramp(box, region.box), 1.0)[:, :, None]
            new = weight * new + (1 - weight) * old
        self._pixels[box.slices] = to_samples(new, self._pixels.dtype)
        self._fitted[box.slices] = True

    def crop(self, index: tuple[slice, slice]) -> Array:
        """A copy of some pixels; only those of the damage are valid."""
        return self._pixels[index].copy()


def _ramp(box: Box, limits: Box) -> NDArray[np.float64]:
    """(height, width): from 0 at the edges of a box to 1 inside; 1 at edges shared with limits."""

    def along(length: int, low_edge: bool, high_edge: bool) -> NDArray[np.float64]:
        position = np.arange(length) + 0.5
        low = np.ones(length) if low_edge else position / (2 * TILE_OVERLAP_PX)
        high = np.ones(length) if high_edge else (length - position) / (2 * TILE_OVERLAP_PX)
        return np.clip(np.minimum(low, high), 0, 1)

    rows = along(box.height, box.top == limits.top, box.bottom == limits.bottom)
    columns = along(box.width, box.left == limits.left, box.right == limits.right)
    ramp: NDArray[np.float64] = np.minimum.outer(rows, columns)
    return ramp
