"""A made photo at the softness of a scan, clean and with a speck, a hair and a scratch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage


@pytest.fixture(scope="session")
def clean() -> NDArray[np.float32]:
    """(240, 320, 3): a sky above hills, blurred as by a scanner, with grain."""
    random = np.random.default_rng(3)
    y, x = np.mgrid[:240, :320] / 240
    hills = y > 0.6 + 0.08 * np.sin(5 * x) + 0.05 * np.sin(13 * x)
    texture = ndimage.gaussian_filter(random.normal(size=(240, 320)), 3) * 0.5
    luma = np.where(hills, 0.35 + texture, 0.75 - 0.3 * y)
    luma = ndimage.gaussian_filter(luma, 1.5) + ndimage.gaussian_filter(
        random.normal(0, 0.015, (240, 320)), 0.7
    )
    photo = luma[:, :, None] * np.array([0.9, 0.95, 1.0])
    return np.clip(photo, 0, 1).astype(np.float32)


class Damaged:
    """A photo with a white speck and hair, and a black scratch."""

    def __init__(self, clean: NDArray[np.float32]) -> None:
        shapes: list[Any] = []
        for draw in (
            lambda on: on.ellipse((240, 80, 264, 96), fill=255),
            lambda on: on.arc((160, 160, 360, 400), 180, 260, fill=255, width=8),
            lambda on: on.line((960, 40, 964, 900), fill=255, width=8),
        ):
            picture = Image.new("L", (1280, 960))
            draw(ImageDraw.Draw(picture))
            shapes.append(np.asarray(picture.reduce(4), np.float32) / 255)
        self.speck, self.hair, self.scratch = (each > 0.3 for each in shapes)
        white = np.maximum(shapes[0], shapes[1])[:, :, None]
        photo = clean + 0.8 * white * (0.97 - clean)
        photo -= 0.7 * shapes[2][:, :, None] * photo
        self.photo: NDArray[np.float32] = photo.astype(np.float32)


@pytest.fixture(scope="session")
def damaged(clean: NDArray[np.float32]) -> Damaged:
    return Damaged(clean)
