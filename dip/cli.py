"""The command line: `dip restore`, `batch`, `compare`, `bench`, `demo`, `networks`, `presets`,
`doctor`.

The packages in `EXTENSIONS` add commands of their own, where they are installed; nothing else here
knows them.

Neither torch nor numpy is imported before a command needs it: `dip --help` answers at once.

Standard output carries results (the path that was written), standard error everything said on
the way. Exit status: 0 success; 2 to 9 as `dip.errors` lists them; 9 and 10 the service; 11 a
batch that left photos unrestored; 130, 143 stopped by Ctrl-C or by SIGTERM, with the best result
so far written; 1 a fault of this program.
"""

import argparse
import importlib
import logging
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from dip import __version__
from dip.commands import batch, bench, demo, doctor
from dip.commands import compare as figure
from dip.commands.arguments import (
    add_fit_arguments,
    add_network_argument,
    add_preset_arguments,
    settings_from,
)
from dip.commands.signals import signals_handled_by
from dip.config import NETWORKS
from dip.console import Progress, format_duration, say
from dip.errors import DipError, OutputError
from dip.machine.device import environment_for_cpu
from dip.presets import PRESETS

if TYPE_CHECKING:
    from dip.regions.damaged_image import Preview

EXTENSIONS = ("server", "gimp_plugin")
FITTING_COMMANDS = {"restore", "compare", "bench", "demo", "doctor"}
RESTARTED = "DIP_RESTARTED"
BROKEN_PIPE = 141  # what a shell says of a program that ended so
PREVIEW_EVERY_S = 0.5
PREVIEW_SHARE = 0.05  # of the time, at most


class Command(Protocol):
    """A module that is one command."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare its options."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it and return the exit status."""


def console() -> None:
    """Run the command line as a process of its own."""
    words = set(sys.argv[1:])
    if sys.platform == "linux" and words & FITTING_COMMANDS and not words & {"-h", "--help"}:
        restart_with_cpu_environment()
    sys.stdout.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]  # any file's name
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has seen enough; at exit Python would try to write the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = BROKEN_PIPE
    sys.exit(status)


def restart_with_cpu_environment() -> None:
    """Replace this process by itself, with the allocator set up for fitting on a CPU.

    The C library reads these settings once, before a program runs its first instruction.
    """
    missing = environment_for_cpu()
    if missing and RESTARTED not in os.environ:
        environment = {**os.environ, **missing, RESTARTED: "1"}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    args = build_parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="dip: %(message)s")
    try:
        return int(args.run(args))
    except DipError as error:
        say(f"dip: {error.message}")
        if error.hint:
            say(f"     {error.hint}")
        return error.exit_status
    except KeyboardInterrupt:
        say("dip: stopped before there was a result")
        return 128 + signal.SIGINT
    except BrokenPipeError:
        raise
    except Exception:
        # The edge of the process: the one place that catches everything.
        traceback.print_exc()
        say("dip: this is a fault in dip, not in your picture. Please report it to its authors,")
        say("     with the lines above, the command, and what `dip doctor` prints.")
        return 1


# --- Arguments ----------------------------------------------------------------------------------


def build_parser() -> argparse.ArgumentParser:
    """Declare every command and its options."""
    parser = argparse.ArgumentParser(
        prog="dip",
        description="Restore a damaged photograph on this machine, from nothing but itself.",
        epilog="`dip COMMAND --help` describes one command.",
    )
    parser.add_argument("--version", action="version", version=f"dip {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, module: Command, says: str) -> None:
        added = commands.add_parser(name, help=says, description=says)
        module.add_arguments(added)
        added.set_defaults(run=module.run)

    restoring = commands.add_parser(
        "restore",
        help="restore a photo",
        description="Restore what the mask marks in a photo; every other pixel stays as it is.",
        epilog="Ctrl-C keeps the best result so far; a second Ctrl-C quits at once.",
    )
    add_restore_arguments(restoring)
    restoring.set_defaults(run=run_restore)
    command("batch", batch, "restore every photo of a folder, here or over a cluster")
    command("compare", figure, "draw damaged photo, U-Net and SegNet side by side")
    command("bench", bench, "measure quality, time and memory over a folder of cases")
    command("demo", demo, "damage a photo, restore it, and show how well that went")
    commands.add_parser("networks", help="list the networks").set_defaults(run=run_networks)
    commands.add_parser("presets", help="list the presets").set_defaults(run=run_presets)
    add_extensions(command)
    command("doctor", doctor, "check this machine, and say what to do where something is amiss")
    return parser


def add_extensions(command: Callable[[str, Command, str], None]) -> None:
    """Declare the commands of the packages around this one, and what the check-up asks of them."""
    for package in EXTENSIONS:
        try:
            extension = importlib.import_module(f"{package}.commands")
        except ModuleNotFoundError as error:
            if error.name == package:
                continue  # it is not installed
            raise
        for name, each in extension.COMMANDS.items():
            command(name, each, each.says)
        doctor.CHECKS.update(extension.CHECKS)


def add_restore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photo", type=Path, help="PNG, JPEG, TIFF or WebP file")
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
        "--preview",
        type=Path,
        metavar="FILE",
        help="keep a picture of the part being worked on in this file, refreshed on the way",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_network_argument(parser)
    add_preset_arguments(parser)
    add_fit_arguments(parser)


# --- dip restore --------------------------------------------------------------------------------


def run_restore(args: argparse.Namespace) -> int:
    settings = settings_from(args)
    output = args.output or output_beside(args.photo)
    refuse_to_overwrite(args.photo, args.mask, output, args.preview)

    from dip.image_io import check_writable, read_mask, read_photo, write_photo

    photo = read_photo(args.photo)
    mask = None if args.mask is None else read_mask(args.mask)
    check_writable(output, photo)
    progress = Progress(quiet=args.quiet)
    preview = None
    if args.preview is not None:
        from dip.filling.smooth_preview import smooth_preview

        check_writable(args.preview)
        preview = PreviewFile(args.preview, progress)
        preview.write(
            partial(smooth_preview, photo.pixels, mask)
        )  # torch takes seconds to be loaded

    from dip.restore import Restoration

    restoration = Restoration(photo.pixels, mask, settings)
    del mask  # it is as large as the photo, and has been read
    for note in restoration.notes:
        progress.note(note)

    with stop_on_signals() as stopped_by:
        for step in restoration:
            progress.show(step)
            if preview is not None:
                preview.write(restoration.preview)
            if stopped_by:
                break
        progress.close()
        write_photo(output, restoration.finish(), like=photo)

    print(output)
    if not args.quiet:
        say(f"dip: {summary(progress, restoration.iterations)}")
    return 128 + stopped_by[0] if stopped_by else 0


def output_beside(photo: Path) -> Path:
    """Name the result after the photo. TIFF stays TIFF, everything else becomes PNG: lossless."""
    suffix = ".tif" if photo.suffix.lower() in {".tif", ".tiff"} else ".png"
    output = photo.with_name(f"{photo.stem}_restored{suffix}")
    if output.exists():
        raise OutputError(
            f"{output} exists already.",
            f"To replace it, name it: -o {output.name}, or name another.",
        )
    return output


def refuse_to_overwrite(photo: Path, mask: Path | None, output: Path, preview: Path | None) -> None:
    """Raise OutputError where the result or the preview would replace a file that is in use."""
    in_use = {"the photo": photo, "the mask": mask}
    for written in (output, preview):
        for name, path in in_use.items():
            if written is not None and path is not None and is_same_file(written, path):
                raise OutputError(f"{written} is {name} itself.", "Name another file to write to.")
        in_use["the result"] = output


def is_same_file(one: Path, other: Path) -> bool:
    """Say whether two names mean one file, which neither of them needs to be yet."""
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()


class PreviewFile:
    """A picture file that follows the work, at a small and bounded cost.

    A preview that can no longer be written is said once, and is no reason to end the work.
    """

    def __init__(self, path: Path, progress: Progress) -> None:
        self.path = path
        self._progress = progress
        self._next = 0.0

    def write(self, look: Callable[[], "Preview"]) -> None:
        """Write what a look at the work gives, unless that was done a moment ago."""
        from dip.image_io import write_pixels

        began = time.monotonic()
        if began < self._next:
            return
        try:
            write_pixels(self.path, look().pixels)
        except OutputError as error:
            self._progress.note(f"no more previews: {error.message}")
            self._next = math.inf
            return
        ended = time.monotonic()
        self._next = ended + max(PREVIEW_EVERY_S, (ended - began) / PREVIEW_SHARE)


@contextmanager
def stop_on_signals() -> Iterator[list[int]]:
    """Collect the first Ctrl-C, SIGTERM or SIGHUP in the list; let the second one quit at once."""
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        # Not print: it may have been interrupted half-way, and cannot be entered twice.
        with suppress(OSError):
            os.write(
                2, b"\ndip: stopping; the best result so far is kept. Again to quit at once.\n"
            )

    with signals_handled_by(stop):
        yield received


def summary(progress: Progress, iterations: int) -> str:
    """Say in one line how good the result is, and what it took."""
    spent = f"{progress.done} of {iterations} iterations in {format_duration(progress.elapsed_s)}"
    if progress.validation_psnr_db is None:
        return spent
    return f"validation {progress.validation_psnr_db:.1f} dB (known pixels held out), {spent}"


# --- Lists --------------------------------------------------------------------------------------


def run_networks(args: argparse.Namespace) -> int:
    print_list(NETWORKS)
    return 0


def run_presets(args: argparse.Namespace) -> int:
    print_list({name: preset.description for name, preset in PRESETS.items()})
    return 0


def print_list(described: Mapping[str, str]) -> None:
    width = max(map(len, described))
    for name, text in described.items():
        print(f"{name:<{width}}  {text}")
