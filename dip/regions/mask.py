"""Masks as they are given, white = restore this, and the unknown pixels that they stand for.

A *soft mask* has values in [0, 1]: 1 where a pixel is replaced, 0 where it stays, values between
them along a feathered edge. A pixel is *unknown*, and no fit may see it, where the soft mask is
above `UNKNOWN_ABOVE`: the edge of a feathered selection may hold damage too. Values up to that
threshold count as 0, so that the noise of a JPEG mask restores nothing. The composite blends by the
soft mask. A mask grows only where it is asked to (`dip.regions.growth`).

`dip.regions.rules` has the thresholds.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dip.config import Damage
from dip.errors import (
    MaskEmpty,
    MaskError,
    MaskMayBeInverted,
    MaskSizeMismatch,
    TooFewKnownPixels,
)
from dip.regions.rules import (
    FEWEST_KNOWN,
    SCATTERED_ABOVE,
    SCATTERED_UP_TO_PX,
    THIN_UP_TO_PX,
    UNKNOWN_ABOVE,
    may_be_inverted,
)
from dip.samples import to_floats

_EXACT_UP_TO_PX = 1_000_000
"""In larger images the thickness of damage is measured at every eighth pixel."""

_ROWS = 64  # processed at a time: 100 megapixels as floats would take 400 MB

Array = NDArray[Any]


class SoftMask:
    """A soft mask, computed on access from the samples of a mask or of an alpha channel.

    Indexing returns float32 in [0, 1]: 0 where the pixel stays bit for bit.

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
        values = to_floats(self._samples[index])
        if self._inverted:
            values = 1 - values
        return values * (values > UNKNOWN_ABOVE)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._samples.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._samples.dtype

    def crop(self, index: Any) -> SoftMask:
        """The soft mask of a part, with a copy of its samples: the rest can be freed."""
        return SoftMask(self._samples[index].copy(), inverted=self._inverted)

    def release(self) -> None:
        """Free the memory of `unknown`; it is computed again on access."""
        self.__dict__.pop("unknown", None)

    @cached_property
    def unknown(self) -> NDArray[np.bool_]:
        """The pixels that no fit may see, (H, W)."""
        unknown = np.empty(self._samples.shape, dtype=bool)
        for top in range(0, len(unknown), _ROWS):
            unknown[top : top + _ROWS] = self[top : top + _ROWS] > 0
        return unknown


class PackedPlane:
    """A plane of truth values in an eighth of the memory.

    Parameters
    ----------
    values : ndarray
        (H, W) bool
    """

    def __init__(self, values: NDArray[np.bool_]) -> None:
        self._bits = np.packbits(values, axis=1)

    def __getitem__(self, index: tuple[slice, slice]) -> NDArray[np.bool_]:
        rows, columns = index
        return np.unpackbits(self._bits[rows], axis=1)[:, columns].astype(bool)


def soft_mask_from(mask: Array, image_shape: tuple[int, ...]) -> SoftMask:
    """Turn a mask into a soft mask, and check both.

    Parameters
    ----------
    mask : ndarray
        (H, W) or (H, W, 1): bool; unsigned integers, full scale = restore; or floats in [0, 1].
    image_shape : tuple of int
        (H, W) or (H, W, C)

    Returns
    -------
    SoftMask

    Raises
    ------
    MaskSizeMismatch, MaskEmpty, TooFewKnownPixels
        The message names sizes and counts.
    MaskError
        The dimensions are wrong, or floats are not finite or not in [0, 1].
    """
    if mask.ndim == 3 and mask.shape[2] == 1:
        mask = mask[:, :, 0]
    if mask.ndim != 2:
        raise MaskError(
            f"The mask has shape {mask.shape}.", "A mask must have one channel: white = restore."
        )
    if mask.shape != image_shape[:2]:
        raise MaskSizeMismatch(
            f"The mask is {mask.shape[1]}×{mask.shape[0]} px, "
            f"the image {image_shape[1]}×{image_shape[0]} px.",
            "Make a mask of exactly the image's size, white where the image is to be restored.",
        )
    if np.issubdtype(mask.dtype, np.floating):
        if not (np.isfinite(mask).all() and mask.min() >= 0 and mask.max() <= 1):
            raise MaskError(
                "The mask has samples that are not in [0, 1].",
                "Use 1 for white (restore), 0 for black.",
            )
    elif mask.dtype != np.bool_ and not np.issubdtype(mask.dtype, np.unsignedinteger):
        raise MaskError(f"The mask's samples are {mask.dtype}.", "Use 8 or 16 bit.")
    return checked(SoftMask(mask))


def refuse_inverted(mask: Array, image_shape: tuple[int, ...], confirm: str) -> None:
    """Refuse a mask that marks so much that it is perhaps inverted.

    This is for callers that act for a user who has not confirmed the mask: the engine itself takes
    every mask that leaves enough known pixels.

    Parameters
    ----------
    mask, image_shape
        As for `soft_mask_from`, whose errors are raised too.
    confirm : str
        How the user confirms the mask, for the hint: 'add --yes'.

    Raises
    ------
    MaskMayBeInverted
    """
    unknown = soft_mask_from(mask, image_shape).unknown
    count = int(np.count_nonzero(unknown))
    if may_be_inverted(count, unknown.size):
        raise MaskMayBeInverted(
            f"The mask marks {count / unknown.size:.0%} of the image for restoration.",
            "Is it inverted? White means restore, black means keep: invert it. "
            f"If it is right, {confirm}.",
        )


def soft_mask_from_alpha(image: Array) -> SoftMask:
    """Take the transparent pixels of an image as its damage.

    Parameters
    ----------
    image : ndarray
        (H, W, 2) or (H, W, 4), the last channel alpha.

    Returns
    -------
    SoftMask

    Raises
    ------
    MaskEmpty
        There is no alpha channel, or no pixel is transparent.
    TooFewKnownPixels
    """
    if image.ndim != 3 or image.shape[2] not in (2, 4):
        raise MaskEmpty(
            "There is no mask, and the image has no transparency.",
            "Give a mask that is white where the image is to be restored, "
            "or make the damage transparent.",
        )
    return checked(SoftMask(image[:, :, -1], inverted=True))


def thickness_px(unknown: NDArray[np.bool_]) -> float:
    """Width of the widest damage, in pixels: twice the greatest distance to a known pixel."""
    padded = np.pad(unknown, 1, constant_values=True)  # pixels beyond the border are unknown
    if padded.all():
        return float(max(unknown.shape))
    return 2 * float(ndimage.distance_transform_edt(padded)[1:-1, 1:-1].max())


def rough_thickness_px(unknown: NDArray[np.bool_]) -> float:
    """Like `thickness_px`, sampled at every eighth pixel of large masks."""
    factor = 8 if unknown.size > _EXACT_UP_TO_PX else 1
    return factor * thickness_px(unknown[::factor, ::factor])


def kind_of_damage(unknown: NDArray[np.bool_]) -> Damage:
    """Classify the damage of a region by the thresholds in `dip.regions.rules`.

    Returns
    -------
    str
        'scattered': single pixels everywhere; 'thin': text, scratches; 'hole': anything thicker.
    """
    thickness = thickness_px(unknown)
    if thickness > THIN_UP_TO_PX:
        return "hole"
    is_scattered = thickness < SCATTERED_UP_TO_PX and unknown.mean() > SCATTERED_ABOVE
    return "scattered" if is_scattered else "thin"


def checked(mask: SoftMask) -> SoftMask:
    """Return the same mask, if it has unknown pixels and leaves enough known ones.

    Raises
    ------
    MaskEmpty, TooFewKnownPixels
    """
    unknown = mask.unknown
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
    return mask
