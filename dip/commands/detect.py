"""`dip detect`: find the damage in a photo, and write it as a mask."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dip.commands.detection import (
    add_detection_arguments,
    check_detection_arguments,
    find,
    refuse_most,
)
from dip.commands.restore import is_same_file, refuse_existing
from dip.errors import OutputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
    mask = find(args, photo, args.photo)
    refuse_most(args, mask, args.photo)
    write_pixels(output, mask)
    if args.overlay is not None:
        write_pixels(args.overlay, overlay(photo.pixels, mask))
    print(output)
    return 0


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
