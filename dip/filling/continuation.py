"""Continue a picture beyond its last known pixels, where nothing is known on the other side.

Four plain ways compete: a membrane, the nearest known pixels, and those of the same row or column.
The picture decides between them: a strip of known pixels along the damage is hidden too, each way
fills it over the same kind of distance, and non-negative least squares find the weights with the
smallest error there (stacking). One strip is one trial, and a cloud in it decides. So there are
two, of different widths, with an equal say. A sky above hills continues along its rows, a wall
along both. The wider strip decides about kriging as well: it continues grain by a few pixels, but
draws waves into the narrow margin of a print.

Source: Wolpert, *Stacked generalization*, Neural Networks 5(2), 1992,
DOI 10.1016/S0893-6080(05)80023-1; non-negative weights: Breiman, *Stacked regressions*, Machine
Learning 24, 1996, DOI 10.1007/BF00117832.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from dip.filling.kriging import krige_detail
from dip.filling.membrane import membrane

Array = NDArray[np.float32]
Plane = NDArray[np.bool_]

_BLUR_PX = 2.0
"""Known pixels are blurred before they continue, to leave grain out."""
_STRIP, _NARROW_STRIP = 0.7, 0.35
"""Widths of the hidden strips, as shares of the damage's depth."""
_NARROWEST_PX = 8
"""A strip as narrow as the blurs tells nothing of what goes on beyond it."""
_FEWEST = 200
"""Pixels in a strip; with fewer, the membrane continues alone."""
_TINY = np.float32(1e-6)
_DEPTHS_PX = ((2, 2), (4, 6), (8, 14), (16, 30))
"""Nearest pixels are blurred by so much from such a depth on: they come from far apart there."""


def continue_picture(
    target: Array,
    known: Plane,
    *,
    needed: Plane | None = None,
    limits: tuple[float, float] = (0, 1),
) -> Array:
    """Fill the unknown pixels from one side.

    Parameters
    ----------
    target : ndarray
        (H, W, C), float32; ignored where unknown.
    known : ndarray
        (H, W) bool
    needed : ndarray, optional
        (H, W) bool, the unknown pixels at which the remainder is kriged, as far as that is right
        in the strip.
    limits : tuple of float
        See `dip.filling.kriging.krige_detail`.

    Returns
    -------
    ndarray
        (H, W, C), float32, smooth; meaningful at unknown pixels only.
    """
    clean = np.where(known[:, :, None], target, np.float32(0))
    depth = float(ndimage.distance_transform_edt(~known).max())
    distance = ndimage.distance_transform_edt(known)
    plain = membrane(clean, known)
    wide = _hide(clean, known, distance <= _STRIP * depth)
    narrow = None
    if _NARROW_STRIP * depth >= _NARROWEST_PX:
        narrow = _hide(clean, known, distance <= _NARROW_STRIP * depth)
    differences, truths = [], []
    for trial in filter(None, (wide, narrow)):
        ways = [
            (each - trial.plain)[trial.strip].ravel()
            for each in _others(clean, trial.seen, trial.plain)
        ]
        scale = 1 / max(float(np.linalg.norm(trial.truth)), 1e-3)  # each counts as much as another
        differences.append(scale * np.stack(ways, 1))
        truths.append(scale * trial.truth)
    result = plain
    if truths:
        weights, _ = optimize.nnls(np.concatenate(differences), np.concatenate(truths))
        weights /= max(1.0, weights.sum())
        for weight, each in zip(weights, _others(clean, known, plain), strict=True):
            result = result + np.float32(weight) * (each - plain)
    if needed is None:
        return result
    kriged = krige_detail(clean, known, result, limits=limits, needed=needed)
    share = np.float32(1) if wide is None else _share_of_kriging(clean, wide, limits)
    return result + share * (kriged - result)


class _Trial(NamedTuple):
    """A hidden strip of known pixels, and how a membrane continues into it."""

    strip: Plane
    seen: Plane
    plain: Array
    truth: Array
    """What the membrane lacks in the strip."""


def _hide(clean: Array, known: Plane, near: Plane) -> _Trial | None:
    """Hide the known pixels nearby; None where too few of either kind are left for a trial."""
    strip = known & near
    seen = known & ~strip
    if np.count_nonzero(strip) < _FEWEST or np.count_nonzero(seen) < _FEWEST:
        return None
    plain = membrane(clean, seen)
    return _Trial(strip=strip, seen=seen, plain=plain, truth=(clean - plain)[strip].ravel())


def _share_of_kriging(clean: Array, trial: _Trial, limits: tuple[float, float]) -> np.float32:
    """How much of the kriged remainder is right in a hidden strip, in [0, 1]."""
    kriged = krige_detail(clean, trial.seen, trial.plain, limits=limits, needed=trial.strip)
    difference = (kriged - trial.plain)[trial.strip].ravel()
    share = difference @ trial.truth / np.maximum(_TINY, difference @ difference)
    return np.float32(share.clip(0, 1))


def _others(clean: Array, known: Plane, plain: Array) -> tuple[Array, Array, Array]:
    """The fills by the nearest known pixels, by rows and by columns."""
    weight = ndimage.gaussian_filter(known.astype(np.float32), _BLUR_PX)[:, :, None]
    blurred = _blur(clean * known[:, :, None], _BLUR_PX) / np.maximum(weight, np.float32(1e-3))
    rows = _along_rows(blurred, known, plain)
    columns = _along_rows(blurred.swapaxes(0, 1), known.T, plain.swapaxes(0, 1)).swapaxes(0, 1)
    return _nearest(blurred, known), rows, columns


def _nearest(blurred: Array, known: Plane) -> Array:
    distance, index = ndimage.distance_transform_edt(~known, return_indices=True)
    nearest: Array = blurred[index[0], index[1]]
    result = nearest
    for sigma_px, depth_px in _DEPTHS_PX:
        share = ((distance - depth_px) / depth_px).clip(0, 1).astype(np.float32)
        result = result + share[:, :, None] * (_blur(nearest, sigma_px) - result)
    return result


def _along_rows(blurred: Array, known: Plane, plain: Array) -> Array:
    """The mean of the known pixels to the left and to the right, by nearness; `plain` for none."""
    width = known.shape[1]
    places = np.arange(width)[None]
    left = np.maximum.accumulate(np.where(known, places, -1), 1)
    right = np.minimum.accumulate(np.where(known, places, width)[:, ::-1], 1)[:, ::-1]
    row = np.arange(len(known))[:, None]
    total = np.zeros((*known.shape, 1), dtype=np.float32)
    result = np.zeros_like(blurred)
    for place, exists in ((left, left >= 0), (right, right < width)):
        near = np.where(exists, 1 / np.maximum(abs(place - places), 0.5), 0)[:, :, None]
        result += near.astype(np.float32) * blurred[row, place.clip(0, width - 1)]
        total += near.astype(np.float32)
    return np.where(total > 0, result / np.maximum(total, np.float32(1e-6)), plain)


def _blur(image: Array, sigma_px: float) -> Array:
    blurred: Array = ndimage.gaussian_filter(image, (sigma_px, sigma_px, 0), truncate=3.0)
    return blurred
