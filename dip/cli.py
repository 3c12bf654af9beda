"""The command line as a process: `dip restore`, `batch`, `detect`, `compare`, `bench`...

Each command is a module in `dip.commands`. The packages in `EXTENSIONS` add commands of their own
where they are installed.

Neither torch, numpy nor rich is imported before a command needs it: `dip --help` answers at once.

Standard output carries results, such as the path of the restored photo. Standard error carries
progress, notes and errors. Exit status: 0 success; 1 an error in this program; 2 to 9 as listed in
`dip.errors`; 9 and 10 an error of the service; 11 a batch that left photos unrestored; 130 and 143
stopped by Ctrl-C or SIGTERM, with the best result so far written.
"""

import argparse
import importlib
import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from dip import __version__
from dip.commands import batch, bench, compare, demo, detect, doctor, restore
from dip.commands.lists import NETWORK_LIST, PRESET_LIST
from dip.console import say
from dip.errors import DipError, OutputError
from dip.machine.device import environment_for_cpu

EXTENSIONS = ("server", "gimp_plugin")
FITTING_COMMANDS = {"restore", "detect", "compare", "bench", "demo", "doctor"}
RESTARTED = "DIP_RESTARTED"
BROKEN_PIPE = 141  # the status that a shell reports for a program ended by SIGPIPE


class Command(Protocol):
    """A module or object that is one command."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""

    def run(self, args: argparse.Namespace) -> int:
        """Run the command and return the exit status."""


def console() -> None:
    """Run the command line as a process of its own."""
    words = set(sys.argv[1:])
    if sys.platform == "linux" and words & FITTING_COMMANDS and not words & {"-h", "--help"}:
        restart_with_cpu_environment()
    use_standard_output()
    try:
        status = _status_of(main)
        sys.stdout.flush()
    except OutputError as error:
        status = _refuse(error)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except BrokenPipeError:
        # The reader of the output is gone, and Python would fail to flush the rest at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = BROKEN_PIPE
    sys.exit(status)


def _status_of(command: Callable[[], int]) -> int:
    """The exit status, also of --help and of wrong options, after which argparse exits."""
    try:
        return command()
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 0


class StandardOutput(io.TextIOWrapper):
    """Standard output, whose failures are errors for the user."""

    was_closed = False

    def write(self, text: str) -> int:
        with self._errors():
            return super().write(text)

    def flush(self) -> None:
        with self._errors():
            super().flush()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(
                f"Standard output cannot be written: {error.strerror}.", "Is its disk full?"
            ) from error


def use_standard_output() -> None:
    """Open standard streams that are closed, lest a file takes their place; wrap the output."""
    was_closed = False
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
            was_closed |= number == 1
    # A file name may be any bytes; results are printed as they are.
    output = open(1, "wb", closefd=False)  # noqa: SIM115  # open until the process ends
    sys.stdout = StandardOutput(
        output,
        encoding=getattr(sys.stdout, "encoding", "utf-8"),
        errors="surrogateescape",
        line_buffering=output.isatty(),
    )
    sys.stdout.was_closed = was_closed


def _refuse(error: DipError) -> int:
    say(f"dip: {error.message}")
    if error.hint:
        say(f"     {error.hint}")
    return error.exit_status


def restart_with_cpu_environment() -> None:
    """Replace this process by itself, with the allocator configured for fitting on a CPU.

    The C library reads these settings once, when a program starts.
    """
    missing = environment_for_cpu()
    if missing and RESTARTED not in os.environ:
        environment = {**os.environ, **missing, RESTARTED: "1"}
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # until `dip.__main__` runs
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    try:
        args = build_parser().parse_args(arguments)
        logging.basicConfig(level=logging.WARNING, format="dip: %(message)s")
        return int(args.run(args))
    except DipError as error:
        return _refuse(error)
    except KeyboardInterrupt:
        say("dip: stopped before there was a result")
        return 128 + signal.SIGINT
    except BrokenPipeError:
        raise
    except Exception:
        # The edge of the process: the one place that catches every exception.
        traceback.print_exc()
        say("dip: this is a fault in dip, not in your picture. Please report it to the authors,")
        say("     with the lines above, your command, and the output of `dip doctor`.")
        return 1


def build_parser() -> argparse.ArgumentParser:
    """Declare every command and its options."""
    parser = argparse.ArgumentParser(
        prog="dip",
        description="Restore a damaged photograph on this machine, from nothing but itself.",
        epilog="`dip COMMAND --help` describes one command.",
    )
    parser.add_argument("--version", action="version", version=f"dip {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command: Command, summary: str) -> None:
        added = commands.add_parser(name, help=summary, description=summary)
        command.add_arguments(added)
        added.set_defaults(run=command.run)

    add("restore", restore, "restore a photo")
    add("batch", batch, "restore every photo of a folder, here or over a cluster")
    add("detect", detect, "find dust, hairs, scratches and creases, and write a mask")
    add("compare", compare, "draw damaged photo, U-Net and SegNet side by side")
    add("bench", bench, "measure quality, time and memory over a folder of cases")
    add("demo", demo, "damage a photo, restore it, and show how well that went")
    add("networks", NETWORK_LIST, "list the networks")
    add("presets", PRESET_LIST, "list the presets")
    add_extensions(add)
    add("doctor", doctor, "check this machine and advise on each problem found")
    return parser


def add_extensions(add: Callable[[str, Command, str], None]) -> None:
    """Declare the commands of the other packages, and add their checks to `dip doctor`."""
    for package in EXTENSIONS:
        try:
            extension = importlib.import_module(f"{package}.commands")
        except ModuleNotFoundError as error:
            if error.name == package:
                continue  # the package is not installed
            raise
        for name, command in extension.COMMANDS.items():
            add(name, command, command.summary)
        doctor.CHECKS.update(extension.CHECKS)
