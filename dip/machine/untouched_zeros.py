"""Memory that the system allocates page by page, when it is written."""

from __future__ import annotations

import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray


def untouched_zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Make zeros in pages that the system allocates when they are written.

    `np.zeros` writes to every page if the C library reuses memory for it.
    """
    pages = mmap.mmap(-1, math.prod(shape) * dtype.itemsize)
    return np.frombuffer(pages, dtype).reshape(shape)
