"""Samples of images, and floats in units of full scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def full_scale(dtype: np.dtype[Any]) -> int:
    """The sample that stands for 1: the largest integer of the type, 1 for floats and bool."""
    return int(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else 1


def to_floats(samples: Array) -> NDArray[np.float32]:
    """Samples of any type in units of full scale; of the same shape."""
    return samples.astype(np.float32) / np.float32(full_scale(samples.dtype))


def to_samples(values: Array, dtype: np.dtype[Any]) -> Array:
    """Round and clip floats, in units of samples, to a sample type; floating types are cast."""
    if not np.issubdtype(dtype, np.integer):
        return values.astype(dtype)
    return np.clip(np.rint(values), 0, np.iinfo(dtype).max).astype(dtype)
