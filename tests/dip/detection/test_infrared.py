"""Dust in the infrared plane of a scanner."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from dip.detection.infrared import infrared_damage
from dip.errors import InfraredUnusable

Floats = NDArray[np.float32]
SHAPE = (160, 200)


def textured(seed: int) -> Floats:
    """A colour picture with structure of all sizes."""
    random = np.random.default_rng(seed)
    planes = [
        ndimage.gaussian_filter(random.normal(size=SHAPE), sigma) * sigma for sigma in (1.5, 4, 12)
    ]
    luma = sum(planes) * 0.15 + 0.5
    tint = ndimage.gaussian_filter(random.normal(size=(*SHAPE, 3)), (8, 8, 0))
    return np.clip(luma[:, :, None] + tint, 0.05, 1).astype(np.float32)


def plane(photo: Floats, coefficients: tuple[float, float, float], seed: int = 1) -> Floats:
    """An infrared plane with a ghost of the picture, and noise."""
    ghost = np.exp(np.log(photo) @ np.array(coefficients)) * 0.8
    noise = 1 + np.random.default_rng(seed).normal(0, 0.004, SHAPE)
    return (ghost * noise).astype(np.float32)


def dust() -> Floats:
    """The light that two specks and a hair let through."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    let = np.ones(SHAPE)
    for top, left, radius in ((40, 50, 4), (100, 150, 2.5)):
        let[np.hypot(y - top, x - left) <= radius] = 0.4
    let[np.abs(y - 120 - 8 * np.sin(x / 15)) < 1] = 0.6
    return ndimage.gaussian_filter(let, 0.6).astype(np.float32)


PHOTO = textured(0)
GHOST = (0.15, 0.05, 0.02)


@pytest.mark.parametrize("shift", [(0, 0), (2, -3), (-1, 1)])
def test_dust_is_found_and_the_ghost_is_not(shift: tuple[int, int]) -> None:
    let = dust()
    infrared = np.roll(plane(PHOTO, GHOST) * let, (-shift[0], -shift[1]), axis=(0, 1))
    found = infrared_damage(PHOTO, infrared)
    assert found is not None
    assert found.shift == shift
    marked = found.certainty > 0.5
    inner = (slice(6, -6), slice(6, -6))
    assert marked[inner][let[inner] < 0.75].mean() > 0.9
    far = ndimage.minimum_filter(let, 9)[inner] > 0.99
    assert marked[inner][far].mean() < 0.001


def test_silver_film_is_recognised() -> None:
    assert infrared_damage(PHOTO, plane(PHOTO, (0.3, 0.4, 0.25))) is None


def test_the_film_holder_is_not_damage() -> None:
    infrared = plane(PHOTO, GHOST) * dust()
    infrared[:, :14] = 0.01
    found = infrared_damage(PHOTO, infrared)
    assert found is not None
    assert not found.certainty[:, :14].any()
    assert found.certainty[40, 50] > 0.5


@pytest.mark.parametrize(
    ("infrared", "seen"),
    [
        (plane(PHOTO, GHOST)[:-1], "has 200 × 159 pixels, the photo 200 × 160"),
        (np.roll(plane(PHOTO, GHOST), (0, 7), axis=(0, 1)), "moved by -7 px to the right"),
        (plane(PHOTO, GHOST) / dust() * 0.3, "is inverted"),
        (np.full(SHAPE, 0.7, np.float32), "of one brightness"),
    ],
    ids=["another size", "shifted", "inverted", "flat"],
)
def test_a_plane_that_cannot_be_right_is_refused(infrared: Floats, seen: str) -> None:
    with pytest.raises(InfraredUnusable, match=seen):
        infrared_damage(PHOTO, infrared)


def test_a_gray_photo_will_do() -> None:
    gray = PHOTO.mean(axis=2, keepdims=True)
    found = infrared_damage(gray, plane(PHOTO, GHOST) * dust())
    assert found is not None
    assert found.certainty[40, 50] > 0.5
