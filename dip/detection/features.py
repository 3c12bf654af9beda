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
_RAYS = (3, 4, 5)
"""Curves whose halves are of 8, 16 and 32 half pixels."""

_FIRST_BEND = 2
"""Rays of 4 half pixels and more may turn by one direction before they are continued."""

_NEAR_PX, _FAR_PX = 49, 129
_FLOOR = 0.004
"""Standard deviation below which no surroundings are thought to be: one level of an 8-bit photo."""
_LEAST_ENERGY = 1e-6

_CURVES = ("curve 32", "curve 64", "curve 128", "curve 64 against its surroundings")
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
    *_CURVES,
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
        Gray or RGB in [0, 1], or a part of it.
    character : Character
        Of the whole photo.

    Returns
    -------
    (F, H, W) float32 array, one plane for each of `NAMES`, of the order of 1.
    """
    return _measures(_common(photo, character), photo.min(axis=2), 1)


def measure_both(photo: Floats, character: Character) -> tuple[Floats, Floats]:
    """Measure how far each pixel stands out as bright, and as dark damage; see `measure`.

    The second is `measure` of the negative, but for rounding; much is computed once for both.
    """
    common = _common(photo, character)
    dark = _measures(common, 1 - photo.max(axis=2), -1)
    return _measures(common, photo.min(axis=2), 1), dark


@dataclass(frozen=True, kw_only=True)
class _Common:
    """What bright and dark damage have in common.

    Parameters
    ----------
    noise : (H, W) float32 array
        The standard deviation of the detail nearby.
    hats : dict
        By size: how far a pixel is above its surroundings, and below.
    along : list of (H, W) float32 arrays
        See `_along_lines`.
    lines : list of (lowest, highest, mean)
        Means along straight pieces, over all directions, for each of `_DOUBLINGS`.
    planes : dict
        By name: the measures that are equal for both.
    """

    luma: Floats
    smooth: Floats
    noise: Floats
    grain: np.float32
    hats: dict[int, tuple[Floats, Floats]]
    along: list[Floats]
    lines: list[tuple[Floats, Floats, Floats]]
    planes: dict[str, Floats]


def _common(photo: Floats, character: Character) -> _Common:
    luma = _luma_of(photo)
    smooth = _blurred(luma, 0.7)
    detail = luma - _blurred(luma, 2)
    noise = _spread(detail, _NEAR_PX) + np.float32(_FLOOR)
    far = _spread(detail, _FAR_PX) + np.float32(_FLOOR)
    grain = np.float32(character.grain + _FLOOR / 2)
    fine = ndimage.gaussian_gradient_magnitude(luma, 0.7)
    coarse = ndimage.gaussian_gradient_magnitude(luma, 2)
    fine, coarse = (ndimage.maximum_filter(each, 5) for each in (fine, coarse))
    colour = _blurred(photo.max(axis=2) - photo.min(axis=2), 1)
    lost = np.zeros_like(luma)
    if photo.shape[2] == 3:
        texture = _spread(colour - _blurred(colour, 3), _NEAR_PX) + np.float32(_FLOOR)
        lost = np.arcsinh(_top_hat(-colour, 17) / texture)
    along = _along_lines(luma)
    return _Common(
        luma=luma,
        smooth=smooth,
        noise=noise,
        grain=grain,
        hats={size: (_top_hat(smooth, size), _top_hat(-smooth, size)) for size in _TOP_HATS},
        along=along,
        lines=_lines(along, _DOUBLINGS),
        planes={
            "sharpness": np.log((fine + np.float32(_FLOOR)) / (coarse + np.float32(_FLOOR))),
            "loss of colour": lost,
            "texture near": np.log(noise) + 4,
            "texture far": np.log(far) + 4,
            "colour": 2 * colour,
            "grain of the photo": np.full_like(luma, np.log(grain) + 4),
            "sharpness of the photo": np.full_like(luma, 2 * character.sharpness),
        },
    )


def _measures(common: _Common, darkest: Floats, sign: int) -> Floats:
    """The measures of bright damage, or with the sign -1 of dark damage.

    `darkest` is the channel in which the damage stands out most, negative for dark damage.
    """
    luma, noise = common.luma, common.noise
    hats = {size: each[sign < 0] for size, each in common.hats.items()}
    against = {size: each[sign > 0] for size, each in common.hats.items()}
    smooth_darkest = _blurred(darkest, 0.7)
    noise_darkest = _spread(darkest - _blurred(darkest, 2), _NEAR_PX) + np.float32(_FLOOR)
    planes = dict(common.planes)
    for size in _TOP_HATS:
        planes[f"top-hat {size}"] = np.arcsinh(hats[size] / noise)
    for size in _COLOUR_TOP_HATS:
        planes[f"top-hat {size} of the darkest channel"] = np.arcsinh(
            _top_hat(smooth_darkest, size) / noise_darkest
        )
    four = np.float32(4)
    for steps, (lowest, highest, mean) in zip(_DOUBLINGS, common.lines, strict=True):
        best = highest if sign > 0 else -lowest
        planes[f"line {2**steps}"] = four * best
        if 2**steps == 16:
            planes["line 16 against other directions"] = four * (best - sign * mean)
    ((_, highest, _),) = _lines(_along_lines(darkest), (4,))
    planes["line 16 of the darkest channel"] = four * highest
    planes["peak"] = np.arcsinh(sign * (common.smooth - _blurred(luma, 1.6)) / noise)
    blurred = _blurred(luma, 4)
    planes["brightness"] = blurred if sign > 0 else 1 - blurred
    for size, name in ((9, "contrast"), (33, "contrast 33")):
        planes[name] = np.log(hats[size] + np.float32(_FLOOR)) + 4
    planes["detail in the photo's grain"] = np.arcsinh(
        sign * (luma - _blurred(luma, 1)) / common.grain
    )
    for size in (5, 17):
        planes[f"dark top-hat {size}"] = np.arcsinh(against[size] / noise)
    planes["step"] = (sign * 4) * (luma - _blurred(luma, 6))
    planes["step of the darkest channel"] = 4 * (darkest - _blurred(darkest, 6))
    planes.update(zip(_CURVES, _curves(common.along, sign), strict=True))
    measures = np.empty((len(NAMES), *luma.shape), np.float32)
    for plane, name in zip(measures, NAMES, strict=True):
        plane[:] = planes[name]
    return measures


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


def _along_lines(plane: Floats) -> list[Floats]:
    """The second derivative across each direction, from -1 to 1, a spot being no line.

    No pixel counts more than four standard deviations.
    """
    xx, yy, xy = (
        ndimage.gaussian_filter(plane, 1.2, order=order) for order in ((0, 2), (2, 0), (1, 1))
    )
    energy = np.sqrt((xx**2 + yy**2 + 2 * xy**2) / 2)
    limit = 4 * _spread(energy, _NEAR_PX) + np.float32(_FLOOR / 4)
    along = []
    for number in range(_ORIENTATIONS):
        angle = np.pi * number / _ORIENTATIONS
        across_x, across_y = -np.sin(angle), np.cos(angle)
        curvature = -(across_x**2 * xx + across_y**2 * yy + 2 * across_x * across_y * xy)
        along.append(np.clip(curvature.astype(np.float32, copy=False) / limit, -1, 1))
    return along


def _lines(along: list[Floats], doublings: tuple[int, ...]) -> list[tuple[Floats, Floats, Floats]]:
    """Means of the second derivative across lines, along straight pieces of 2ⁿ px.

    Returns the lowest, the highest and the mean over all directions for each length.
    """
    found: list[Any] = [None] * len(doublings)
    for number, piece in enumerate(along):
        angle = np.pi * number / _ORIENTATIONS
        done = 0
        for index, steps in enumerate(doublings):
            for step in range(done, steps):
                piece = _with_shifted(piece, 2**step * np.cos(angle), 2**step * np.sin(angle))
            done = steps
            # Shifts went one way only: back by half.
            middle = _shifted(
                piece, -(2**steps - 1) / 2 * np.cos(angle), -(2**steps - 1) / 2 * np.sin(angle)
            )
            if found[index] is None:
                found[index] = middle.copy(), middle.copy(), middle
                continue
            lowest, highest, total = found[index]
            np.minimum(lowest, middle, out=lowest)
            np.maximum(highest, middle, out=highest)
            total += middle
    return [(low, high, total / np.float32(_ORIENTATIONS)) for low, high, total in found]


def _curves(along: list[Floats], sign: int) -> list[Floats]:
    """Means of the second derivative along curves: two rays from a pixel that may bend.

    A ray is continued by the best of those of equal length that start at its end in nearly its
    direction, as in Brandt and Dym, SIAM J. Appl. Math. 1999, doi:10.1137/S0036139996309306. It is
    done at half the size. Returns the largest over all directions, in standard deviations, for each
    of `_RAYS`; and for the second its excess over the mean in its surroundings.
    """
    shape = along[0].shape
    halves = [_halved(each) * np.float32(sign) for each in along]
    count = 2 * _ORIENTATIONS
    rays = halves + halves  # directions 0 to 2 pi
    best = []
    for step in range(_RAYS[-1]):
        longer = []
        for number in range(count):
            angle = np.pi * number / _ORIENTATIONS
            onward = rays[number]
            if step >= _FIRST_BEND:
                onward = np.maximum(onward, rays[number - 1])
                np.maximum(onward, rays[(number + 1) % count], out=onward)
            onward = _shifted(onward, 2**step * np.cos(angle), 2**step * np.sin(angle))
            onward += rays[number]
            onward *= np.float32(0.5)
            longer.append(onward)
        rays = longer
        if step + 1 in _RAYS:
            curve = rays[0] + rays[_ORIENTATIONS]
            for number in range(1, _ORIENTATIONS):
                np.maximum(curve, rays[number] + rays[number + _ORIENTATIONS], out=curve)
            best.append(curve * np.float32(2))
    best.append(best[1] - ndimage.uniform_filter(best[1], _NEAR_PX))
    return [_doubled(each, shape) for each in best]


def _halved(plane: Floats) -> Floats:
    """Means of squares of 2 px."""
    rows, columns = plane.shape
    even = np.pad(plane, ((0, rows % 2), (0, columns % 2)), mode="edge")
    halved: Floats = even[::2, ::2] + even[1::2, ::2]
    halved += even[::2, 1::2]
    halved += even[1::2, 1::2]
    halved *= np.float32(0.25)
    return halved


def _doubled(plane: Floats, shape: tuple[int, ...]) -> Floats:
    doubled: Floats = plane.repeat(2, axis=0).repeat(2, axis=1)[: shape[0], : shape[1]]
    return doubled


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
