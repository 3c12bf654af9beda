"""`dip demo`: damage a sample photo, restore it, and compare the result with the original.

The photo is scikit-image's astronaut (NASA, public domain), which is part of that package. The
damage is drawn: scratches, stains and writing, the same for the same seed.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dip.commands.arguments import (
    add_fit_arguments,
    add_network_argument,
    add_preset_arguments,
    settings_from,
)
from dip.commands.progress import Progress
from dip.console import format_duration, say
from dip.errors import OutputError
from dip.sample_photo import DAMAGE_SEED, Damage, astronaut, draw_damage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

NAMES = ("damaged.png", "mask.png", "restored.png", "before_after.png")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `dip demo`."""
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("demo"),
        metavar="DIR",
        help="folder for the pictures (default: %(default)s)",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_network_argument(parser)
    add_preset_arguments(parser)
    add_fit_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Damage, restore and compare; write four pictures and print the quality."""
    settings = settings_from(args)
    try:
        args.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder {args.output} cannot be made: {error.strerror}.",
            "Name another with -o.",
        ) from error

    from dip.bench.metrics import psnr_db
    from dip.bench.reference import ReferenceUnavailable, run_all
    from dip.image_io import check_writable, write_pixels

    paths = [args.output / name for name in NAMES]
    for path in paths:
        check_writable(path)
    truth = astronaut()
    damage = draw_damage(truth, seed=DAMAGE_SEED)
    write_pixels(paths[0], damage.photo)
    write_pixels(paths[1], damage.mask)

    from dip.restore import Restoration

    say(f"dip: restoring {paths[0]} where {paths[1]} is white ({damage.share:.1%})")
    restoration = Restoration(damage.photo, damage.mask, settings, keep_reconstruction=True)
    progress = Progress(quiet=args.quiet)
    began = time.monotonic()
    for _ in progress.follow(restoration):
        pass
    result = restoration.result()
    progress.close()
    seconds = time.monotonic() - began

    reached_db = psnr_db(result, truth, damage.unknown)
    write_pixels(paths[2], result)
    spent = f"{reached_db:.1f} dB, in {format_duration(seconds)}"
    write_pixels(paths[3], draw_before_after(damage, result, truth, f"PSNR {spent}"))
    names = {"telea": "OpenCV Telea", "ns": "OpenCV Navier-Stokes", "biharmonic": "biharmonic"}
    others, missing = [], set()
    for name, other in run_all(damage.photo, damage.unknown):
        if isinstance(other, ReferenceUnavailable):
            missing.add(str(other))
        else:
            others.append(f"{names[name]} {psnr_db(other, truth, damage.unknown):.1f}")
    for reason in missing:
        say(f"dip: a method was left out of the comparison: {reason}")
    print(f"restored:         {paths[2]}")
    print(f"before and after: {paths[3]}")
    smooth_db = psnr_db(restoration.smooth(), truth, damage.unknown)
    print(f"PSNR of the restored pixels: {spent}")
    print(f"without texture: {smooth_db:.1f} dB (others: {', '.join(others)})")
    return 0


# --- The picture --------------------------------------------------------------------------------


def draw_before_after(
    damage: Damage, result: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8], figures: str
) -> npt.NDArray[np.uint8]:
    """Draw damaged, restored and original side by side, with a detail below each."""
    import numpy as np

    from dip.panels import Panel, Window, draw_panels, picture, stack

    panels = [
        Panel(picture(damage.photo), "damaged", [f"{damage.share:.1%} of the pixels"]),
        Panel(picture(result), "restored", [figures]),
        Panel(picture(truth), "original", ["never seen by the network"]),
    ]
    height, width = damage.unknown.shape
    face = Window(height // 20, round(0.27 * width), height // 3, width // 3)
    return np.asarray(stack([draw_panels(panels, 480, detail=face)]))
