"""Options of the search for damage, and the search, for the commands that share them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dip.commands.progress import SearchProgress
from dip.console import say
from dip.errors import MaskEmpty, SettingError, TooMuchFound
from dip.regions.rules import DAMAGE_KINDS, DEFAULT_SENSITIVITY

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dip.image_io import Photo

DEFAULT_MOST_COVERAGE = 5.0
AUTO, OFF = "auto", "off"


def add_detection_arguments(parser: argparse._ActionsContainer, *, infrared: bool = True) -> None:
    """Declare sensitivity, kinds, largest size, most coverage and infrared plane."""
    parser.add_argument(
        "--sensitivity",
        type=float,
        default=DEFAULT_SENSITIVITY,
        metavar="F",
        help="0 marks nothing, 1 also the doubtful (default: %(default)s)",
    )
    parser.add_argument(
        "--kinds",
        default=",".join(DAMAGE_KINDS),
        metavar="LIST",
        help="the kinds to mark, with commas: specks, scratches (and hairs), creases (and tears); "
        "or bright-specks, dark-specks and so on (default: %(default)s)",
    )
    parser.add_argument(
        "--largest",
        type=int,
        metavar="PX",
        help="mark nothing that is longer than this (default: no limit)",
    )
    parser.add_argument(
        "--most-coverage",
        type=float,
        default=DEFAULT_MOST_COVERAGE,
        metavar="PERCENT",
        help="leave a photo to a person where more than this is found: film grain, a halftone or "
        "a drawing is no damage (default: %(default)s)",
    )
    if not infrared:
        return
    parser.add_argument(
        "--infrared",
        default=AUTO,
        metavar="FILE",
        help="the infrared plane of the scanner; auto: the one in the photo's file, or in "
        "NAME_IR.tif beside it, if there is one; off: none (default: %(default)s)",
    )


def check_detection_arguments(args: argparse.Namespace) -> None:
    """Raise SettingError for a wrong option before any work."""
    from dip.detection import codes_of, threshold

    threshold(args.sensitivity)
    codes_of(args.kinds.split(","))
    if args.largest is not None and args.largest < 1:
        raise SettingError(f"--largest is {args.largest}.", "It must be 1 or more.")
    if not 0 < args.most_coverage <= 100:
        raise SettingError(
            f"--most-coverage is {args.most_coverage:g}.", "It must be above 0, and 100 at most."
        )


def find(
    args: argparse.Namespace, photo: Photo, path: Path, page: int | None = None
) -> NDArray[np.bool_]:
    """Find damage as the options say, and tell how much there is."""
    from dip.detection import detect
    from dip.image_io import find_infrared, read_infrared

    infrared = None
    if args.infrared == AUTO:
        infrared = find_infrared(path, photo, page=page)
    elif args.infrared != OFF:
        infrared = read_infrared(args.infrared)
    progress = SearchProgress(quiet=args.quiet)
    found = detect(photo.pixels, seed=args.seed, infrared=infrared, progress=progress.show)
    progress.close()
    for note in found.notes:
        say(f"dip: {note}")
    chosen = args.sensitivity, args.kinds.split(","), args.largest
    mask = found.mask(*chosen)
    if not mask.any():
        say("dip: no damage was found; a higher --sensitivity may find some")
    elif not args.quiet:
        say(f"dip: {found.count(*chosen)} marks on {mask.mean():.2%} of the photo")
    return mask


def found_mask(
    args: argparse.Namespace, photo: Photo, path: Path, page: int | None = None
) -> NDArray[np.bool_]:
    """Find the damage to restore.

    Raises
    ------
    MaskEmpty
        None was found.
    TooMuchFound
        More was found than the options allow.
    """
    mask = find(args, photo, path, page)
    if not mask.any():
        raise MaskEmpty(
            f"{path}: No damage was found.", "Raise --sensitivity, or mark it and give --mask."
        )
    refuse_most(args, mask, path)
    return mask


def refuse_most(args: argparse.Namespace, mask: NDArray[np.bool_], path: Path) -> None:
    """Raise TooMuchFound where a mask marks more than the options allow."""
    percent = 100 * float(mask.mean())
    if percent > args.most_coverage:
        raise TooMuchFound(
            f"{path}: {percent:.1f} % of the photo look like damage, more than "
            f"{args.most_coverage:g} %.",
            "Grain, a halftone or a drawing looks like damage: lower --sensitivity, choose "
            "--kinds, raise --most-coverage, or mark the damage by hand.",
        )
