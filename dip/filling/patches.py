"""Square patches of an image, and what most of them have in common."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

SAMPLE = 4000
"""So many patches are enough to find principal components."""


def patches_at(
    image: NDArray[np.float32],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    side_px: int,
) -> torch.Tensor:
    """Cut patches out of an image, (H, W, C): (patches, side · side · C), row-first.

    Their centres, `side_px // 2` from their first row and column, must be far enough inside.
    """
    reach = np.arange(side_px) - side_px // 2
    down, right = rows[:, None, None] + reach[:, None], columns[:, None, None] + reach
    return torch.from_numpy(image[down, right].reshape(len(rows), -1))


def principal_axes(patches: torch.Tensor, most: int) -> torch.Tensor:
    """The directions in which patches differ most: (axes, side · side · C)."""
    return torch.linalg.svd(patches - patches.mean(0), full_matrices=False).Vh[:most]
