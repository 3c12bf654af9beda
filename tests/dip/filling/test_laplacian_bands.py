"""Missing detail of an image, added band by band."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from dip.filling.laplacian_bands import add_missing_bands

Array = NDArray[np.float32]


def noise(seed: int, sigma_px: float, *, size: tuple[int, ...] = (96, 120, 3)) -> Array:
    """Smooth noise of unit variance."""
    drawn = np.random.default_rng(seed).standard_normal(size)
    smooth = ndimage.gaussian_filter(drawn, (sigma_px, sigma_px, 0))
    return (smooth / smooth.std()).astype(np.float32)


def spread(values: Array, sigma_px: float) -> float:
    """Standard deviation of the detail that a blur removes."""
    fine = values - ndimage.gaussian_filter(values, (sigma_px, sigma_px, 0))
    return float(fine[16:-16, 16:-16].std())


def test_an_image_lacks_nothing_beside_itself() -> None:
    image = noise(0, 1.5)
    assert add_missing_bands(image, image) == pytest.approx(image, abs=1e-5)


@pytest.mark.parametrize("size", [(7, 40, 1), (33, 47, 4), (96, 120, 3)])
def test_without_strength_nothing_is_added(size: tuple[int, int, int]) -> None:
    image, other = noise(0, 4, size=size), noise(1, 1, size=size)
    assert add_missing_bands(image, other, strength=0) == pytest.approx(image, abs=1e-5)


def test_missing_detail_is_added_up_to_the_others_energy_and_coarse_bands_stay() -> None:
    coarse, fine = noise(0, 12), noise(1, 1.5)
    result = add_missing_bands(coarse, fine)
    assert spread(coarse, 3) < 0.1
    assert spread(result, 3) == pytest.approx(spread(fine, 3), rel=0.1)
    left = ndimage.gaussian_filter(result - coarse, (8, 8, 0))
    assert np.abs(left).max() < 0.3


def test_an_image_of_equal_energy_is_left_alone() -> None:
    image, other = noise(0, 1.5), noise(1, 1.5)
    mean = (image + other) / 2
    result = add_missing_bands(image, other)
    assert spread(result, 3) == pytest.approx(spread(image, 3), rel=0.15)
    assert np.corrcoef(result.ravel(), image.ravel())[0, 1] > 0.9
    # It is nearer to the first image than the mean is, with the energy of both.
    assert np.square(result - image).mean() < np.square(mean - image).mean()


def test_a_correlated_part_is_not_added_twice() -> None:
    base, detail = noise(0, 1.5), noise(1, 1.5)
    result = add_missing_bands(base, base + detail)
    assert np.square(result - base - detail).mean() < 0.35  # 0.6 without


def test_one_colour_and_a_flat_image() -> None:
    flat: Any = np.full((64, 64, 1), 0.5, dtype=np.float32)
    assert add_missing_bands(flat, flat) == pytest.approx(flat)
    assert add_missing_bands(flat, flat + noise(3, 1, size=(64, 64, 1))).std() > 0.5
