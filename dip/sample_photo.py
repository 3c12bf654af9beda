"""A sample photo from scikit-image, with drawn damage, for the demonstration and tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image as PilImage

DAMAGE_SEED = 10
WRITING = "for Grandpa"
FINER = 4  # damage is drawn at this multiple of the size, for soft edges
VISIBLE = 1 / 255


def astronaut() -> npt.NDArray[np.uint8]:
    """Return the photo: (512, 512, 3) uint8."""
    from skimage.data import astronaut as photo

    pixels: npt.NDArray[np.uint8] = photo()
    return pixels


@dataclass(frozen=True)
class Damage:
    """A damaged photo and its unknown pixels.

    Parameters
    ----------
    photo : (H, W, 3) uint8 array
    unknown : (H, W) bool array
        The damaged pixels, with a margin of one pixel.
    """

    photo: npt.NDArray[np.uint8]
    unknown: npt.NDArray[np.bool_]

    @property
    def mask(self) -> npt.NDArray[np.uint8]:
        """The mask, white where the photo is to be restored."""
        import numpy as np

        return self.unknown.astype(np.uint8) * 255

    @property
    def share(self) -> float:
        """Fraction of unknown pixels, in [0, 1]."""
        return float(self.unknown.mean())


def draw_damage(truth: npt.NDArray[np.uint8], seed: int = DAMAGE_SEED) -> Damage:
    """Draw scratches, stains and writing onto a photo.

    Parameters
    ----------
    truth : (H, W, 3) uint8 array
        128 px or more per side.
    seed : int
    """
    import numpy as np
    from scipy.ndimage import maximum_filter

    random = np.random.default_rng(seed)
    size = truth.shape[1], truth.shape[0]
    layers = [
        (draw_stains(size, random), (203, 178, 128)),
        (draw_scratches(size, random), (238, 234, 224)),
        (draw_writing(size, WRITING, random), (34, 42, 92)),
    ]
    photo = truth.astype(np.float64)
    touched = np.zeros(truth.shape[:2], dtype=bool)
    for layer, colour in layers:
        opacity = np.asarray(layer.reduce(FINER), dtype=np.float64)[..., None] / 255
        photo += opacity * (np.asarray(colour) - photo)
        touched |= opacity[..., 0] > VISIBLE
    return Damage(np.rint(photo).astype(np.uint8), maximum_filter(touched, size=3))


def draw_scratches(
    size: tuple[int, int], random: np.random.Generator, count: int = 9
) -> PilImage.Image:
    """Draw thin curves of varying width, as opacity at `FINER` times the size."""
    import numpy as np
    from PIL import Image, ImageDraw

    width, height = (FINER * side for side in size)
    layer = Image.new("L", (width, height))
    pen = ImageDraw.Draw(layer)
    t = np.linspace(0, 1, 400)
    for _ in range(count):
        start = random.uniform((0.02, 0.02), (0.98, 0.5)) * (width, height)
        reach = random.uniform((-0.25, 0.3), (0.25, 0.6)) * (width, height)
        bend = random.normal(0, 0.03, 2) * (width, height)
        x = start[0] + reach[0] * t + bend[0] * np.sin(1.3 * t * np.pi)
        y = start[1] + reach[1] * t + bend[1] * np.sin(0.9 * t * np.pi)
        thickest = random.uniform(1.2, 3.0) * FINER / 2
        tremble = 1 + 0.35 * np.sin(t * random.uniform(15, 40) + random.uniform(0, 6))
        radii = thickest * np.sin(np.pi * t) ** 0.5 * tremble
        for column, row, radius in zip(x, y, radii, strict=True):
            pen.ellipse((column - radius, row - radius, column + radius, row + radius), fill=235)
    return layer


def draw_stains(
    size: tuple[int, int], random: np.random.Generator, count: int = 4
) -> PilImage.Image:
    """Draw a few blotches with uneven outlines, as opacity at `FINER` times the size."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFilter

    width, height = (FINER * side for side in size)
    layer = Image.new("L", (width, height))
    pen = ImageDraw.Draw(layer)
    angles = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    for _ in range(count):
        middle = random.uniform(0.1, 0.9, 2) * (width, height)
        radius = random.uniform(0.010, 0.022) * min(width, height)
        outline = np.ones_like(angles)
        for wave in range(2, 7):
            outline += random.normal(0, 0.32 / wave) * np.cos(wave * angles + random.uniform(0, 6))
        x, y = (
            middle[axis] + radius * outline * wave(angles)
            for axis, wave in ((0, np.cos), (1, np.sin))
        )
        pen.polygon(list(zip(x.tolist(), y.tolist(), strict=True)), fill=225)
    return layer.filter(ImageFilter.GaussianBlur(0.6 * FINER))


def draw_writing(size: tuple[int, int], text: str, random: np.random.Generator) -> PilImage.Image:
    """Draw text with uneven letters across the lower part, at `FINER` times the size."""
    from PIL import Image, ImageDraw, ImageFont

    width, height = (FINER * side for side in size)
    layer = Image.new("L", (width, height))
    letter_px = round(0.095 * height)
    font = ImageFont.load_default(size=letter_px)
    x = 0.06 * width
    for index, letter in enumerate(text):
        tile = Image.new("L", (2 * letter_px, 2 * letter_px))
        ImageDraw.Draw(tile).text((letter_px, letter_px), letter, 240, font, anchor="mm")
        turned = tile.rotate(random.normal(6, 4), Image.Resampling.BICUBIC)
        advance = float(font.getlength(letter)) * random.uniform(0.94, 1.04)
        y = 0.90 * height - 0.006 * height * index + random.normal(0, 0.004 * height)
        corner = round(x + advance / 2 - letter_px), round(y - letter_px)
        layer.paste(255, corner, turned)
        x += advance
    return layer
