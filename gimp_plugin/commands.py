"""`dip gimp install|uninstall|zip`: the plug-in on the command line.

The command line of `dip` takes `COMMANDS` and `CHECKS` where this package is installed. Heavy
imports stay out of here: `dip --help` loads this module.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from dip.commands.doctor import Finding
from dip.console import say
from dip.errors import OutputError


@dataclass(frozen=True)
class Command:
    """The one command, as the command line of `dip` takes it."""

    summary: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare what it does, and its options."""
        actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
        for name, text in (
            ("install", "put the plug-in into every GIMP 3 of yours"),
            ("uninstall", "take it out again"),
        ):
            action = actions.add_parser(name, help=text, description=text)
            action.add_argument(
                "--gimp-dir",
                type=Path,
                metavar="FOLDER",
                help="the folder of one GIMP, as Edit > Preferences > Folders shows it, such as "
                "~/.config/GIMP/3.0 (default: all that are found)",
            )
        text = "pack the plug-in for other machines: unpack it into GIMP's folder `plug-ins`"
        zipping = actions.add_parser("zip", help=text, description=text)
        zipping.add_argument(
            "-o", "--output", type=Path, metavar="FILE", default=Path("dip_restore_gimp.zip")
        )

    def run(self, args: argparse.Namespace) -> int:
        """Do it and return the exit status."""
        return {"install": run_install, "uninstall": run_uninstall, "zip": run_zip}[args.action](
            args
        )


def run_install(args: argparse.Namespace) -> int:
    """Install; that there is no GIMP is said, and is no failure."""
    from gimp_plugin import install

    notes: list[str] = []
    if args.gimp_dir is not None:
        folders = [_folder_of(args.gimp_dir)]
    else:
        folders, notes = install.choose_folders(Path.home(), install.installed_gimps())
    for folder in folders:
        print(install.install(folder, install.dip_command()))
    for note in notes:
        say(note)
    if folders:
        say("Start GIMP again: Filters > Restore > Deep Image Prior.")
    elif not notes:
        say("No GIMP 3 was found. Install it, start it once, then run `dip gimp install`;")
        say("or name its folder: `dip gimp install --gimp-dir FOLDER`.")
    return 0


def run_uninstall(args: argparse.Namespace) -> int:
    from gimp_plugin import install

    folders = [_folder_of(args.gimp_dir)] if args.gimp_dir else install.config_folders(Path.home())
    removed = [folder for folder in folders if install.uninstall(folder)]
    for folder in removed:
        say(f"removed from {folder}")
    if not removed:
        say("The plug-in is in no GIMP.")
    return 0


def run_zip(args: argparse.Namespace) -> int:
    from gimp_plugin import install

    try:
        install.pack(args.output)
    except OSError as error:
        raise OutputError(
            f"{args.output} cannot be written: {error.strerror}.", "Use -o."
        ) from error
    print(args.output)
    return 0


def check_gimp() -> Finding:
    from gimp_plugin.doctor import check_gimp

    return check_gimp()


COMMANDS = {"gimp": Command("put the plug-in into GIMP, or take it out")}

CHECKS = {"gimp": check_gimp}
"""What `dip doctor` asks of the plug-in."""


def _folder_of(given: Path) -> Path:
    """The folder of a GIMP, also where its folder of plug-ins was named."""
    folder = given.expanduser().absolute()
    return folder.parent if folder.name == "plug-ins" else folder
