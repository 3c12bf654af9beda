"""Puts the plug-in into the folders of GIMP, takes it out again, and packs it for others.

What is installed is a folder that needs nothing around it: the plug-in, a copy of the client, the
pure-Python packages that the client needs, and a note of where `dip` is.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import server.client
from dip import __version__
from dip.errors import OutputError

NAME = "dip_restore"
SOURCE = Path(__file__).resolve().parent / NAME
PACKAGES = ("requests", "urllib3", "idna", "certifi", "charset-normalizer")
_COMPILED = {".so", ".pyd", ".dylib", ".pyc"}
_VERSION = re.compile(r"(?<![\d.])(\d+)\.(\d+)(?:\.\d+)?")


# --- Where ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gimp:
    """A GIMP that is installed on this machine.

    Parameters
    ----------
    version : str
        Major and minor, such as '3.0'.
    kind : str
        'system', 'flatpak' or 'snap'.
    """

    version: str
    kind: str = "system"

    @property
    def is_3(self) -> bool:
        return self.version.startswith("3.")


def roots(home: Path, environment: Mapping[str, str] = os.environ) -> dict[str, list[Path]]:
    """Where each kind of GIMP keeps a folder for each of its versions."""
    if sys.platform == "win32":
        base = environment.get("APPDATA")
        return {"system": [(Path(base) if base else home / "AppData" / "Roaming") / "GIMP"]}
    if sys.platform == "darwin":
        return {"system": [home / "Library" / "Application Support" / "GIMP"]}
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    return {
        "system": [config / "GIMP"],
        "flatpak": [home / ".var" / "app" / "org.gimp.GIMP" / "config" / "GIMP"],
        "snap": [home / "snap" / "gimp" / "current" / ".config" / "GIMP"],
    }


def config_folders(home: Path, environment: Mapping[str, str] = os.environ) -> list[Path]:
    """The folders of every GIMP 3 that was started here, and the one that a variable names."""
    found = []
    if environment.get("GIMP3_DIRECTORY"):
        found.append(Path(environment["GIMP3_DIRECTORY"]))
    for places in roots(home, environment).values():
        for place in places:
            found += sorted(each for each in place.glob("3.*") if each.is_dir())
    return found


def installed_gimps() -> list[Gimp]:
    """Every GIMP on this machine, asked for its version."""
    asked = {
        "system": (["gimp", "--version"], ["gimp-3.0", "--version"], ["gimp-3", "--version"]),
        "flatpak": (["flatpak", "info", "org.gimp.GIMP"],),
        "snap": (["snap", "list", "gimp"],),
    }
    if sys.platform == "darwin":
        program = "/Applications/GIMP.app/Contents/MacOS/gimp"
        asked["system"] = (*asked["system"], [program, "--version"])
    found = []
    for kind, commands in asked.items():
        for command in commands:
            version = _version_from(_output_of(command))
            if version is not None:
                found.append(Gimp(version, kind))
                break
    return found


def choose_folders(
    home: Path, gimps: list[Gimp], environment: Mapping[str, str] = os.environ
) -> tuple[list[Path], list[str]]:
    """Where the plug-in belongs, and what the user has to know about that.

    A folder is made only for a GIMP that has none of any version: one that finds its folder made
    does not take over the settings of an older version.
    """
    folders, notes = config_folders(home, environment), []
    for gimp in gimps:
        if not gimp.is_3:
            notes.append(
                f"GIMP {gimp.version} ({gimp.kind}) is too old for the plug-in: it needs GIMP 3."
            )
            continue
        places = list(roots(home, environment).get(gimp.kind, []))
        if gimp.kind == "flatpak":  # it takes the system's folder where there is one
            places = [*roots(home, environment)["system"], *places]
        if any((place / gimp.version).is_dir() for place in places):
            continue
        older = sorted(each.name for place in places for each in place.glob("[23].*"))
        if not older:
            folders.append(places[-1] / gimp.version)
        elif any(name.startswith("3.") for name in older):
            notes.append(
                f"GIMP {gimp.version} ({gimp.kind}) takes the plug-in over from {older[-1]} at its "
                "first start."
            )
        else:
            notes.append(
                f"GIMP {gimp.version} ({gimp.kind}) was never started. Start it once, so that it "
                f"takes over the settings of {older[-1]}, then run `dip gimp install`."
            )
    return folders, notes


# --- What ----------------------------------------------------------------------------------------


def install(config: Path, command: list[str] | None) -> Path:
    """Put the plug-in into the folder of one GIMP; one that is there is replaced.

    Parameters
    ----------
    config : Path
        The folder of a version, such as ~/.config/GIMP/3.0.
    command : list of str or None
        What starts `dip`.

    Returns
    -------
    Path
        The plug-in's folder.
    """
    target = config / "plug-ins" / NAME
    beside = target.with_name(f".{NAME}.new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(beside, ignore_errors=True)
        fill(beside, command)
        shutil.rmtree(target, ignore_errors=True)
        beside.replace(target)
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written: {error.strerror}.",
            "Name the folder of your GIMP, as Edit > Preferences > Folders shows it: "
            "dip gimp install --gimp-dir FOLDER.",
        ) from error
    return target


def uninstall(config: Path) -> bool:
    """Take the plug-in out; whether it was there."""
    target = config / "plug-ins" / NAME
    there = target.is_dir()
    shutil.rmtree(target, ignore_errors=True)
    return there


def fill(folder: Path, command: list[str] | None) -> None:
    """Make a folder with everything that the plug-in needs."""
    vendor = folder / "vendor"
    vendor.mkdir(parents=True)
    for source in sorted(SOURCE.glob("*.py")):
        shutil.copyfile(source, folder / source.name)
    (folder / f"{NAME}.py").chmod(0o755)  # else GIMP does not see it
    client = vendor / "dip_client"
    client.mkdir()
    for source in sorted(Path(server.client.__file__).parent.glob("*.py")):
        shutil.copyfile(source, client / source.name)
    for package in PACKAGES:
        for source, name in _files_of(package):
            destination = vendor / name
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, destination)
    note = {"command": command, "version": __version__}
    (folder / "settings.json").write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")


def pack(output: Path) -> None:
    """Write the folder as a zip that can be unpacked into any `plug-ins` folder."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder) / NAME, None)
        with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(folder).as_posix())


def dip_command() -> list[str]:
    """What starts the `dip` that is running now, from anywhere."""
    name = "dip.exe" if sys.platform == "win32" else "dip"
    script = Path(sys.executable).with_name(name)
    return [str(script)] if script.exists() else [sys.executable, "-m", "dip"]


def _files_of(package: str) -> Iterator[tuple[Path, str]]:
    """The files of an installed package that run on any Python, and its licence."""
    for file in distribution(package).files or []:
        name = file.as_posix()
        if name.startswith("..") or file.suffix in _COMPILED or "__pycache__" in file.parts:
            continue
        if file.parts[0].endswith(".dist-info") and "licen" not in name.lower():
            continue
        yield Path(str(file.locate())), name


def _version_from(text: str) -> str | None:
    match = _VERSION.search(text)
    return f"{match[1]}.{match[2]}" if match else None


def _output_of(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
