"""Damage in the infrared plane of a film scanner: dust and scratches are dark there.

The dyes of colour films let infrared light pass, but not fully: a ghost of the picture remains. It
is predicted from the colours, by a regression of the logarithms (Beer and Lambert's law), and
divided out. Silver, and the dyes of Kodachrome, stop infrared light: their plane shows the whole
picture, and is of no use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from dip.errors import InfraredUnusable

Floats = NDArray[np.float32]

LARGEST_SHIFT_PX = 3
"""Colours and infrared are scanned at different times; a larger shift is a fault of the scan."""

SILVER_ABOVE = 0.5
"""Sum of the coefficients above which the infrared plane shows the picture itself."""

_SEARCHED_SHIFT_PX = 12
_LARGEST_COEFFICIENT = 0.8
_DARKEST = 1 / 1024
_BACKGROUND_PX = 61
_SURE_SIGMAS = 6.0
_LEAST_DROP = 0.06
"""Drops of the logarithm below this are never damage."""

_HOLDER = 0.2
"""The film holder is darker than this share of the median, and touches the border."""


@dataclass(frozen=True, kw_only=True)
class Infrared:
    """The damage in an infrared plane.

    Parameters
    ----------
    certainty : (H, W) float32 array
        In [0, 1].
    shift : tuple of int
        Rows and columns by which the plane was moved.
    """

    certainty: Floats
    shift: tuple[int, int]


def infrared_damage(photo: Floats, infrared: Floats, reduced: int = 1) -> Infrared | None:
    """Find the damage in an infrared plane.

    Parameters
    ----------
    photo : (H, W, C) float32 array
        Gray or RGB in [0, 1].
    infrared : (H, W) float32 array
        In [0, 1].
    reduced : int
        How many times smaller both are than the scan; shifts are given in its pixels.

    Returns
    -------
    Infrared or None
        None where the film is silver or Kodachrome: the plane shows the picture.

    Raises
    ------
    InfraredUnusable
        Its size is another one, it is shifted by more than `LARGEST_SHIFT_PX`, inverted, or flat.
    """
    if infrared.shape != photo.shape[:2]:
        refuse_size(infrared.shape, photo.shape[:2])
    if float(infrared.max() - infrared.min()) < 0.01:
        raise InfraredUnusable(
            "The infrared plane is of one brightness.", "Scan it again, or leave it out."
        )
    density = np.log(np.maximum(photo, _DARKEST))
    shift = _shift_of(density, np.log(np.maximum(infrared, _DARKEST)))
    if max(map(abs, shift)) * reduced > LARGEST_SHIFT_PX + reduced // 2:
        raise InfraredUnusable(
            f"The infrared plane is shifted: moved by {shift[1] * reduced} px to the right and "
            f"{shift[0] * reduced} px down it would fit; "
            f"{LARGEST_SHIFT_PX} px are the limit.",
            "Scan again, or leave the infrared plane out.",
        )
    moved = np.log(np.maximum(_moved(infrared, shift), _DARKEST))
    holder = _holder(moved)
    coefficients = _ghost(density, moved, ~holder)
    if coefficients.sum() > SILVER_ABOVE:
        return None
    residual = moved - density @ coefficients.astype(np.float32)
    residual -= _background(residual, holder)
    residual[holder] = 0
    smooth = ndimage.gaussian_filter(residual, 0.6)
    sigma = _local_sigma(smooth, holder)
    _refuse_inverted(smooth / sigma, smooth)
    drop = np.minimum(-smooth / sigma - _SURE_SIGMAS, (-smooth - _LEAST_DROP) * 60)
    certainty: Floats = (1 / (1 + np.exp(-np.clip(drop, -30, 30)))).astype(np.float32)
    certainty[holder] = 0
    return Infrared(certainty=certainty, shift=shift)


def refuse_size(infrared: tuple[int, ...], photo: tuple[int, ...]) -> NoReturn:
    """Raise InfraredUnusable: the plane has another size."""
    raise InfraredUnusable(
        f"The infrared plane has {infrared[1]} × {infrared[0]} pixels, the photo "
        f"{photo[1]} × {photo[0]}.",
        "Scan both at the same size, or leave the infrared plane out.",
    )


def _shift_of(density: Floats, infrared: Floats) -> tuple[int, int]:
    """Rows and columns to move the infrared plane by, so that edges coincide; (0, 0) if unclear."""
    luma = density.mean(axis=2)
    rows, columns = (min(side, 1024) for side in luma.shape)
    middle = tuple(
        slice((side - part) // 2, (side - part) // 2 + part)
        for side, part in zip(luma.shape, (rows, columns), strict=True)
    )
    edges = []
    for plane in (luma[middle], infrared[middle]):
        edge = ndimage.gaussian_gradient_magnitude(plane, 1.0)
        edge = np.minimum(edge, 8 * np.median(edge) + 1e-3)
        edge -= ndimage.uniform_filter(edge, 31)
        edges.append(edge / max(float(edge.std()), 1e-9))
    transformed = np.fft.rfft2(edges[0]) * np.conj(np.fft.rfft2(edges[1]))
    correlation = np.fft.irfft2(transformed, s=edges[0].shape) / edges[0].size
    reach = min(_SEARCHED_SHIFT_PX, rows // 4, columns // 4)
    near = np.roll(correlation, (reach, reach), axis=(0, 1))[: 2 * reach + 1, : 2 * reach + 1]
    at = np.unravel_index(near.argmax(), near.shape)
    peak = near[at]
    spread = 1.4826 * np.median(np.abs(correlation - np.median(correlation)))
    if peak < max(8 * spread, 0.03) or peak < near[reach, reach] * 1.05:
        return 0, 0
    return int(at[0]) - reach, int(at[1]) - reach


def _moved(plane: Floats, shift: tuple[int, int]) -> Floats:
    if shift == (0, 0):
        return plane
    reach = max(map(abs, shift))
    padded = np.pad(plane, reach, mode="edge")
    rows, columns = reach - shift[0], reach - shift[1]
    return padded[rows : rows + plane.shape[0], columns : columns + plane.shape[1]]


def _holder(log_infrared: Floats) -> NDArray[np.bool_]:
    """The frame of the film holder: very dark, and connected with the border of the scan."""
    dark = log_infrared < np.median(log_infrared) + np.log(_HOLDER)
    dark = ndimage.binary_opening(dark, np.ones((5, 5)))
    labels, count = ndimage.label(dark)
    if not count:
        return dark
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    reaches = np.zeros(count + 1, bool)
    numbers, lengths = np.unique(border, return_counts=True)
    reaches[numbers[lengths >= min(labels.shape) / 4]] = True
    reaches[0] = False
    return ndimage.binary_dilation(reaches[labels], np.ones((3, 3)), iterations=4)


def _ghost(density: Floats, infrared: Floats, used: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Coefficients in [0, 0.8] of the colours in the infrared plane, without its damage."""
    step = max(1, int(np.sqrt(used.size / 60_000)))
    blurred = [ndimage.uniform_filter(density[:, :, c], 5) for c in range(density.shape[2])]
    chosen = used[::step, ::step]
    known = np.stack([each[::step, ::step][chosen] for each in blurred], axis=1).astype(np.float64)
    target = ndimage.uniform_filter(infrared, 5)[::step, ::step][chosen].astype(np.float64)
    matrix = np.concatenate([known, np.ones((len(known), 1))], axis=1)
    channels = known.shape[1]
    low = np.r_[np.zeros(channels), -np.inf]
    high = np.r_[np.full(channels, _LARGEST_COEFFICIENT), np.inf]
    kept = np.ones(len(known), bool)
    solution = np.zeros(channels + 1)
    for _ in range(4):
        solution = optimize.lsq_linear(matrix[kept], target[kept], (low, high)).x
        error = target - matrix @ solution
        spread = 1.4826 * np.median(np.abs(error - np.median(error)))
        kept = np.abs(error - np.median(error)) <= 2.5 * max(spread, 1e-3)
    return np.asarray(solution[:channels])


def _background(residual: Floats, holder: NDArray[np.bool_]) -> Floats:
    """A slowly varying level, on which damage has little influence."""
    weight = (~holder).astype(np.float32)
    level = np.float32(np.median(residual[~holder])) if not holder.all() else np.float32(0)
    values = np.clip(residual, level - 0.2, level + 0.2)
    for _ in range(2):
        mean = ndimage.uniform_filter(values * weight, _BACKGROUND_PX)
        mean /= np.maximum(ndimage.uniform_filter(weight, _BACKGROUND_PX), 1e-3)
        values = np.clip(residual, mean - 0.03, mean + 0.03)
    background: Floats = mean
    return background


def _local_sigma(plane: Floats, holder: NDArray[np.bool_]) -> Floats:
    whole = 1.4826 * float(np.median(np.abs(plane[~holder]))) if not holder.all() else 1.0
    clipped = np.minimum(np.abs(plane), 3 * whole)
    local = 1.25 * ndimage.uniform_filter(clipped, _BACKGROUND_PX)
    sigma: Floats = np.maximum(local, max(0.5 * whole, 0.002)).astype(np.float32)
    return sigma


def _refuse_inverted(sigmas: Floats, residual: Floats) -> None:
    dark = int(((sigmas < -_SURE_SIGMAS) & (residual < -_LEAST_DROP)).sum())
    bright = int(((sigmas > _SURE_SIGMAS) & (residual > _LEAST_DROP)).sum())
    if bright > 20 and bright > 4 * dark:
        raise InfraredUnusable(
            "The infrared plane is inverted: its damage is bright.", "Invert it, or leave it out."
        )
