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

from dip.filling.pyramid import double, halve

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
    residual = np.where(known[..., None], target - reconstruction, np.float32(0))
    planes = np.ascontiguousarray(np.moveaxis(residual, -1, -3))
    extended = extend(planes, known[..., None, :, :], smoothing_px=smoothing_px)
    return reconstruction + np.ascontiguousarray(np.moveaxis(extended, -3, -1))


def extend(planes: Array, known: NDArray[np.bool_] | Array, *, smoothing_px: float = 2.0) -> Array:
    """Continue the smooth part of known values over all pixels.

    Parameters
    ----------
    planes : ndarray
        (..., C, H, W), float32, 0 where unknown.
    known : ndarray
        (..., 1, H, W) bool; or float32, the shares of reduced pixels that are known, by which
        `planes` are multiplied already.
    smoothing_px : float
        See `harmonise`.

    Returns
    -------
    ndarray
        (..., C, H, W), float32
    """
    total = _blur(known.astype(np.float32), smoothing_px)
    blurred = _blur(planes, smoothing_px)
    smooth = np.where(total > 1e-3, blurred / np.maximum(total, np.float32(1e-3)), np.float32(0))
    return _pull_push(smooth.astype(np.float32, copy=False), np.clip(total, 0, 1))


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


def _blur(planes: Array, sigma_px: float) -> Array:
    sigmas = (*(0,) * (planes.ndim - 2), sigma_px, sigma_px)
    blurred: Array = ndimage.gaussian_filter(planes, sigmas, truncate=3.0)
    return blurred


def _pull_push(values: Array, weight: Array) -> Array:
    """Fill pixels of low weight from coarser and coarser averages of their surroundings.

    values: (..., C, H, W); weight: (..., 1, H, W) in [0, 1].
    """
    height, width = values.shape[-2:]
    if max(height, width) <= 2:
        total = weight.sum((-2, -1), keepdims=True)
        mean = (values * weight).sum((-2, -1), keepdims=True) / np.maximum(total, 1e-6)
        return np.broadcast_to(mean, values.shape).astype(np.float32)
    weighted, total = halve(values * weight), halve(weight)
    share = np.minimum(np.float32(1), np.float32(4) * total)
    means = weighted / np.maximum(total, np.float32(1e-6))
    coarse = _pull_push(means.astype(np.float32, copy=False), share)
    filled = double(coarse)[..., :height, :width]
    return filled + weight * (values - filled)
