"""Square patches of an image, and their principal components."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

SAMPLE = 4000
"""Number of patches that are enough to find principal components."""


def patches_at(
    image: NDArray[np.float32],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    side_px: int,
) -> torch.Tensor:
    """Cut patches out of an image, (H, W, C): (patches, side · side · C), row-first.

    `rows` and `columns` are their centres, `side_px // 2` from the first row and column. Patches
    must lie inside the image.
    """
    reach = np.arange(side_px) - side_px // 2
    down, right = rows[:, None, None] + reach[:, None], columns[:, None, None] + reach
    return torch.from_numpy(image[down, right].reshape(len(rows), -1))


def principal_axes(patches: torch.Tensor, most: int) -> torch.Tensor:
    """The principal axes of patches, at most `most`: (axes, side · side · C)."""
    centred = (patches - patches.mean(0)).double()
    # A tenth of the time of a singular value decomposition.
    axes = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)
    return axes[:, :most].T.to(patches.dtype).contiguous()
