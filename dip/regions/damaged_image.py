"""A damaged image and its mask, checked, and the crops that fits use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dip.errors import ImageTooSmall, InputError, SamplesNotFinite, TooFewKnownPixels
from dip.machine.untouched_zeros import untouched_zeros
from dip.regions.box import Box
from dip.regions.composite import composite
from dip.regions.growth import grown, with_pixels
from dip.regions.mask import SoftMask, soft_mask_from, soft_mask_from_alpha
from dip.regions.preview import Preview
from dip.regions.rules import FEWEST_KNOWN
from dip.samples import full_scale, to_floats

Array = NDArray[Any]

SMALLEST_SIDE_PX = 16


class DamagedImage:
    """An image and the soft mask of its damage.

    Parameters
    ----------
    image, mask : ndarray
        As for `dip.restore.Restoration`.
    growth_px : int
        The mask is grown by so many pixels.

    Attributes
    ----------
    samples : ndarray
        (H, W, C), the samples of the image, not copied.
    soft_mask : SoftMask

    Raises
    ------
    InputError, MaskError
        The image or the mask is unusable; the message says why.
    """

    def __init__(self, image: Array, mask: Array | None, growth_px: int = 0) -> None:
        self.samples = _checked(image)
        soft_mask = (
            soft_mask_from_alpha(self.samples)
            if mask is None
            else soft_mask_from(mask, self.samples.shape)
        )
        self.soft_mask = grown(soft_mask, growth_px) if growth_px else soft_mask
        self._distrusted: NDArray[np.bool_] | None = None
        _check_finite(self.samples, self.soft_mask.unknown)

    def distrust(self, rims: Iterable[tuple[Box, NDArray[np.bool_]]]) -> None:
        """Hide known pixels from all fits and fills; they stay bit for bit as they are.

        Parameters
        ----------
        rims : iterable of tuple
            A box, and the hidden pixels in it, (height, width).
        """
        for box, pixels in rims:
            if self._distrusted is None:
                self._distrusted = untouched_zeros(self.samples.shape[:2], np.dtype(bool))
            self._distrusted[box.slices] |= pixels

    def mark(self, pixels: list[tuple[Box, NDArray[np.bool_]]]) -> None:
        """Add pixels to the mask, in full.

        Raises
        ------
        TooFewKnownPixels
        """
        self.soft_mask = with_pixels(self.soft_mask, pixels)

    def distrusted_in(self, box: Box) -> NDArray[np.bool_]:
        """The known pixels of a box that no fit may see, (height, width)."""
        if self._distrusted is None:
            return np.zeros((box.height, box.width), dtype=bool)
        return self._distrusted[box.slices].copy()

    def hidden(self) -> NDArray[np.bool_]:
        """The pixels that no fit may see, (H, W): unknown or distrusted."""
        unknown = self.soft_mask.unknown
        return unknown if self._distrusted is None else unknown | self._distrusted

    def crop(self, box: Box) -> ImageCrop:
        """The pixels in a box.

        Raises
        ------
        TooFewKnownPixels
        """
        soft_mask, distrusted = self.soft_mask.crop(box.slices), self.distrusted_in(box)
        return ImageCrop(box, self.samples[box.slices], soft_mask, distrusted)


@dataclass(frozen=True, eq=False)
class ImageCrop:
    """A rectangle of a damaged image.

    Parameters
    ----------
    box : Box
    samples : ndarray
        (h, w, C), a view of the image's.
    soft_mask : SoftMask
        (h, w), a copy: besides its samples, nothing of the image's size stays in memory.
    distrusted : ndarray
        (h, w) bool: known pixels that no fit may see.
    """

    box: Box
    samples: Array
    soft_mask: SoftMask
    distrusted: NDArray[np.bool_]

    def __post_init__(self) -> None:
        known = np.count_nonzero(self.known)
        if known < FEWEST_KNOWN:
            raise TooFewKnownPixels(
                f"Only {known} pixels around the damage are known.",
                "Mark only the damage; fully transparent pixels do not count as known.",
            )

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """The pixels that a fit may see, (h, w); fully transparent pixels have no colour."""
        known = self.soft_mask[:] == 0
        known &= ~self.distrusted
        if self.samples.shape[2] in (2, 4):
            known &= self.samples[:, :, -1] > 0
        return known

    def floats(self) -> NDArray[np.float32]:
        """The samples in units of full scale."""
        return to_floats(self.samples)

    def range(self) -> tuple[float, float]:
        """The range of samples that a fit maps to [0, 1]: [0, 1], or wider where samples are."""
        if np.issubdtype(self.samples.dtype, np.integer):
            return 0.0, 1.0
        known = self.samples[self.known]
        return min(0.0, float(known.min())), max(1.0, float(known.max()))

    def target(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The target of a fit, (h, w, C) in units of `range`, 0 where unknown; and `known`."""
        low, high = self.range()
        target = (self.floats() - low) / np.float32(high - low)
        return np.where(self.known[:, :, None], target, np.float32(0)), self.known

    def preview(self, fill: NDArray[np.float32]) -> Preview:
        """The crop with a fill, (h, w, C) in units of full scale, at its unknown pixels."""
        scaled = fill * np.float32(full_scale(self.samples.dtype))
        pixels = composite(self.samples, scaled, self.soft_mask[:])
        return Preview(box=self.box, pixels=pixels)


def _check_finite(samples: Array, unknown: NDArray[np.bool_]) -> None:
    if np.issubdtype(samples.dtype, np.floating):
        broken = ~np.isfinite(samples).all(axis=2) & ~unknown
        if broken.any():
            row, column = np.argwhere(broken)[0]
            raise SamplesNotFinite(
                f"{np.count_nonzero(broken)} known pixels are NaN or infinite, the first at "
                f"row {row}, column {column}.",
                "Add them to the mask, or repair them first.",
            )


def _checked(image: Array) -> Array:
    """The image as (H, W, C), if its shape and samples are supported."""
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 2, 3, 4):
        raise InputError(
            f"The image has shape {image.shape}.",
            "It must be gray or colour, with or without alpha: (H, W) or (H, W, 1 to 4).",
        )
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        raise InputError(f"The image's samples are {image.dtype}.", "Use uint8, uint16 or float32.")
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST_SIDE_PX:
        raise ImageTooSmall(
            f"The image is {width}×{height} px.",
            f"Both sides must be {SMALLEST_SIDE_PX} px or more.",
        )
    return image
