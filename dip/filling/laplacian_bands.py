"""Lay the detail of one image over another, band by band, no more of it than is missing.

What is smooth by being averaged lacks energy in its fine bands, not in its coarse ones: there it
says where things are, and it is to be kept. Each band of it stays as it is, and gets as much of the
other image's band as brings it to that one's energy; only what is not in it already is added. To
mix the two, as `(1 - s) * smooth + s * detailed`, loses a part of both.

Source: bands: Burt, Adelson, *The Laplacian pyramid as a compact image code*, IEEE Trans. Comm.
31(4), 1983, DOI 10.1109/TCOM.1983.1095851. That the best of all images as rich as the truth are the
expected one and a part of what it lacks: Freirich, Michaeli, Meir, *A theory of the distortion-
perception tradeoff in Wasserstein space*, NeurIPS 2021, arXiv:2107.02555.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dip.filling.resample import enlarge, reduce

Array = NDArray[np.float32]

_BANDS = 5
_WINDOW_PX = 2.0
_SMALLEST_PX = 16
_NOTHING = np.float32(1e-9)


def complete(smooth: Array, detailed: Array, *, strength: float = 1.0) -> Array:
    """Add to a smooth image what a detailed one of the same place has more.

    Parameters
    ----------
    smooth, detailed : ndarray
        (H, W, C), float32
    strength : float
        In [0, 1], of what is added; at 1 each band becomes as rich as that of `detailed`.

    Returns
    -------
    ndarray
        (H, W, C), float32; `smooth` itself where the two are the same.
    """
    return smooth + np.float32(strength) * _missing(smooth, detailed, _BANDS)


def _missing(smooth: Array, detailed: Array, bands: int) -> Array:
    """What the finest so many bands of an image lack, together."""
    height, width = smooth.shape[:2]
    if bands == 0 or min(height, width) < _SMALLEST_PX:
        return np.zeros_like(smooth)
    all_known = np.ones((height, width), dtype=bool)
    (low, _), (coarse, _) = (reduce(each, all_known, 2) for each in (smooth, detailed))
    below = _missing(low, coarse, bands - 1)
    low, coarse, below = (enlarge(each, height, width, 2) for each in (low, coarse, below))
    return below + _missing_in_band(smooth - low, detailed - coarse)


def _missing_in_band(band: Array, other: Array) -> Array:
    """The part of another band that is not in this one, by the energy that this one lacks."""
    own, wanted, shared = _energy(band, band), _energy(other, other), _energy(band, other)
    share = np.clip(shared / (own + _NOTHING), 0, 1)
    rest = np.maximum(wanted - 2 * share * shared + share**2 * own, 0)
    gain = np.sqrt(np.clip((wanted - own) / (rest + _NOTHING), 0, 1))
    missing: Array = (gain * (other - share * band)).astype(np.float32, copy=False)
    return missing


def _energy(one: Array, other: Array) -> Array:
    """Mean product of two bands around each pixel, (H, W, 1)."""
    product = np.einsum("hwc,hwc->hw", one, other)[:, :, None]
    around: Array = ndimage.gaussian_filter(product, (_WINDOW_PX, _WINDOW_PX, 0), truncate=3.0)
    return around
