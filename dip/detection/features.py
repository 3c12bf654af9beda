"""Measures of how far each pixel stands out from its surroundings, for damage of one polarity.

All measures look for *bright* damage; dark damage is found in the negative of the photo.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]

MARGIN_PX = 96
"""Pixels further away than this have no influence on a measure."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_TOP_HATS = (3, 5, 9, 17, 33)
_COLOUR_TOP_HATS = (5, 9, 17)
_ORIENTATIONS = 12
_DOUBLINGS = (3, 4, 6)
"""Lines of 8, 16 and 64 px."""
_NEAR_PX, _FAR_PX = 49, 129
_FLOOR = 0.004
"""Standard deviation below which no surroundings are thought to be: one level of an 8-bit photo."""
_LEAST_ENERGY = 1e-6

NAMES = (
    *(f"top-hat {size}" for size in _TOP_HATS),
    *(f"top-hat {size} of the darkest channel" for size in _COLOUR_TOP_HATS),
    *(f"line {2**steps}" for steps in _DOUBLINGS),
    "line 16 of the darkest channel",
    "line 16 against other directions",
    "peak",
    "sharpness",
    "loss of colour",
    "texture near",
    "texture far",
    "brightness",
    "contrast",
    "contrast 33",
    "detail in the photo's grain",
    "dark top-hat 5",
    "dark top-hat 17",
    "step",
    "step of the darkest channel",
    "colour",
    "grain of the photo",
    "sharpness of the photo",
)


@dataclass(frozen=True, kw_only=True)
class Character:
    """What the measures of a pixel are compared with: properties of the whole photo.

    Parameters
    ----------
    grain : float
        The standard deviation of the finest detail in the flattest quarter of the photo.
    sharpness : float
        The logarithm of finest by coarser detail where the photo is busiest, grain left out: -0.3
        and less where a scan is soft, above 0 where a photo is as sharp as its pixels allow.
    """

    grain: float
    sharpness: float


def characterise(photo: Floats) -> Character:
    """Estimate grain and sharpness of a photo, (H, W, C), or of its negative: they are equal."""
    luma = _luma_of(photo)
    once, twice = (_blurred(luma, sigma) for sigma in (1, 2))
    fine, coarse = (_energies(detail) for detail in (luma - once, once - twice))
    grain = np.quantile(fine, 0.25)
    busy = coarse >= np.quantile(coarse, 0.8)
    excess = max(float(fine[busy].mean() - grain), 0) + _LEAST_ENERGY
    sharpness = 0.5 * np.log(excess / (float(coarse[busy].mean()) + _LEAST_ENERGY))
    return Character(grain=float(np.sqrt(grain)), sharpness=float(sharpness))


def _energies(detail: Floats) -> Floats:
    """The mean square in every block of 16 px."""
    energies: Floats = ndimage.uniform_filter(np.square(detail), 16)[8::16, 8::16].clip(0)
    return energies


def measure(photo: Floats, character: Character) -> Floats:
    """Measure how far each pixel stands out as bright damage.

    Parameters
    ----------
    photo : (H, W, C) float32 array
        Gray or RGB in [0, 1], or a part of it; for dark damage, its negative.
    character : Character
        Of the whole photo.

    Returns
    -------
    (F, H, W) float32 array, one plane for each of `NAMES`, of the order of 1.
    """
    luma = _luma_of(photo)
    darkest = photo.min(axis=2)
    smooth = _blurred(luma, 0.7)
    smooth_darkest = _blurred(darkest, 0.7)
    detail = luma - _blurred(luma, 2)
    near = _spread(detail, _NEAR_PX)
    far = _spread(detail, _FAR_PX)
    noise = near + np.float32(_FLOOR)
    noise_darkest = _spread(darkest - _blurred(darkest, 2), _NEAR_PX) + np.float32(_FLOOR)

    planes: list[Floats] = []
    hats = {size: _top_hat(smooth, size) for size in _TOP_HATS}
    planes += [np.arcsinh(hats[size] / noise) for size in _TOP_HATS]
    planes += [
        np.arcsinh(_top_hat(smooth_darkest, size) / noise_darkest) for size in _COLOUR_TOP_HATS
    ]
    lines, against = _lines(luma, _DOUBLINGS)
    planes += lines
    planes += _lines(darkest, (4,))[0]
    planes.append(against)
    planes.append(np.arcsinh((smooth - _blurred(luma, 1.6)) / noise))
    fine = ndimage.gaussian_gradient_magnitude(luma, 0.7)
    coarse = ndimage.gaussian_gradient_magnitude(luma, 2)
    fine, coarse = (ndimage.maximum_filter(each, 5) for each in (fine, coarse))
    planes.append(np.log((fine + np.float32(_FLOOR)) / (coarse + np.float32(_FLOOR))))
    colour = _blurred(photo.max(axis=2) - darkest, 1)
    if photo.shape[2] == 3:
        lost = _top_hat(-colour, 17)
        planes.append(
            np.arcsinh(
                lost / (_spread(colour - _blurred(colour, 3), _NEAR_PX) + np.float32(_FLOOR))
            )
        )
    else:
        planes.append(np.zeros_like(luma))
    planes.append(np.log(noise) + 4)
    planes.append(np.log(far + np.float32(_FLOOR)) + 4)
    planes.append(_blurred(luma, 4))
    planes += [np.log(hats[size] + np.float32(_FLOOR)) + 4 for size in (9, 33)]
    grain = np.float32(character.grain + _FLOOR / 2)
    planes.append(np.arcsinh((luma - _blurred(luma, 1)) / grain))
    planes += [np.arcsinh(_top_hat(-smooth, size) / noise) for size in (5, 17)]
    planes += [4 * (each - _blurred(each, 6)) for each in (luma, darkest)]
    planes.append(2 * colour)
    planes.append(np.full_like(luma, np.log(grain) + 4))
    planes.append(np.full_like(luma, 2 * character.sharpness))
    return np.stack(planes).astype(np.float32, copy=False)


def _luma_of(photo: Floats) -> Floats:
    luma: Floats = photo @ _LUMA if photo.shape[2] == 3 else photo[:, :, 0]
    return luma


def _blurred(plane: Floats, sigma: float) -> Floats:
    blurred: Floats = ndimage.gaussian_filter(plane, sigma, truncate=3)
    return blurred


def _spread(plane: Floats, size: int) -> Floats:
    """The standard deviation in a square, in which strong outliers such as damage count less."""
    squared = np.square(plane)
    for _ in range(2):
        mean = ndimage.uniform_filter(squared, size)
        np.minimum(squared, 6 * mean, out=squared)
    spread: Floats = np.sqrt(ndimage.uniform_filter(squared, size).clip(0))
    return spread


def _top_hat(plane: Floats, size: int) -> Floats:
    """The height above the opening: the brightest level that a square of this size has room at."""
    hat: Floats = plane - ndimage.grey_opening(plane, (size, size))
    return hat


def _lines(plane: Floats, doublings: tuple[int, ...]) -> tuple[list[Floats], Floats]:
    """Integrals of the second derivative across lines, along straight pieces of 2ⁿ px.

    Returns the largest over all directions, in standard deviations, for each length; and, for 16 px
    or the longest length, the largest less the mean over all directions.
    """
    xx, yy, xy = (
        ndimage.gaussian_filter(plane, 1.2, order=order) for order in ((0, 2), (2, 0), (1, 1))
    )
    best: list[Any] = [None] * len(doublings)
    total: Any = 0
    at = doublings.index(4)
    # A bright spot is no line: no pixel counts more than four standard deviations.
    energy = np.sqrt((xx**2 + yy**2 + 2 * xy**2) / 2)
    limit = 4 * _spread(energy, _NEAR_PX) + np.float32(_FLOOR / 4)
    for number in range(_ORIENTATIONS):
        angle = np.pi * number / _ORIENTATIONS
        across_x, across_y = -np.sin(angle), np.cos(angle)
        curvature = -(across_x**2 * xx + across_y**2 * yy + 2 * across_x * across_y * xy)
        curvature = curvature.astype(np.float32, copy=False)
        along = np.clip(curvature / limit, -1, 1)
        done = 0
        for index, steps in enumerate(doublings):
            for step in range(done, steps):
                along = _with_shifted(along, 2**step * np.cos(angle), 2**step * np.sin(angle))
            done = steps
            # Shifts went one way only: back by half.
            middle = _shifted(
                along, -(2**steps - 1) / 2 * np.cos(angle), -(2**steps - 1) / 2 * np.sin(angle)
            )
            best[index] = middle if best[index] is None else np.maximum(best[index], middle)
            if index == at:
                total = total + middle
    return [each * np.float32(4) for each in best], (best[at] - total / _ORIENTATIONS) * np.float32(
        4
    )


def _shifted(plane: Floats, x: float, y: float) -> Floats:
    """`plane` at (row + y, column + x), to the nearest pixel; 0 beyond the border."""
    rows, columns = round(y), round(x)
    out = np.zeros_like(plane)
    height, width = plane.shape
    if abs(rows) >= height or abs(columns) >= width:
        return out
    out[max(0, -rows) : height - max(0, rows), max(0, -columns) : width - max(0, columns)] = plane[
        max(0, rows) : height - max(0, -rows), max(0, columns) : width - max(0, -columns)
    ]
    return out


def _with_shifted(plane: Floats, x: float, y: float) -> Floats:
    summed = _shifted(plane, x, y)
    summed += plane
    summed *= np.float32(0.5)
    return summed
