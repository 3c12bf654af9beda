"""Conversion between samples of images and floats in units of full scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

Array = NDArray[Any]


def full_scale(dtype: np.dtype[Any]) -> int:
    """The sample that means 1: the largest integer of the type; 1 for floats and bool."""
    return int(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else 1


def to_floats(samples: Array) -> NDArray[np.float32]:
    """Convert samples of any type to units of full scale; the shape stays."""
    return samples.astype(np.float32) / np.float32(full_scale(samples.dtype))


def to_samples(values: Array, dtype: np.dtype[Any]) -> Array:
    """Round and clip floats, in units of samples, to a sample type; floating types are cast."""
    if not np.issubdtype(dtype, np.integer):
        return values.astype(dtype)
    return np.clip(np.rint(values), 0, np.iinfo(dtype).max).astype(dtype)


PEAK = 255.0
_AT_ONCE = 2**20


def to_8_bit(image: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Convert an image to the samples of an 8-bit picture file.

    Parameters
    ----------
    image : array
        uint8 in [0, 255], uint16 in [0, 65535], or floating point, nominally in [0, 1]; values
        outside are clipped. bool counts as 0 and 1.

    Returns
    -------
    uint8 array of the same shape, rounded to nearest.
    """
    image = np.asarray(image)
    if image.dtype == np.uint8:
        return image
    full_scale = 65535.0 if image.dtype == np.uint16 else 1.0
    rows = np.atleast_1d(image)
    levels = np.empty(rows.shape, np.uint8)
    step = max(1, _AT_ONCE // max(1, rows[:1].size))  # rows: no floats of a whole photo
    for top in range(0, len(rows), step):
        scaled = np.clip(rows[top : top + step].astype(np.float64) / full_scale, 0, 1) * PEAK
        levels[top : top + step] = np.rint(scaled)
    return levels.reshape(image.shape)
