"""From a mask, white = restore this, to what the mathematics uses: known and unknown pixels.

This is the one place that turns one into the other. *Coverage* is a mask as fractions: 1 where a
pixel is to be replaced, 0 where it is to stay, and between the two along a feathered edge.

A pixel is **unknown**, never seen by a fit, as soon as its coverage is above `UNKNOWN_ABOVE`: the
edge of a feathered selection may hold damage too. Coverage at or below it counts as 0, so that
the noise of a mask saved as JPEG restores nothing. The composite blends by coverage.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dip.config import Damage
from dip.errors import MaskEmpty, MaskError, MaskSizeMismatch, TooFewKnownPixels
from dip.regions.rules import FEWEST_KNOWN, UNKNOWN_ABOVE
from dip.samples import to_floats

THIN_UP_TO_PX = 30
"""Damage no wider than this is 'thin': text, scratches, dust."""

_MOST_EXACT_PX = 1_000_000
"""The thickness of what is in larger images need not be known to the pixel."""

_ROWS = 64  # looked at together: 100 megapixels as floats would hold 400 MB

Array = NDArray[Any]


class SoftMask:
    """Coverage, made of the samples of a mask where it is asked for.

    Indexing gives float32 in [0, 1]: 0 wherever the pixel is to stay bit for bit.

    Parameters
    ----------
    samples : ndarray
        (H, W), of a mask or of an alpha channel; not copied.
    inverted : bool
        Whether full scale means to keep, as in an alpha channel.
    """

    def __init__(self, samples: Array, *, inverted: bool = False) -> None:
        self._samples = samples
        self._inverted = inverted

    def __getitem__(self, index: Any) -> NDArray[np.float32]:
        fractions = to_floats(self._samples[index])
        if self._inverted:
            fractions = 1 - fractions
        return fractions * (fractions > UNKNOWN_ABOVE)

    def crop(self, index: Any) -> SoftMask:
        """Those of a part, with samples of their own: the rest can be freed."""
        return SoftMask(self._samples[index].copy(), inverted=self._inverted)


class Coverage(SoftMask):
    """The coverage of a whole image, which leaves something to do and something to go by.

    Attributes
    ----------
    unknown : ndarray
        (H, W) bool: the pixels that no fit may see.

    Raises
    ------
    MaskEmpty, TooFewKnownPixels
    """

    def __init__(self, samples: Array, *, inverted: bool = False) -> None:
        super().__init__(samples, inverted=inverted)
        self.unknown: NDArray[np.bool_] = np.empty(samples.shape, dtype=bool)
        for top in range(0, len(samples), _ROWS):
            self.unknown[top : top + _ROWS] = self[top : top + _ROWS] > 0
        _check_counts(self.unknown)


def coverage_from(mask: Array, image_shape: tuple[int, ...]) -> Coverage:
    """Turn a mask into coverage.

    Parameters
    ----------
    mask : ndarray
        (H, W) or (H, W, 1): bool; unsigned integers, full scale = restore; or floats in [0, 1].
    image_shape : tuple of int
        (H, W) or (H, W, C)

    Returns
    -------
    Coverage

    Raises
    ------
    MaskSizeMismatch, MaskEmpty, TooFewKnownPixels
        The message names sizes and counts.
    MaskError
        Not a mask: wrong dimensions, or floats that are not finite or not in [0, 1].
    """
    if mask.ndim == 3 and mask.shape[2] == 1:
        mask = mask[:, :, 0]
    if mask.ndim != 2:
        raise MaskError(
            f"The mask has shape {mask.shape}.", "It must have one channel: white = restore."
        )
    if mask.shape != image_shape[:2]:
        raise MaskSizeMismatch(
            f"The mask is {mask.shape[1]}×{mask.shape[0]} px, "
            f"the image {image_shape[1]}×{image_shape[0]} px.",
            "Make a mask of exactly the image's size, white where it is to be restored.",
        )
    if np.issubdtype(mask.dtype, np.floating):
        if not (np.isfinite(mask).all() and mask.min() >= 0 and mask.max() <= 1):
            raise MaskError(
                "The mask has samples that are not in [0, 1].", "White, restore, is 1; black is 0."
            )
    elif mask.dtype != np.bool_ and not np.issubdtype(mask.dtype, np.unsignedinteger):
        raise MaskError(f"The mask's samples are {mask.dtype}.", "Use 8 or 16 bit.")
    return Coverage(mask)


def coverage_from_alpha(image: Array) -> Coverage:
    """Take transparent pixels as the damage.

    Parameters
    ----------
    image : ndarray
        (H, W, 2) or (H, W, 4), the last channel alpha.

    Returns
    -------
    Coverage

    Raises
    ------
    MaskEmpty
        There is no alpha channel, or nothing is transparent.
    """
    if image.ndim != 3 or image.shape[2] not in (2, 4):
        raise MaskEmpty(
            "There is no mask, and the image has no transparency.",
            "Give a mask that is white where the image is to be restored, "
            "or make the damage transparent.",
        )
    return Coverage(image[:, :, -1], inverted=True)


def thickness_px(unknown: NDArray[np.bool_]) -> float:
    """Width of the widest damage, in pixels: twice the greatest distance to a known pixel."""
    padded = np.pad(unknown, 1, constant_values=True)  # beyond the border nothing is known
    if padded.all():
        return float(max(unknown.shape))
    return 2 * float(ndimage.distance_transform_edt(padded)[1:-1, 1:-1].max())


def rough_thickness_px(unknown: NDArray[np.bool_]) -> float:
    """As `thickness_px`, of a large mask by an eighth of it."""
    factor = 8 if unknown.size > _MOST_EXACT_PX else 1
    return factor * thickness_px(unknown[::factor, ::factor])


def kind_of_damage(unknown: NDArray[np.bool_]) -> Damage:
    """Say which kind of damage a region has.

    'scattered': single pixels missing all over; 'thin': text, scratches; 'hole': wider than
    `THIN_UP_TO_PX`.
    """
    width = thickness_px(unknown)
    if width > THIN_UP_TO_PX:
        return "hole"
    mostly_missing = unknown.mean() > 0.35  # writing covers up to a quarter of its lines
    return "scattered" if width < 12 and mostly_missing else "thin"


def _check_counts(unknown: NDArray[np.bool_]) -> None:
    count = np.count_nonzero(unknown)
    if count == 0:
        raise MaskEmpty(
            "Nothing is marked for restoration: no pixel of the mask is above "
            f"{UNKNOWN_ABOVE:.0%} of white.",
            "Paint the damage white on black.",
        )
    known = unknown.size - count
    if known < FEWEST_KNOWN:
        raise TooFewKnownPixels(
            f"The mask covers {count} of {unknown.size} pixels and leaves {known} known.",
            f"A fit needs {FEWEST_KNOWN} or more: mark only the damage. "
            "Is the mask inverted? White means restore.",
        )
