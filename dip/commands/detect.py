"""`dip detect`: find the damage in a photo, and write it as a mask."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dip.commands.arguments import add_page_argument
from dip.commands.detection_options import (
    add_detection_arguments,
    check_detection_arguments,
    find,
    refuse_most,
)
from dip.commands.restore import TIFF_SUFFIXES, is_same_file, refuse_existing
from dip.commands.streams import STREAM, as_files
from dip.config import ALL_PAGES
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
        "beside the photo (.tif for several pages), where `dip batch` looks for it; never replaced",
    )
    parser.add_argument(
        "--overlay",
        type=Path,
        metavar="FILE",
        help="also write a picture of the photo with the damage in red",
    )
    add_page_argument(
        parser,
        "search page N of a TIFF, or all of them, for a mask of as many pages: all (default: the "
        "first full-size page)",
    )
    add_detection_arguments(parser)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def run(args: argparse.Namespace) -> int:
    """Write the mask, print its path and return the exit status."""
    with as_files(args.photo, None, args.output) as named:
        is_streamed, (args.photo, _, args.output) = args.output == STREAM, named
        output = _find_pages(args)
    if not is_streamed:
        print(output)
    return 0


def _find_pages(args: argparse.Namespace) -> Path:
    """Search the pages that are asked for; return the path of the mask."""
    from dip.image_io import check_writable, photo_pages, read_photo

    check_detection_arguments(args)
    pages: Sequence[int | None] = [None]
    if args.page == ALL_PAGES:
        pages = photo_pages(args.photo)
    elif args.page is not None:
        pages = [int(args.page) - 1]
    output = args.output or mask_beside(args.photo, ".png" if len(pages) == 1 else ".tif")
    for written in (output, args.overlay):
        if written is not None and is_same_file(written, args.photo):
            raise OutputError(f"{written} is the photo itself.", "Name another file to write to.")
        if written is not None and len(pages) > 1 and written.suffix.lower() not in TIFF_SUFFIXES:
            raise OutputError(
                f"{written} cannot hold {len(pages)} pages.", "Write .tif, or name one page."
            )
    if args.overlay is not None and is_same_file(output, args.overlay):
        raise OutputError(f"{output} is the mask and the overlay.", "Name two files.")
    masks, overlays = [], []
    for page in pages:
        photo = read_photo(args.photo, page=page)
        for written in (output, args.overlay):
            if written is not None:
                check_writable(written)
        mask = find(args, photo, args.photo, page)
        refuse_most(args, mask, args.photo)
        masks.append(mask)
        if args.overlay is not None:
            overlays.append(overlay(photo.pixels, mask))
    _write(output, masks, replace=args.output is not None)
    if args.overlay is not None:
        _write(args.overlay, overlays)
    return output


def _write(path: Path, pages: Sequence[NDArray[Any]], *, replace: bool = True) -> None:
    """Write a picture for each page, all of them into one file."""
    from dip.image_io import plain_tiff, write_file, write_pixels
    from dip.samples import to_8_bit

    if len(pages) == 1:
        write_pixels(path, pages[0], replace=replace)
    else:
        write_file(path, plain_tiff(b"", (), *map(to_8_bit, pages)), replace=replace)


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


def mask_beside(photo: Path, suffix: str = ".png") -> Path:
    """The name of the mask beside a photo.

    Raises
    ------
    OutputError
        The file exists already.
    """
    output = photo.with_name(f"{photo.stem}_mask{suffix}")
    refuse_existing(output)
    return output
