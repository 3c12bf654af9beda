"""Make the picture at the top of the README: three kinds of damage, restored by the default preset.

    python tests/benchmarks/make_readme_picture.py tests/benchmarks/before_after.jpg

The photographs come with scikit-image (public domain or CC0). The damage is drawn here: scratches
over a portrait, a torn corner, a stain. Nothing is chosen by hand: seed 0, default settings.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import maximum_filter

from dip.bench.metrics import psnr_db
from dip.config import Settings
from dip.image_io import write_pixels
from dip.panels import Panel, draw_panels, picture, stack
from dip.restore import Restoration
from dip.sample_photo import FINER, VISIBLE, draw_scratches

Pixels = NDArray[np.uint8]
SIDE_PX = 384
PAPER = (244, 240, 230)
COFFEE = (146, 96, 52)
SCRATCH = (238, 234, 224)


def scratched(photo: Pixels) -> tuple[Pixels, NDArray[np.bool_]]:
    """Draw scratches over a photo; return it and its damaged pixels."""
    layer = draw_scratches((SIDE_PX, SIDE_PX), np.random.default_rng(4), 9)
    return _laid_over(photo, np.asarray(layer.reduce(FINER), dtype=np.float64) / 255, SCRATCH)


def torn(photo: Pixels) -> tuple[Pixels, NDArray[np.bool_]]:
    """Tear the lower left corner off, along a ragged line."""
    random = np.random.default_rng(7)
    steps = np.linspace(0, 1, 60)
    ragged = np.cumsum(random.normal(0, 1.6, steps.size))
    ragged -= np.linspace(ragged[0], ragged[-1], steps.size)
    x, y = 130 * steps + ragged, SIDE_PX - 120 * (1 - steps) + ragged
    outside = SIDE_PX + 2
    corner = [(-2, SIDE_PX - 120), *zip(x, y, strict=True), (130, outside), (-2, outside)]
    layer = Image.new("L", (SIDE_PX, SIDE_PX))
    ImageDraw.Draw(layer).polygon(corner, fill=255)
    return _laid_over(photo, np.asarray(layer, dtype=np.float64) / 255, PAPER)


def stained(photo: Pixels) -> tuple[Pixels, NDArray[np.bool_]]:
    """Spill coffee: an opaque blot with an uneven outline, and three splashes."""
    random = np.random.default_rng(2)
    layer = Image.new("L", (SIDE_PX, SIDE_PX))
    pen = ImageDraw.Draw(layer)
    angles = np.linspace(0, 2 * np.pi, 160, endpoint=False)
    for x, y, radius in ((230, 110, 26), (290, 190, 9), (205, 60, 7), (320, 90, 5)):
        outline = np.ones_like(angles)
        for wave in range(2, 8):
            outline += random.normal(0, 0.22 / wave) * np.cos(wave * angles + random.uniform(0, 6))
        xs, ys = x + radius * outline * np.cos(angles), y + radius * outline * np.sin(angles)
        pen.polygon(list(zip(xs.tolist(), ys.tolist(), strict=True)), fill=245)
    soft = layer.filter(ImageFilter.GaussianBlur(1.2))
    return _laid_over(photo, np.asarray(soft, dtype=np.float64) / 255, COFFEE)


def _laid_over(
    photo: Pixels, opacity: NDArray[np.float64], colour: tuple[int, int, int]
) -> tuple[Pixels, NDArray[np.bool_]]:
    damaged = photo + opacity[..., None] * (np.asarray(colour) - photo.astype(np.float64))
    # One pixel more than the damage covers, as a careful hand would mark it.
    return np.rint(damaged).astype(np.uint8), maximum_filter(opacity > VISIBLE, size=3)


def main() -> None:
    """Damage, restore and draw the three photographs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    cat = Image.fromarray(skimage.data.chelsea()[:, 60:360]).resize((SIDE_PX, SIDE_PX))
    cases = (
        ("scratches", scratched, skimage.data.astronaut()[:SIDE_PX, 40 : 40 + SIDE_PX]),
        ("torn corner", torn, skimage.data.coffee()[16:, :SIDE_PX]),
        ("stain", stained, np.asarray(cat)),
    )
    before, after = [], []
    for name, damage, photo in cases:
        damaged, unknown = damage(photo)
        restoration = Restoration(damaged, unknown, Settings())
        for _ in restoration:
            pass
        restored = restoration.result()
        print(
            f"{name}: {psnr_db(restored, photo, unknown):.1f} dB, {unknown.mean():.1%}", flush=True
        )
        before.append(Panel(picture(damaged), name, []))
        after.append(Panel(picture(restored), "restored", []))
    drawn = stack([draw_panels(before, SIDE_PX), draw_panels(after, SIDE_PX)])
    write_pixels(output, np.asarray(drawn))


if __name__ == "__main__":
    main()
