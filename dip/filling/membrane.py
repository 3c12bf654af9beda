"""Smooth interpolation (a membrane), and its use to hide the seam at the rim of a hole.

The error of a reconstruction is known at the known pixels. Its smooth part continues into the hole.
The pull-push pyramid interpolates it there, without a linear system to solve.

Source: Gortler, Grzeszczuk, Szeliski, Cohen, *The Lumigraph*, SIGGRAPH 1996, section 3.4 (pull-
push); adding a membrane to a fill: Pérez, Gangnet, Blake, *Poisson Image Editing*, SIGGRAPH 2003,
DOI 10.1145/882262.882269.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float32]


def harmonise(
    reconstruction: Array, target: Array, known: NDArray[np.bool_], *, smoothing_px: float = 2.0
) -> Array:
    """Add the smooth part of the residual at the rim to a fill.

    Parameters
    ----------
    reconstruction, target : ndarray
        (H, W, C), float32
    known : ndarray
        (H, W) bool; the target is ignored elsewhere.
    smoothing_px : float
        Residuals are first averaged over about this many pixels, to leave texture out.

    Returns
    -------
    ndarray
        (H, W, C), float32
    """
    weight = known.astype(np.float32)[..., None]
    residual = np.where(known[..., None], target - reconstruction, np.float32(0))
    blurred = _blur(residual, smoothing_px)
    total = _blur(weight, smoothing_px)
    smooth = np.where(total > 1e-3, blurred / np.maximum(total, 1e-3), 0).astype(np.float32)
    return reconstruction + _pull_push(smooth, np.clip(total, 0, 1))


def membrane(target: Array, known: NDArray[np.bool_]) -> Array:
    """Fill an image by smooth interpolation of its known pixels.

    Parameters
    ----------
    target : ndarray
        (..., H, W, C), float32: an image, or a stack of images of one size.
    known : ndarray
        (..., H, W) bool; the target is ignored elsewhere.

    Returns
    -------
    ndarray
        (..., H, W, C), float32; smoothed at the known pixels as well.
    """
    clean = np.where(known[..., None], target, np.float32(0))
    count = np.maximum(1, np.count_nonzero(known, axis=(-2, -1), keepdims=True))[..., None]
    mean = clean.sum((-3, -2), dtype=np.float64, keepdims=True) / count
    return harmonise(np.broadcast_to(mean.astype(np.float32), target.shape), clean, known)


def _blur(values: Array, sigma_px: float) -> Array:
    blurred: Array = ndimage.gaussian_filter(
        values, (*(0,) * (values.ndim - 3), sigma_px, sigma_px, 0), truncate=3.0
    )
    return blurred


def _pull_push(values: Array, weight: Array) -> Array:
    """Fill pixels of low weight from coarser and coarser averages of their surroundings.

    values: (..., H, W, C); weight: (..., H, W, 1) in [0, 1].
    """
    height, width = values.shape[-3:-1]
    if max(height, width) <= 2:
        total = weight.sum((-3, -2), keepdims=True)
        mean = (values * weight).sum((-3, -2), keepdims=True) / np.maximum(total, 1e-6)
        return np.broadcast_to(mean, values.shape).astype(np.float32)
    weighted = _halve(values * weight)
    total = _halve(weight)
    coarse = _pull_push(
        (weighted / np.maximum(total, 1e-6)).astype(np.float32), np.minimum(1, 4 * total)
    )
    return weight * values + (1 - weight) * _double(coarse, (height, width))


def _halve(values: Array) -> Array:
    """Mean of each 2×2 block; an odd border counts zeros with weight 0."""
    *stack, height, width, channels = values.shape
    unpadded = ((0, 0),) * len(stack)
    padded = np.pad(values, (*unpadded, (0, height % 2), (0, width % 2), (0, 0)))
    blocks = padded.reshape(*stack, -(-height // 2), 2, -(-width // 2), 2, channels)
    return blocks.mean(axis=(-4, -2))


def _double(values: Array, shape: tuple[int, int]) -> Array:
    """Enlarge twofold, bilinear with sample centres kept, and crop to a shape."""
    for axis in (values.ndim - 3, values.ndim - 2):
        before = np.concatenate(
            [values.take([0], axis), values.take(range(values.shape[axis] - 1), axis)], axis
        )
        after = np.concatenate(
            [values.take(range(1, values.shape[axis]), axis), values.take([-1], axis)], axis
        )
        pair = np.stack([0.25 * before + 0.75 * values, 0.75 * values + 0.25 * after], axis + 1)
        values = pair.reshape(
            *values.shape[:axis], 2 * values.shape[axis], *values.shape[axis + 1 :]
        )
    return values[..., : shape[0], : shape[1], :]
