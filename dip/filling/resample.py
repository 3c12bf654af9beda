"""Reduce an image by block means of its known pixels, and enlarge it smoothly."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

Array = NDArray[np.float32]


def reduce(target: Array, known: NDArray[np.bool_], factor: int) -> tuple[Array, NDArray[np.bool_]]:
    """Reduce a target by a whole factor; unknown pixels do not influence known ones.

    Parameters
    ----------
    target : ndarray
        (H, W, C), float32
    known : ndarray
        (H, W) bool
    factor : int

    Returns
    -------
    ndarray, ndarray
        (ceil(H / factor), ceil(W / factor), C), and its known pixels: blocks without unknown ones.
    """
    if factor == 1:
        return target, known
    height, width = known.shape
    pad = ((0, -height % factor), (0, -width % factor))
    target = np.pad(target, (*pad, (0, 0)), mode="edge")
    known = np.pad(known, pad, mode="edge")
    rows, columns = known.shape[0] // factor, known.shape[1] // factor
    blocks = target.reshape(rows, factor, columns, factor, -1)
    small: Array = blocks.mean(axis=(1, 3), dtype=np.float32)
    whole = np.asarray(known.reshape(rows, factor, columns, factor).all(axis=(1, 3)))
    return small, whole


def enlarge(image: Array, height: int, width: int, factor: int) -> Array:
    """Enlarge (h, w, C) by a factor, bicubic, and crop to (height, width, C)."""
    if factor == 1:
        return image
    planes = torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0)  # (1, C, h, w)
    large = F.interpolate(planes, scale_factor=factor, mode="bicubic", align_corners=False)
    cut: Array = large[0, :, :height, :width].permute(1, 2, 0).numpy()
    return cut
