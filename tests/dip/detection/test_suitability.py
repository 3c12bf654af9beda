"""Photos that the search does not suit are named."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from dip.detection import detect, suitability
from dip.detection.features import characterise
from dip.detection.suitability import doubts

Floats = NDArray[np.float32]


def halftone(clean: Floats, turn: float, period: float) -> Floats:
    """Black dots on white, larger where the picture is darker."""
    y, x = np.mgrid[: clean.shape[0], : clean.shape[1]]
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    screen = 0.5 + 0.25 * (np.cos(2 * np.pi * u / period) + np.cos(2 * np.pi * v / period))
    dots = 1 / (1 + np.exp(-12 * (clean.mean(axis=2) - screen)))
    return np.repeat(dots[:, :, None], 3, axis=2).astype(np.float32)


def drawing(clean: Floats) -> Floats:
    """Ink on paper."""
    random = np.random.default_rng(5)
    picture = Image.new("L", (clean.shape[1] * 2, clean.shape[0] * 2), 235)
    pen = ImageDraw.Draw(picture)
    for _ in range(45):
        x, y = random.uniform(0, picture.size)
        width, height = random.uniform(20, 120, 2)
        pen.arc((x, y, x + width, y + height), *random.uniform(0, 360, 2), fill=20, width=5)
    luma = np.asarray(picture.reduce(2), np.float32) / 255
    paper = luma + random.normal(0, 0.01, luma.shape)
    return np.repeat(paper[:, :, None], 3, axis=2).astype(np.float32)


def grainy(clean: Floats) -> Floats:
    """A frame that shows little but grain."""
    noise = np.random.default_rng(6).normal(size=clean.shape[:2])
    grain = ndimage.gaussian_filter(noise, 0.7)
    return np.clip(clean + 0.12 * grain[:, :, None] / grain.std(), 0, 1).astype(np.float32)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda clean: halftone(clean, 0.785, 5.7), suitability.HALFTONE),
        (lambda clean: halftone(clean, 0.26, 8), suitability.HALFTONE),
        (drawing, suitability.DRAWING),
        (grainy, suitability.GRAIN),
    ],
    ids=["halftone", "coarse halftone", "drawing", "grain"],
)
def test_what_resembles_damage_is_named(
    clean: Floats, make: Callable[[Floats], Floats], expected: str
) -> None:
    assert detect(make(clean), quick=True).notes == (expected,)


def test_a_photo_is_searched_without_a_note(clean: Floats) -> None:
    assert detect(clean, quick=True).notes == ()


@pytest.mark.parametrize("share", [0.1, 0.2, 0.4])
def test_damage_so_dense_that_little_is_marked_is_named(clean: Floats, share: float) -> None:
    noise = np.random.default_rng(7).normal(size=clean.shape[:2])
    noise = ndimage.gaussian_filter(noise, 2.5)
    cover = noise > np.quantile(noise, 1 - share)
    found = detect(np.where(cover[:, :, None], np.float32(0.85), clean), quick=True)
    assert found.mask().mean() < 0.1 * share
    assert found.notes == (suitability.DENSE,)


@pytest.mark.parametrize(("level", "expected"), [(200, (suitability.MUCH,)), (50, ())])
def test_a_photo_with_many_marks_is_named(
    clean: Floats, level: int, expected: tuple[str, ...]
) -> None:
    levels = np.zeros(clean.shape[:2], np.uint8)
    levels[:, ::8] = level
    assert doubts(clean, characterise(clean), levels) == expected
