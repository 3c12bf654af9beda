"""Make the project's own cases: free photographs, damaged in the usual ways.

    python tests/benchmarks/make_cases.py DIR [--classical]
    dip bench --cases DIR

The photographs are part of scikit-image, whose documentation says that each is in the public domain
or under CC0. The damage is drawn, and is the same on each machine: a hole, several holes, text,
scratches, half of the pixels, and one object to remove. The script downloads no file.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dip.image_io import write_pixels
from dip.sample_photo import FINER, draw_scratches

Mask = NDArray[np.bool_]
Size = tuple[int, int]

CREDITS = {
    "astronaut": "Eileen Collins; NASA, public domain",
    "brick": "bricks; CC0Textures, CC0",
    "camera": "a man with a camera; Lav Varshney, CC0",
    "chelsea": "Chelsea the cat; Stéfan van der Walt, CC0",
    "coffee": "a cup of coffee; Rachel Michetti, CC0",
    "grass": "grass; linolafett, CC0",
    "rocket": "a rocket on its launch pad; SpaceX, CC0",
}
SENTENCE = (
    "Dear all, the weather is fine and the cat has found the letters again. Wish you were here!"
)


# --- Damage: each a function from (width, height) to a mask, True = damaged ---------------------


def one_hole(size: Size, *, corners: tuple[int, int, int, int]) -> Mask:
    """A rectangle, given as left, top, right, bottom."""
    return _drawn(size, lambda pen: pen.rectangle(_inclusive(corners), fill=255))


def round_holes(size: Size, *, circles: tuple[tuple[int, int, int], ...]) -> Mask:
    """Circles, each given as x, y of its middle, and its radius."""

    def draw(pen: ImageDraw.ImageDraw) -> None:
        for x, y, radius in circles:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)

    return _drawn(size, draw)


def writing(size: Size, *, letters_px: int = 26) -> Mask:
    """Lines of text over the whole picture, with strokes of two to three px."""
    height = size[1]
    font = ImageFont.load_default(size=letters_px)
    spacing = round(1.9 * letters_px)

    def draw(pen: ImageDraw.ImageDraw) -> None:
        for line, top in enumerate(range(spacing // 3, height - letters_px, spacing)):
            # Each line begins at another word, and continues beyond the picture.
            words = SENTENCE.split()
            start = (5 * line) % len(words)
            text = " ".join((words[start:] + words[:start]) * 2)
            pen.text((8, top), text, font=font, fill=255)

    return _drawn(size, draw)


def scratches(size: Size, *, seed: int, count: int = 14) -> Mask:
    """Thin curves of varying width."""
    layer = draw_scratches(size, np.random.default_rng(seed), count)
    return np.asarray(layer.reduce(FINER)) > 0


def half(size: Size, *, seed: int) -> Mask:
    """Each pixel with a probability of a half."""
    return np.random.default_rng(seed).random((size[1], size[0])) < 0.5


def _drawn(size: Size, draw: Callable[[ImageDraw.ImageDraw], Any]) -> Mask:
    layer = Image.new("L", size)
    draw(ImageDraw.Draw(layer))
    return np.asarray(layer) > 0


def _inclusive(corners: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    left, top, right, bottom = corners
    return left, top, right - 1, bottom - 1


# --- Cases --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class MadeCase:
    """A photograph of scikit-image and its damage.

    Parameters
    ----------
    photo : str
        A function of `skimage.data`, and a key of `CREDITS`.
    kind : str
    damage : callable
        (width, height) to a bool mask, (H, W), True = damaged.
    truth : bool
        Whether the photo's own pixels are the correct result there.
    """

    photo: str
    kind: str
    damage: Callable[[Size], Mask]
    truth: bool = True


CASES: dict[str, MadeCase] = {
    "astronaut_hole": MadeCase(
        photo="astronaut", kind="hole", damage=partial(one_hole, corners=(60, 190, 170, 280))
    ),
    "astronaut_text": MadeCase(photo="astronaut", kind="text", damage=writing),
    "astronaut_half": MadeCase(photo="astronaut", kind="half", damage=partial(half, seed=11)),
    "camera_hole": MadeCase(
        photo="camera", kind="hole", damage=partial(one_hole, corners=(60, 200, 160, 300))
    ),
    "camera_text": MadeCase(photo="camera", kind="text", damage=partial(writing, letters_px=30)),
    "camera_half": MadeCase(photo="camera", kind="half", damage=partial(half, seed=12)),
    "coffee_hole": MadeCase(
        photo="coffee", kind="hole", damage=partial(one_hole, corners=(400, 190, 510, 280))
    ),
    "coffee_scratches": MadeCase(
        photo="coffee", kind="scratches", damage=partial(scratches, seed=13)
    ),
    "coffee_object": MadeCase(
        photo="coffee",
        kind="object",
        damage=partial(one_hole, corners=(312, 225, 410, 335)),
        truth=False,
    ),
    "chelsea_text": MadeCase(photo="chelsea", kind="text", damage=partial(writing, letters_px=20)),
    "grass_hole": MadeCase(
        photo="grass", kind="hole", damage=partial(one_hole, corners=(250, 210, 300, 260))
    ),
    "grass_text": MadeCase(photo="grass", kind="text", damage=writing),
    "brick_holes": MadeCase(
        photo="brick",
        kind="holes",
        damage=partial(round_holes, circles=((120, 130, 45), (350, 200, 60), (200, 400, 50))),
    ),
    "rocket_scratches": MadeCase(
        photo="rocket", kind="scratches", damage=partial(scratches, seed=14)
    ),
    "rocket_holes": MadeCase(
        photo="rocket",
        kind="holes",
        damage=partial(round_holes, circles=((95, 150, 34), (325, 190, 30), (450, 280, 34))),
    ),
}


def photograph(name: str) -> NDArray[np.uint8]:
    """Return a photo of scikit-image: (H, W) or (H, W, 3) uint8."""
    pixels: NDArray[np.uint8] = getattr(importlib.import_module("skimage.data"), name)()
    return pixels


def make(folder: Path) -> None:
    """Write `cases.json` and its pictures and masks."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    entries: dict[str, dict[str, Any]] = {}
    for name, case in CASES.items():
        photo = photograph(case.photo)
        unknown = case.damage((photo.shape[1], photo.shape[0]))
        write_pixels(images / f"{case.photo}.png", photo)
        write_pixels(images / f"{name}.mask.png", unknown.astype(np.uint8) * 255)
        entries[name] = {
            "image": f"images/{case.photo}.png",
            "mask": f"images/{name}.mask.png",
            "truth": case.truth,
            "kind": case.kind,
        }
    about = {
        "about": "Made by tests/benchmarks/make_cases.py. White in a mask = restore this pixel.",
        "credits": CREDITS,
    }
    write_list(folder, {**about, "cases": entries})


def write_list(folder: Path, contents: dict[str, Any]) -> None:
    """Write `cases.json`."""
    text = json.dumps(contents, indent=1, ensure_ascii=False)
    (folder / "cases.json").write_text(text + "\n", encoding="utf-8")


def classical_psnr_db(folder: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield each case with a truth, with the hole PSNR of each classical method."""
    from dip.bench.cases import read_case, read_cases
    from dip.bench.metrics import psnr_db
    from dip.bench.reference import ReferenceUnavailable, run_all

    for case in read_cases(folder):
        if not case.truth:
            continue
        truth, unknown = read_case(case)
        damaged = truth.copy()
        damaged[unknown] = 0
        yield (
            case.name,
            {
                method: round(psnr_db(result, truth, unknown), 2)
                for method, result in run_all(damaged, unknown)
                if not isinstance(result, ReferenceUnavailable)
            },
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="created if missing")
    parser.add_argument(
        "--classical",
        action="store_true",
        help="add the classical methods' hole PSNR to cases.json (a minute or two)",
    )
    args = parser.parse_args()
    make(args.folder)
    if args.classical:
        path = args.folder / "cases.json"
        contents = json.loads(path.read_text(encoding="utf-8"))
        for name, figures in classical_psnr_db(args.folder):
            print(name, figures, file=sys.stderr)
            contents["cases"][name]["hole_psnr_db"] = figures
        write_list(args.folder, contents)
    print(args.folder / "cases.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
