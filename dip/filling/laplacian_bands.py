"""Add another image's detail, per Laplacian band, up to the missing energy.

An averaged image is smooth: it lacks energy in its fine bands, while its coarse bands are right.
Each band is kept. It gets the part of the other image's band that is not correlated with it, scaled
so that the sum has the other band's energy. A mixture, `(1 - s) * smooth + s * detailed`, would
lose a part of both.

Source: bands: Burt, Adelson, *The Laplacian pyramid as a compact image code*, IEEE Trans. Comm.
31(4), 1983, DOI 10.1109/TCOM.1983.1095851. The most accurate image with the statistics of the truth
is the expected image plus missing detail: Freirich, Michaeli, Meir, *A theory of the distortion-
perception tradeoff in Wasserstein space*, NeurIPS 2021, arXiv:2107.02555.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dip.filling.resample import enlarge, reduce

Array = NDArray[np.float32]

_BANDS = 5
_ENERGY_SIGMA_PX = 2.0
_SMALLEST_SIDE_PX = 16
_TINY_ENERGY = np.float32(1e-9)


def add_missing_bands(smooth: Array, detailed: Array, *, strength: float = 1.0) -> Array:
    """Add to a smooth image the detail that it lacks beside another image of the same place.

    Parameters
    ----------
    smooth, detailed : ndarray
        (H, W, C), float32
    strength : float
        In [0, 1], factor of the added detail; at 1 each band gets the energy of `detailed`.

    Returns
    -------
    ndarray
        (H, W, C), float32; `smooth` where the two are equal.
    """
    return smooth + np.float32(strength) * _missing(smooth, detailed, _BANDS)


def _missing(smooth: Array, detailed: Array, bands: int) -> Array:
    """The detail that the finest `bands` bands of an image lack, summed."""
    height, width = smooth.shape[:2]
    if bands == 0 or min(height, width) < _SMALLEST_SIDE_PX:
        return np.zeros_like(smooth)
    all_known = np.ones((height, width), dtype=bool)
    (low, _), (coarse, _) = (reduce(each, all_known, 2) for each in (smooth, detailed))
    below = _missing(low, coarse, bands - 1)
    low, coarse, below = (enlarge(each, height, width, 2) for each in (low, coarse, below))
    return below + _missing_in_band(smooth - low, detailed - coarse)


def _missing_in_band(band: Array, other: Array) -> Array:
    """The uncorrelated part of another band, scaled to the energy that this band lacks."""
    own, goal, shared = _energy(band, band), _energy(other, other), _energy(band, other)
    share = np.clip(shared / (own + _TINY_ENERGY), 0, 1)
    rest = np.maximum(goal - 2 * share * shared + share**2 * own, 0)
    gain = np.sqrt(np.clip((goal - own) / (rest + _TINY_ENERGY), 0, 1))
    missing: Array = (gain * (other - share * band)).astype(np.float32, copy=False)
    return missing


def _energy(one: Array, other: Array) -> Array:
    """Mean product of two bands around each pixel, (H, W, 1)."""
    product = np.einsum("hwc,hwc->hw", one, other)[:, :, None]
    sigma = (_ENERGY_SIGMA_PX, _ENERGY_SIGMA_PX, 0)
    energy: Array = ndimage.gaussian_filter(product, sigma, truncate=3.0)
    return energy
