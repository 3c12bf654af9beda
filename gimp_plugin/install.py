"""Installs the plug-in into the folders of GIMP, uninstalls it, and packs it for other machines.

The installed folder is complete: the plug-in, a copy of the service's client with its pure-Python
packages, a copy of the rules about damage, its texts in other languages, and `settings.json`, which
holds the command that starts `dip` and the engine's ranges and defaults.
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
from typing import Any

import server.client
from dip import __version__
from dip import notes as engine_notes
from dip.config import RANGES, Settings
from dip.errors import OutputError
from dip.regions import rules

NAME = "dip_restore"
SOURCE = Path(__file__).resolve().parent / NAME
PAGE_TEXTS = Path(server.client.__file__).parents[1] / "static" / "texts"
PACKAGES = ("requests", "urllib3", "idna", "certifi", "charset-normalizer")
_COMPILED = {".so", ".pyd", ".dylib", ".pyc"}
_VERSION = re.compile(r"(?<![\d.])(\d+)\.(\d+)(?:\.\d+)?")


# --- The folders of GIMP -------------------------------------------------------------------------


@dataclass(frozen=True)
class Gimp:
    """A GIMP on this machine.

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
    """The folders in which each kind of GIMP has a folder for each of its versions."""
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
    """The folders of each GIMP 3 that was ever started, and the one that GIMP3_DIRECTORY names."""
    found = []
    if environment.get("GIMP3_DIRECTORY"):
        found.append(Path(environment["GIMP3_DIRECTORY"]))
    for places in roots(home, environment).values():
        for place in places:
            found += sorted(each for each in place.glob("3.*") if each.is_dir())
    return found


def installed_gimps() -> list[Gimp]:
    """Find each GIMP on this machine by asking for its version."""
    commands_by_kind = {
        "system": (["gimp", "--version"], ["gimp-3.0", "--version"], ["gimp-3", "--version"]),
        "flatpak": (["flatpak", "info", "org.gimp.GIMP"],),
        "snap": (["snap", "list", "gimp"],),
    }
    if sys.platform == "darwin":
        program = "/Applications/GIMP.app/Contents/MacOS/gimp"
        commands_by_kind["system"] = (*commands_by_kind["system"], [program, "--version"])
    found = []
    for kind, commands in commands_by_kind.items():
        for command in commands:
            version = _version_from(_output_of(command))
            if version is not None:
                found.append(Gimp(version, kind))
                break
    return found


def choose_folders(
    home: Path, gimps: list[Gimp], environment: Mapping[str, str] = os.environ
) -> tuple[list[Path], list[str]]:
    """The folders that get the plug-in, and notes for the user.

    No folder is created for a GIMP that has the folder of an older version and was never started:
    it would not import its older settings then.
    """
    folders, notes = config_folders(home, environment), []
    for gimp in gimps:
        if not gimp.is_3:
            notes.append(f"GIMP {gimp.version} ({gimp.kind}) is too old: the plug-in needs GIMP 3.")
            continue
        places = list(roots(home, environment).get(gimp.kind, []))
        if gimp.kind == "flatpak":  # it uses the system's folder if there is one
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


# --- Installing ----------------------------------------------------------------------------------


def install(config: Path, command: list[str] | None) -> Path:
    """Install the plug-in into the folder of one GIMP; an older copy is replaced.

    Parameters
    ----------
    config : Path
        The folder of a version, such as ~/.config/GIMP/3.0.
    command : list of str or None
        The command line that starts `dip`; the plug-in searches for it if None.

    Returns
    -------
    Path
        The plug-in's folder.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    target = config / "plug-ins" / NAME
    new = target.with_name(f".{NAME}.new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(new, ignore_errors=True)
        fill(new, command)
        shutil.rmtree(target, ignore_errors=True)
        new.replace(target)
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written: {error.strerror}.",
            "Name the folder of your GIMP, as Edit > Preferences > Folders shows it: "
            "dip gimp install --gimp-dir FOLDER.",
        ) from error
    return target


def uninstall(config: Path) -> bool:
    """Remove the plug-in from the folder of one GIMP; False if it was not installed."""
    target = config / "plug-ins" / NAME
    installed = target.is_dir()
    shutil.rmtree(target, ignore_errors=True)
    return installed


def fill(folder: Path, command: list[str] | None) -> None:
    """Create a folder with everything that the plug-in needs."""
    import polib

    vendor = folder / "vendor"
    vendor.mkdir(parents=True)
    for source in sorted(SOURCE.glob("*.py")):
        shutil.copyfile(source, folder / source.name)
    (folder / f"{NAME}.py").chmod(0o755)  # GIMP ignores it otherwise
    for path in sorted((SOURCE / "locale").glob("*.po")):
        compiled = folder / "locale" / path.stem / "LC_MESSAGES" / f"{NAME}.mo"
        compiled.parent.mkdir(parents=True)
        catalogue = polib.pofile(str(path))
        for english, translated in _translated_notes(path.stem):
            catalogue.append(polib.POEntry(msgid=english, msgstr=translated))
        catalogue.save_as_mofile(str(compiled))
    client = vendor / "dip_client"
    client.mkdir()
    for source in sorted(Path(server.client.__file__).parent.glob("*.py")):
        shutil.copyfile(source, client / source.name)
    for package in PACKAGES:
        for source, name in _files_of(package):
            destination = vendor / name
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, destination)
    shutil.copyfile(rules.__file__, vendor / "dip_rules.py")
    shutil.copyfile(engine_notes.__file__, vendor / "dip_notes.py")
    settings = {"command": command, "version": __version__, "engine": engine_options()}
    (folder / "settings.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _translated_notes(language: str) -> Iterator[tuple[str, str]]:
    """The engine's notes in English and in another language: from the catalogue of the page."""
    name = language.lower().replace("_", "-")
    texts = json.loads((PAGE_TEXTS / f"{name}.json").read_text(encoding="utf-8"))
    for code, english in engine_notes.TEXTS.items():
        # Of a rim, the page says which of its buttons to press.
        if code != "rim_damaged" and (translated := texts.get(f"note.{code}")):
            yield english, translated


def engine_options() -> dict[str, dict[str, Any]]:
    """The ranges and defaults of the engine's settings, which the plug-in's dialog offers."""
    defaults = Settings()
    names = ("network", "preset", "device", "texture")
    return {"ranges": RANGES, "defaults": {name: getattr(defaults, name) for name in names}}


def pack(output: Path) -> None:
    """Write the plug-in as a zip file that can be unpacked into any `plug-ins` folder."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder) / NAME, None)
        with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(folder).as_posix())


def dip_command() -> list[str]:
    """The command line that starts this `dip` from any folder."""
    name = "dip.exe" if sys.platform == "win32" else "dip"
    script = Path(sys.executable).with_name(name)
    return [str(script)] if script.exists() else [sys.executable, "-m", "dip"]


def _files_of(package: str) -> Iterator[tuple[Path, str]]:
    """The files of an installed package that run on any Python, and its licence.

    Yields their paths and their names below the folder of packages.
    """
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
