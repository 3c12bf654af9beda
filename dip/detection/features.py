"""Measures of how far each pixel stands out from its surroundings, for damage of one polarity.

All measures look for *bright* damage; dark damage is found in the negative of the photo.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dip.detection.directions import FLOOR, NEAR_PX, along_lines, curves, lines, spread

Floats = NDArray[np.float32]

MARGIN_PX = 96
"""Pixels further away than this have no influence on a measure."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_TOP_HATS = (3, 5, 9, 17, 33)
_COLOUR_TOP_HATS = (5, 9, 17)
_DOUBLINGS = (3, 4, 6)
"""Lines of 8, 16 and 64 px."""
_FAR_PX = 129
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
        In memory the measures of a pixel lie beside each other, as the network needs them.
    """
    return _measures(_common(photo, character), photo.min(axis=2), 1)


def measure_both(photo: Floats, character: Character) -> Iterator[Floats]:
    """Measure how far each pixel stands out as bright, then as dark damage; see `measure`.

    The second is `measure` of the negative, but for rounding; much is computed once for both.
    """
    common = _common(photo, character)
    yield _measures(common, photo.min(axis=2), 1)
    yield _measures(common, 1 - photo.max(axis=2), -1)


def measure_few(photo: Floats) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Those of the measures that `dip.detection.classical` uses, by name; see `measure_both`."""
    luma = _luma_of(photo)
    smooth = _blurred(luma, 0.7)
    noise = spread(luma - _blurred(luma, 2), NEAR_PX) + np.float32(FLOOR)
    ((lowest, highest, mean),) = lines(along_lines(luma), (4,))
    sharpness = {"sharpness": _sharpness(luma)}
    bright, dark = (
        sharpness
        | _standing(luma, smooth, noise, _top_hat(sign * smooth, 9), (lowest, highest, mean), sign)
        for sign in (1, -1)
    )
    return bright, dark


def _sharpness(luma: Floats) -> Floats:
    fine = ndimage.gaussian_gradient_magnitude(luma, 0.7)
    coarse = ndimage.gaussian_gradient_magnitude(luma, 2)
    fine, coarse = (ndimage.maximum_filter(each, 5) for each in (fine, coarse))
    sharpness: Floats = np.log((fine + np.float32(FLOOR)) / (coarse + np.float32(FLOOR)))
    return sharpness


def _standing(
    luma: Floats,
    smooth: Floats,
    noise: Floats,
    hat: Floats,
    line: tuple[Floats, Floats, Floats],
    sign: int,
) -> dict[str, Floats]:
    """The measures of bright, or with the sign -1 of dark damage that need least time."""
    lowest, highest, mean = line
    best = highest if sign > 0 else -lowest
    return {
        "top-hat 9": np.arcsinh(hat / noise),
        "contrast": np.log(hat + np.float32(FLOOR)) + 4,
        "peak": np.arcsinh(sign * (smooth - _blurred(luma, 1.6)) / noise),
        "line 16": np.float32(4) * best,
        "line 16 against other directions": np.float32(4) * (best - sign * mean),
    }


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
        See `along_lines`.
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
    noise = spread(detail, NEAR_PX) + np.float32(FLOOR)
    far = spread(detail, _FAR_PX) + np.float32(FLOOR)
    grain = np.float32(character.grain + FLOOR / 2)
    colour = _blurred(photo.max(axis=2) - photo.min(axis=2), 1)
    lost = np.zeros_like(luma)
    if photo.shape[2] == 3:
        texture = spread(colour - _blurred(colour, 3), NEAR_PX) + np.float32(FLOOR)
        lost = np.arcsinh(_top_hat(-colour, 17) / texture)
    along = along_lines(luma)
    return _Common(
        luma=luma,
        smooth=smooth,
        noise=noise,
        grain=grain,
        hats={size: (_top_hat(smooth, size), _top_hat(-smooth, size)) for size in _TOP_HATS},
        along=along,
        lines=lines(along, _DOUBLINGS),
        planes={
            "sharpness": _sharpness(luma),
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
    noise_darkest = spread(darkest - _blurred(darkest, 2), NEAR_PX) + np.float32(FLOOR)
    measures = np.empty((*luma.shape, len(NAMES)), np.float32).transpose(2, 0, 1)
    planes = dict(zip(NAMES, measures, strict=True))
    for name, plane in common.planes.items():
        planes[name][:] = plane
    for name, plane in _standing(
        luma, common.smooth, noise, hats[9], common.lines[1], sign
    ).items():
        planes[name][:] = plane
    for size in _TOP_HATS:
        planes[f"top-hat {size}"][:] = np.arcsinh(hats[size] / noise)
    for size in _COLOUR_TOP_HATS:
        planes[f"top-hat {size} of the darkest channel"][:] = np.arcsinh(
            _top_hat(smooth_darkest, size) / noise_darkest
        )
    four = np.float32(4)
    for steps, (lowest, highest, _) in zip(_DOUBLINGS, common.lines, strict=True):
        planes[f"line {2**steps}"][:] = four * (highest if sign > 0 else -lowest)
    ((_, highest, _),) = lines(along_lines(darkest), (4,))
    planes["line 16 of the darkest channel"][:] = four * highest
    blurred = _blurred(luma, 4)
    planes["brightness"][:] = blurred if sign > 0 else 1 - blurred
    planes["contrast 33"][:] = np.log(hats[33] + np.float32(FLOOR)) + 4
    planes["detail in the photo's grain"][:] = np.arcsinh(
        sign * (luma - _blurred(luma, 1)) / common.grain
    )
    for size in (5, 17):
        planes[f"dark top-hat {size}"][:] = np.arcsinh(against[size] / noise)
    planes["step"][:] = (sign * 4) * (luma - _blurred(luma, 6))
    planes["step of the darkest channel"][:] = 4 * (darkest - _blurred(darkest, 6))
    for name, plane in zip(_CURVES, curves(common.along, sign), strict=True):
        planes[name][:] = plane
    return measures


def _luma_of(photo: Floats) -> Floats:
    luma: Floats = photo @ _LUMA if photo.shape[2] == 3 else photo[:, :, 0]
    return luma


def _blurred(plane: Floats, sigma: float) -> Floats:
    blurred: Floats = ndimage.gaussian_filter(plane, sigma, truncate=3)
    return blurred


def _top_hat(plane: Floats, size: int) -> Floats:
    """The height above the opening: the brightest level that a square of this size has room at."""
    hat: Floats = plane - ndimage.grey_opening(plane, (size, size))
    return hat
