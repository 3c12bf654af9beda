"""Measures of how far a pixel stands out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from dip.detection.features import NAMES, characterise, measure, measure_both, measure_few

Floats = NDArray[np.float32]
SHAPE = (120, 161)


def textured(seed: int, channels: int = 3) -> Floats:
    random = np.random.default_rng(seed)
    soft = ndimage.gaussian_filter(random.normal(size=(*SHAPE, channels)), (2, 2, 0)) * 0.4 + 0.5
    return np.clip(soft + random.normal(0, 0.01, (*SHAPE, 1)), 0, 1).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 3])
def test_dark_damage_is_measured_as_bright_damage_of_the_negative(channels: int) -> None:
    photo = textured(0, channels)
    character = characterise(photo)
    bright, dark = measure_both(photo, character)
    assert bright.shape == dark.shape == (len(NAMES), *SHAPE)
    assert bright.dtype == dark.dtype == np.float32
    np.testing.assert_array_equal(bright, measure(photo, character))
    # Second derivatives of a constant are not quite zero, and sums over windows lose last bits.
    difference = np.abs(dark - measure(1 - photo, character))
    assert difference.max() < 0.1
    assert difference.mean() < 0.005


@pytest.mark.parametrize("sign", [1, -1])
def test_a_long_bent_line_within_the_grain_stands_out_most_along_curves(sign: int) -> None:
    """Of 1.2 standard deviations of the grain; the longer the curve, the more it stands out."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    line = np.exp(-0.5 * np.square(y - 60 - 25 * np.sin(x / 40)))
    grain = random.normal(0, 0.03, (*SHAPE, 1))
    photo = (0.5 + grain + sign * 0.036 * line[:, :, None]).astype(np.float32)
    measures = list(measure_both(photo, characterise(photo)))[sign < 0]
    on, off = line > 0.9, line < 1e-3
    on[:, :40] = on[:, -40:] = False

    def apart(name: str) -> float:
        plane = measures[NAMES.index(name)]
        return float((plane[on].mean() - plane[off].mean()) / plane[off].std())

    assert apart("curve 64") > 1.2 * apart("line 64")
    assert apart("curve 64") > 1.5 * apart("line 8")
    assert apart("curve 64") > 3


def test_the_few_measures_of_the_first_answer_are_those_of_all() -> None:
    photo = textured(0)
    for few, all_ in zip(measure_few(photo), measure_both(photo, characterise(photo)), strict=True):
        for name, plane in few.items():
            np.testing.assert_array_equal(plane, all_[NAMES.index(name)], err_msg=name)
