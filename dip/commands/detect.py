"""`dip detect`: find the damage in a photo, and write it as a mask."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dip.commands.progress import SearchProgress
from dip.commands.restore import is_same_file, refuse_existing
from dip.console import say
from dip.errors import OutputError, SettingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEFAULT_SENSITIVITY = 0.5
KINDS = "specks,scratches,creases"
_RED = (255, 32, 32)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `dip detect`."""
    parser.description = (
        "Find dust, hairs, scratches and creases in a photo, and write them as a mask: white = "
        "damage. Look at the mask before you rely on it."
    )
    parser.add_argument("photo", type=Path, help="PNG, JPEG, TIFF or WebP file")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="where to write the mask (.png, .tif); replaced if it exists. Default: NAME_mask.png "
        "beside the photo, where `dip batch` looks for it; never replaced",
    )
    parser.add_argument(
        "--overlay",
        type=Path,
        metavar="FILE",
        help="also write a picture of the photo with the damage in red",
    )
    add_detection_arguments(parser)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def add_detection_arguments(parser: argparse._ActionsContainer) -> None:
    """Declare sensitivity, kinds and largest size."""
    parser.add_argument(
        "--sensitivity",
        type=float,
        default=DEFAULT_SENSITIVITY,
        metavar="F",
        help="0 marks nothing, 1 also the doubtful (default: %(default)s)",
    )
    parser.add_argument(
        "--kinds",
        default=KINDS,
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


def check_detection_arguments(args: argparse.Namespace) -> None:
    """Raise SettingError for a wrong option before any work."""
    from dip.detection import codes_of, threshold

    threshold(args.sensitivity)
    codes_of(args.kinds.split(","))
    if args.largest is not None and args.largest < 1:
        raise SettingError(f"--largest is {args.largest}.", "It must be 1 or more.")


def run(args: argparse.Namespace) -> int:
    """Write the mask, print its path and return the exit status."""
    from dip.image_io import check_writable, read_photo, write_pixels

    check_detection_arguments(args)
    output = args.output or mask_beside(args.photo)
    for written in (output, args.overlay):
        if written is not None and is_same_file(written, args.photo):
            raise OutputError(f"{written} is the photo itself.", "Name another file to write to.")
    if args.overlay is not None and is_same_file(output, args.overlay):
        raise OutputError(f"{output} is the mask and the overlay.", "Name two files.")
    photo = read_photo(args.photo)
    for written in (output, args.overlay):
        if written is not None:
            check_writable(written)
    mask = find(args, photo.pixels)
    write_pixels(output, mask)
    if args.overlay is not None:
        write_pixels(args.overlay, overlay(photo.pixels, mask))
    print(output)
    return 0


def find(args: argparse.Namespace, pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """Find damage as the options say, and tell how much there is."""
    from dip.detection import detect

    progress = SearchProgress(quiet=args.quiet)
    found = detect(pixels, seed=args.seed, quick=True, progress=progress.show)
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


def overlay(pixels: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The photo as 8-bit RGB, with the mask in red."""
    import numpy as np

    from dip.image_io.photo import has_alpha
    from dip.samples import to_8_bit

    picture = to_8_bit(pixels)
    planes = picture[:, :, None] if picture.ndim == 2 else picture
    colours = planes[:, :, :-1] if has_alpha(planes) else planes
    shown: NDArray[np.uint8] = np.repeat(colours, 3 // colours.shape[2], axis=2)
    shown[mask] = _RED
    return shown


def mask_beside(photo: Path) -> Path:
    """The name of the mask beside a photo.

    Raises
    ------
    OutputError
        The file exists already.
    """
    output = photo.with_name(f"{photo.stem}_mask.png")
    refuse_existing(output)
    return output
