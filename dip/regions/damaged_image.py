"""A damaged image as it was given, checked; and its parts as a fit needs them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dip.errors import ImageTooSmall, InputError, SamplesNotFinite, TooFewKnownPixels
from dip.regions.composite import composite
from dip.regions.mask import SoftMask, coverage_from, coverage_from_alpha
from dip.regions.region import Box
from dip.regions.rules import FEWEST_KNOWN
from dip.samples import full_scale, to_floats

Array = NDArray[Any]

SMALLEST_SIDE_PX = 16


class DamagedImage:
    """An image, and which of it is to be replaced.

    Parameters are those of `dip.restore.Restoration`.

    Attributes
    ----------
    samples : ndarray
        (H, W, C), the image's own, not copied.
    coverage : Coverage

    Raises
    ------
    InputError, MaskError
        What is wrong with image or mask.
    """

    def __init__(self, image: Array, mask: Array | None) -> None:
        self.samples = _checked(image)
        self.coverage = (
            coverage_from_alpha(self.samples)
            if mask is None
            else coverage_from(mask, self.samples.shape)
        )
        _check_finite(self.samples, self.coverage.unknown)

    def part(self, box: Box) -> ImageCrop:
        """What is in a box.

        Raises
        ------
        TooFewKnownPixels
        """
        return ImageCrop(box, self.samples[box.slices], self.coverage.crop(box.slices))


@dataclass(frozen=True, eq=False)
class ImageCrop:
    """A rectangle of a damaged image.

    Parameters
    ----------
    box : Box
    samples : ndarray
        (h, w, C), a view of the image's.
    coverage : SoftMask
        (h, w), with memory of its own: nothing as large as the image is kept but its samples.
    """

    box: Box
    samples: Array
    coverage: SoftMask

    def __post_init__(self) -> None:
        known = np.count_nonzero(self.known)
        if known < FEWEST_KNOWN:
            raise TooFewKnownPixels(
                f"Only {known} pixels around the damage are known.",
                "Mark only the damage; fully transparent pixels do not count as known.",
            )

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """(h, w): the pixels that a fit may see; behind full transparency is no colour."""
        known = self.coverage[:] == 0
        if self.samples.shape[2] in (2, 4):
            known &= self.samples[:, :, -1] > 0
        return known

    def floats(self) -> NDArray[np.float32]:
        """The samples in units of full scale."""
        return to_floats(self.samples)

    def range(self) -> tuple[float, float]:
        """What [0, 1] of a network means: [0, 1], or all known samples where they exceed it."""
        if np.issubdtype(self.samples.dtype, np.integer):
            return 0.0, 1.0
        known = self.samples[self.known]
        return min(0.0, float(known.min())), max(1.0, float(known.max()))

    def target(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """What a fit sees: (h, w, C) in units of `range`, zero where it is unknown; the known."""
        low, high = self.range()
        target = (self.floats() - low) / np.float32(high - low)
        return np.where(self.known[:, :, None], target, np.float32(0)), self.known

    def preview(self, fill: NDArray[np.float32]) -> Preview:
        """A fill, (h, w, C) in units of full scale, in its place."""
        scaled = fill * np.float32(full_scale(self.samples.dtype))
        pixels = composite(self.samples, scaled, self.coverage[:])
        return Preview(box=self.box, pixels=pixels)


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A rectangle of an image as it looks now.

    Parameters
    ----------
    box : Box
    pixels : ndarray
        (height, width, C), of the image's sample type; outside the damage they are the image's.
    """

    box: Box
    pixels: Array


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
    """The image as (H, W, C), or an error that says what was seen."""
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
