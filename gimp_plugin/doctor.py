"""The check of the plug-in for `dip doctor`: finds why there is no menu entry, and the remedy.

GIMP silently ignores a plug-in that it cannot use, so each of its conditions is checked here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from dip import __version__
from dip.commands.doctor import Finding
from gimp_plugin.install import NAME, Gimp, config_folders, installed_gimps, roots

REINSTALL = "Run `dip gimp install`, then start GIMP again."
MENU = "Filters > Restore > Deep Image Prior"


def check_gimp() -> Finding:
    """Check each GIMP on this machine, and the plug-in in each of them."""
    home = Path.home()
    folders, gimps = config_folders(home), installed_gimps()
    if not folders and not any(gimp.is_3 for gimp in gimps):
        return _none_found(gimps)
    missing = _missing(home, folders, gimps)
    if missing is not None:
        return missing
    findings = [check_folder(folder) for folder in folders]
    for finding in findings:
        if finding.status != "ok":
            return finding
    return Finding("ok", f"{MENU} is in {', '.join(map(str, folders))}")


def check_folder(config: Path) -> Finding:
    """Check the plug-in in the folder of one GIMP, such as ~/.config/GIMP/3.0."""
    plug_ins = config / "plug-ins"
    folder = plug_ins / NAME
    script = folder / f"{NAME}.py"
    if not script.is_file():
        return _misplaced(plug_ins)
    if not script.read_text(encoding="utf-8", errors="replace").startswith("#!"):
        return Finding(
            "warn", f"{script} has lost its first line, so GIMP cannot start it", REINSTALL
        )
    if os.name == "posix" and not os.access(script, os.X_OK):
        return Finding(
            "warn",
            f"{script} is not executable, so GIMP ignores it",
            f"chmod +x '{script}'",
        )
    error = _import_error(folder)
    if error:
        return Finding("warn", f"the plug-in in {folder} cannot be loaded: {error}", REINSTALL)
    return _check_settings(folder)


def _none_found(gimps: list[Gimp]) -> Finding:
    if gimps:
        versions = ", ".join(gimp.version for gimp in gimps)
        return Finding(
            "warn",
            f"GIMP {versions} is here, but the plug-in needs GIMP 3",
            "Install GIMP 3 (as a package, a flatpak or from gimp.org), then run "
            "`dip gimp install`.",
        )
    return Finding("ok", "no GIMP 3 was found; only the plug-in needs it")


def _missing(home: Path, folders: list[Path], gimps: list[Gimp]) -> Finding | None:
    """A finding about the first GIMP that has no folder of its own; None if all have one."""
    for gimp in gimps:
        if not gimp.is_3:
            continue
        places = roots(home).get(gimp.kind, [])
        if any(folder.name == gimp.version for folder in folders):
            continue
        if any((place / gimp.version).is_dir() for place in places):
            continue
        older = [folder.name for folder in folders if folder.parent in places]
        if older:
            return Finding(
                "ok",
                f"GIMP {gimp.version} ({gimp.kind}) was not started yet; it takes the plug-in over "
                f"from {older[-1]} at its first start",
            )
        return Finding(
            "warn", f"the plug-in is not in GIMP {gimp.version} ({gimp.kind})", REINSTALL
        )
    return None


def _misplaced(plug_ins: Path) -> Finding:
    found = sorted(plug_ins.rglob(f"{NAME}.py")) if plug_ins.is_dir() else []
    if found:
        return Finding(
            "warn",
            f"the plug-in is at {found[0]}, where GIMP does not look; its folder must be "
            f"{plug_ins / NAME}",
            f"Remove it, and run `dip gimp install --gimp-dir '{plug_ins.parent}'`.",
        )
    return Finding("warn", f"the plug-in is not in {plug_ins}", REINSTALL)


def _import_error(folder: Path) -> str:
    """The error that importing the plug-in's files raises, if any; those without GIMP's modules."""
    python = shutil.which("python3") or shutil.which("python")
    if python is None:
        return "no python3 was found"
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]; sys.dont_write_bytecode = True; "
        "import damage_search, marks, masks, service, service_errors, session"
    )
    done = subprocess.run(
        [python, "-I", "-S", "-c", code, str(folder / "vendor"), str(folder)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def _check_settings(folder: Path) -> Finding:
    try:
        settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Finding("warn", f"{folder / 'settings.json'} cannot be read", REINSTALL)
    command = settings.get("command") or []
    if not command or shutil.which(command[0]) is None:
        seen = f"starts {command[0]}, which is missing" if command else "does not know where dip is"
        return Finding("warn", f"the plug-in in {folder} {seen}", REINSTALL)
    if settings.get("version") != __version__:
        return Finding(
            "warn",
            f"the plug-in in {folder} is version {settings.get('version')}, dip is {__version__}",
            REINSTALL,
        )
    return Finding("ok", f"{MENU} is in {folder}")
