"""`dip restore`: one photo and its mask in, the restored photo out."""

from __future__ import annotations

import argparse
import math
import shlex
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dip.commands.arguments import (
    CONFIRM,
    add_fit_arguments,
    add_mask_confirmation,
    add_network_argument,
    add_preset_arguments,
    settings_from,
)
from dip.commands.progress import Progress
from dip.commands.signals import stop_on_signals
from dip.commands.streams import STREAM, as_files
from dip.console import format_duration, say
from dip.errors import MaskError, OutputError
from dip.machine.disk import real_path

if TYPE_CHECKING:
    from dip.config import Settings
    from dip.regions.preview import Preview

ALL = "all"
PREVIEW_EVERY_S = 0.5
PREVIEW_SHARE = 0.05  # upper limit, as a fraction of the running time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `dip restore`."""
    parser.description = "Restore the masked pixels of a photo; every other pixel stays as it is."
    parser.epilog = "Ctrl-C keeps the best result so far; a second Ctrl-C quits at once."
    parser.add_argument(
        "photo", type=Path, help="PNG, JPEG, TIFF or WebP file; JPEG 2000, HEIC, AVIF"
    )
    parser.add_argument(
        "--mask",
        type=Path,
        metavar="FILE",
        help="picture of the same size: white = restore this, black = keep. "
        "Without it, the transparent pixels of the photo are the damage",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="where to write the result (.png, .tif, .webp, .jpg); replaced if it exists. "
        "Default: NAME_restored.png beside the photo (.tif for a TIFF), never replaced",
    )
    parser.add_argument(
        "--page",
        type=_page,
        metavar="N",
        help="restore page N of a TIFF, or all of them with a mask of as many pages, or of one: "
        "all (default: all if the mask has as many pages, else the first full-size page)",
    )
    parser.add_argument(
        "--preview",
        type=Path,
        metavar="FILE",
        help="write a picture of the current region to this file, again and again during the work",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_mask_confirmation(parser)
    add_network_argument(parser)
    add_preset_arguments(parser)
    add_fit_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Restore one photo, print the path of the result and return the exit status."""
    with as_files(args.photo, args.mask, args.output) as named:
        is_streamed, (args.photo, args.mask, args.output) = args.output == STREAM, named
        return _run(args, print_path=not is_streamed)


def _run(args: argparse.Namespace, *, print_path: bool) -> int:
    settings = settings_from(args)
    output = args.output or output_beside(args.photo)
    refuse_to_overwrite(args.photo, args.mask, output, args.preview)

    photo = args.photo
    for photo_page, mask_page in pages_of(photo, args.mask, output, args.page):
        status = _restore(args, settings, photo, photo_page, mask_page, output)
        if status:
            break
        photo = output  # which holds the pages that are restored already
    if print_path:
        print(output)
    return status


def _page(text: str) -> int | str:
    """The value of --page."""
    if text == ALL:
        return ALL
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no page: give a number from 1, or {ALL}")
    return int(text)


def pages_of(
    photo: Path, mask: Path | None, output: Path, page: int | str | None
) -> list[tuple[int | None, int | None]]:
    """The pages to restore, each with its page of the mask; None is the file's own choice.

    Raises
    ------
    MaskError
        All pages are asked for, and the mask has another number of pages.
    OutputError
        The result's format holds one page.
    """
    from dip.image_io import photo_pages

    if isinstance(page, int):
        return [(page - 1, None)]
    pages = photo_pages(photo)
    masks = (0,) if mask is None else photo_pages(mask)
    if len(pages) == 1 or (page is None and len(masks) != len(pages)):
        return [(None, None)]
    if len(masks) not in (1, len(pages)):
        raise MaskError(
            f"{mask} has {len(masks)} pages, {photo} has {len(pages)}.",
            "Give a mask with as many pages, or with one for all.",
        )
    if output.suffix.lower() not in (".tif", ".tiff"):
        raise OutputError(f"{output.name} cannot hold {len(pages)} pages.", "Write .tif.")
    return list(zip(pages, masks if len(masks) > 1 else len(pages) * masks, strict=True))


def _restore(
    args: argparse.Namespace,
    settings: Settings,
    source: Path,
    photo_page: int | None,
    mask_page: int | None,
    output: Path,
) -> int:
    """Restore one page; return 0, or the exit status of a signal that ended it early."""
    from dip.image_io import check_writable, read_mask, read_photo, write_result

    photo = read_photo(source, page=photo_page)
    mask = None if args.mask is None else read_mask(args.mask, page=mask_page)
    if mask is not None and not args.yes:
        from dip.regions.mask import refuse_inverted

        refuse_inverted(mask, photo.pixels.shape, CONFIRM)
    for note in check_writable(output, photo):
        say(f"dip: {note}")
    progress = Progress(quiet=args.quiet)
    preview = None
    if args.preview is not None:
        from dip.filling.smooth_preview import smooth_preview

        check_writable(args.preview)
        preview = PreviewFile(args.preview, progress)
        # The first preview comes before torch is loaded, which takes seconds.
        preview.write(partial(smooth_preview, photo.pixels, mask))

    from dip.restore import Restoration

    restoration = Restoration(photo.pixels, mask, settings)
    del mask  # it is as large as the photo
    with stop_on_signals() as received:
        for _ in progress.follow(restoration):
            if preview is not None:
                preview.write(restoration.preview)
            if received:
                break
        progress.close()
        write_result(output, restoration.result_in_place(), like=photo)

    if not args.quiet:
        say(f"dip: {summary(progress, restoration.iterations)}")
    return 128 + received[0] if received else 0


def output_beside(photo: Path) -> Path:
    """Name the result after the photo. TIFF stays TIFF, every other format becomes PNG: lossless.

    Raises
    ------
    OutputError
        The file exists already.
    """
    suffix = ".tif" if photo.suffix.lower() in {".tif", ".tiff"} else ".png"
    output = photo.with_name(f"{photo.stem}_restored{suffix}")
    refuse_existing(output)
    return output


def refuse_existing(output: Path) -> None:
    """Raise OutputError where a result whose name nobody chose would replace a file."""
    if real_path(output).exists():
        raise OutputError(
            f"{output} exists already.",
            f"To replace it, name it: -o {shlex.quote(str(output))}. Or name another file.",
        )


def refuse_to_overwrite(photo: Path, mask: Path | None, output: Path, preview: Path | None) -> None:
    """Raise OutputError where the result or the preview would replace a file that is in use."""
    in_use = {"the photo": photo, "the mask": mask}
    for written in (output, preview):
        for name, path in in_use.items():
            if written is not None and path is not None and is_same_file(written, path):
                raise OutputError(f"{written} is {name} itself.", "Name another file to write to.")
        in_use["the result"] = output


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two paths name the same file; the file need not exist yet."""
    one, other = real_path(one), real_path(other)
    if one.exists() and other.exists():
        return one.samefile(other)
    return one == other


class PreviewFile:
    """A picture file that is rewritten during the work, at a bounded cost.

    The first preview that cannot be written is reported, and ends the previews, not the work.
    """

    def __init__(self, path: Path, progress: Progress) -> None:
        self.path = path
        self._progress = progress
        self._next = 0.0

    def write(self, render: Callable[[], Preview]) -> None:
        """Render and write a preview, unless the last one is recent."""
        from dip.image_io import write_pixels

        began = time.monotonic()
        if began < self._next:
            return
        try:
            write_pixels(self.path, render().pixels)
        except OutputError as error:
            self._progress.note(f"no more previews: {error.message}")
            self._next = math.inf
            return
        ended = time.monotonic()
        self._next = ended + max(PREVIEW_EVERY_S, (ended - began) / PREVIEW_SHARE)


def summary(progress: Progress, iterations: int) -> str:
    """One line: the quality of the result, the iterations and the time."""
    spent = f"{progress.done} of {iterations} iterations in {format_duration(progress.elapsed_s)}"
    if progress.validation_psnr_db is None:
        return spent
    return f"validation {progress.validation_psnr_db:.1f} dB (known pixels held out), {spent}"
