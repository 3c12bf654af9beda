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
    add_page_argument,
    add_preset_arguments,
    settings_from,
)
from dip.commands.detection_options import (
    add_detection_arguments,
    check_detection_arguments,
    found_mask,
)
from dip.commands.progress import Progress
from dip.commands.signals import stop_on_signals
from dip.commands.streams import STREAM, as_files
from dip.console import format_duration, say
from dip.errors import MaskEmpty, OutputError, SettingError
from dip.machine.disk import real_path

if TYPE_CHECKING:
    from dip.config import Settings
    from dip.image_io.photo import Array, Photo
    from dip.pages import PagePair
    from dip.regions.preview import Preview

TIFF_SUFFIXES = {".tif", ".tiff"}
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
        "--detect",
        action="store_true",
        help="find dust, hairs, scratches and creases, and restore them; no mask is needed",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="where to write the result (.png, .tif, .webp, .jpg); replaced if it exists. "
        "Default: NAME_restored.png beside the photo (.tif for a TIFF), never replaced",
    )
    add_page_argument(parser)
    parser.add_argument(
        "--preview",
        type=Path,
        metavar="FILE",
        help="write a picture of the current region to this file, again and again during the work",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_mask_confirmation(parser)
    add_detection_arguments(parser.add_argument_group("the search for damage, with --detect"))
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
    if args.detect:
        if args.mask is not None:
            raise SettingError("--detect finds the damage, --mask gives it.", "Leave out one.")
        check_detection_arguments(args)
    refuse_to_overwrite(args.photo, args.mask, output, args.preview)
    status = Task(args, settings, output).run()
    if print_path:
        print(output)
    return status


class Task:
    """The restoration of one photo, page by page.

    Parameters
    ----------
    args : Namespace
    settings : Settings
    output : Path
    """

    def __init__(self, args: argparse.Namespace, settings: Settings, output: Path) -> None:
        self._args, self._settings, self._output = args, settings, output
        self._said: set[str] = set()

    def run(self) -> int:
        """Write the result; return 0, or the exit status of a signal that ended it early."""
        from dip.image_io.formats import format_named
        from dip.pages import pages_to_restore

        args = self._args
        pages = pages_to_restore(args.photo, args.mask, args.page, format_named(self._output))
        if len(pages) > 1 and not args.detect:  # all are checked before the first one is fitted
            from dip.regions.damaged_image import DamagedImage

            for pair in pages:
                photo, mask = self._read(args.photo, pair)
                DamagedImage(photo.pixels, mask)
        source, status, clean = args.photo, 0, 0
        for pair in pages:
            try:
                status = self._restore(source, pair, stopped=status)
            except MaskEmpty as error:
                if not args.detect or clean + 1 == len(pages):
                    raise
                clean += 1
                say(f"dip: page {(pair[0] or 0) + 1}: {error.message}")
                continue
            source = self._output  # which holds the pages that are restored already
        return status

    def _read(self, source: Path, pair: PagePair) -> tuple[Photo, Array | None]:
        """Read a page and its mask, check them, and name the things that the result cannot hold."""
        from dip.image_io import check_writable, read_mask, read_photo

        args = self._args
        photo = read_photo(source, page=pair[0])
        mask = None if args.mask is None else read_mask(args.mask, page=pair[1])
        if mask is not None and not args.yes:
            from dip.regions.mask import refuse_inverted

            refuse_inverted(mask, photo.pixels.shape, CONFIRM)
        for note in check_writable(self._output, photo):
            if note not in self._said:
                say(f"dip: {note}")
            self._said.add(note)
        return photo, mask

    def _restore(self, source: Path, pair: PagePair, *, stopped: int) -> int:
        """Restore a page; return 0, or the exit status of a signal.

        After a signal (`stopped`), the damage of the remaining pages is filled without a fit.
        """
        from dip.image_io import check_writable, write_result

        args = self._args
        photo, mask = self._read(source, pair)
        if args.detect:
            mask = found_mask(args, photo, source, pair[0])
        progress = Progress(quiet=args.quiet)
        preview = None
        if args.preview is not None:
            from dip.filling.smooth_preview import smooth_preview

            check_writable(args.preview)
            preview = PreviewFile(args.preview, progress)
            # The first preview comes before torch is loaded, which takes seconds.
            preview.write(partial(smooth_preview, photo.pixels, mask, self._settings.growth_px))

        from dip.restore import Restoration

        restoration = Restoration(photo.pixels, mask, self._settings)
        del mask  # it is as large as the photo
        with stop_on_signals() as received:
            for _ in progress.follow(restoration):
                if preview is not None:
                    preview.write(restoration.preview)
                if received or stopped:
                    break
            progress.close()
            # A name that nobody chose may be another file's by now.
            replace = args.output is not None or source == self._output
            write_result(self._output, restoration.result_in_place(), like=photo, replace=replace)

        if not args.quiet:
            say(f"dip: {summary(progress, restoration.iterations)}")
        return 128 + received[0] if received else stopped


def output_beside(photo: Path) -> Path:
    """Name the result after the photo. TIFF stays TIFF, every other format becomes PNG: lossless.

    Raises
    ------
    OutputError
        The file exists already.
    """
    suffix = ".tif" if photo.suffix.lower() in TIFF_SUFFIXES else ".png"
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
