"""`dip gimp install|uninstall|zip`: installs the plug-in from the command line.

`dip.cli` adds `COMMANDS` and `CHECKS` to its own if this package is installed. `dip --help` imports
this module, so heavy imports stay inside the functions.
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
    """A command, as `dip.cli` expects it."""

    summary: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare its actions and their options."""
        actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
        for name, text in (
            ("install", "install the plug-in into each GIMP 3 of this user"),
            ("uninstall", "remove the plug-in"),
        ):
            action = actions.add_parser(name, help=text, description=text)
            action.add_argument(
                "--gimp-dir",
                type=Path,
                metavar="FOLDER",
                help="the folder of one GIMP, as Edit > Preferences > Folders shows it, such as "
                "~/.config/GIMP/3.0 (default: each folder that is found)",
            )
        text = "pack the plug-in for other machines; unpack the file in GIMP's folder `plug-ins`"
        zipping = actions.add_parser("zip", help=text, description=text)
        zipping.add_argument(
            "-o", "--output", type=Path, metavar="FILE", default=Path("dip_restore_gimp.zip")
        )

    def run(self, args: argparse.Namespace) -> int:
        """Run the chosen action and return the exit status."""
        actions = {"install": run_install, "uninstall": run_uninstall, "zip": run_zip}
        return actions[args.action](args)


def run_install(args: argparse.Namespace) -> int:
    """Install the plug-in; a machine without GIMP gets a note, and status 0."""
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
        say("No GIMP 3 was found. Install GIMP 3, start it once, then run `dip gimp install`;")
        say("or name its folder: `dip gimp install --gimp-dir FOLDER`.")
    return 0


def run_uninstall(args: argparse.Namespace) -> int:
    from gimp_plugin import install

    folders = [_folder_of(args.gimp_dir)] if args.gimp_dir else install.config_folders(Path.home())
    removed = [folder for folder in folders if install.uninstall(folder)]
    for folder in removed:
        say(f"removed from {folder}")
    if not removed:
        say("The plug-in is installed in no GIMP.")
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


COMMANDS = {"gimp": Command("install the plug-in into GIMP, or remove it")}

CHECKS = {"gimp": check_gimp}
"""The checks of `dip doctor`."""


def _folder_of(given: Path) -> Path:
    """The folder of a GIMP; its subfolder `plug-ins` may be given as well."""
    folder = given.expanduser().absolute()
    return folder.parent if folder.name == "plug-ins" else folder
