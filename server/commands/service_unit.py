"""Starts the service whenever its user logs in: a systemd user unit, or a launchd agent.

Offered by `dip serve --install-service`, never forced; `--uninstall-service` undoes it.
"""

from __future__ import annotations

import os
import plistlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from server.commands.instance_lock import stop
from server.errors import ServiceFailure
from server.settings import ServerSettings

NAME = "dip-restore"
LABEL = "org.dip-restore.service"


@dataclass(frozen=True)
class Unit:
    """What is installed, and how.

    Parameters
    ----------
    path : Path
    content : bytes
    start, stop : tuple of tuple of str
        Commands that put it to work, and that take it away.
    """

    path: Path
    content: bytes
    start: tuple[tuple[str, ...], ...]
    stop: tuple[tuple[str, ...], ...]


def install(settings: ServerSettings, words: Sequence[str]) -> None:
    """Install the unit of this system, and start it.

    A service that runs by itself makes room for the one that is installed.

    Parameters
    ----------
    settings : ServerSettings
    words : sequence of str
        What follows `dip serve`, from `server.commands.arguments.words_from`.

    Raises
    ------
    ServiceFailure
        This system has neither systemd nor launchd, or they refuse.
    """
    unit = unit_for(sys.platform, [sys.executable, "-m", "dip", "serve", *words])
    if unit.path.exists():  # one that runs would go on as it was installed before
        for command in unit.stop:
            _call(command, must_work=False)
    unit.path.parent.mkdir(parents=True, exist_ok=True)
    unit.path.write_bytes(unit.content)
    print(f"wrote {unit.path}")
    if stop(settings):
        print("the service that ran has stopped; jobs that had not ended go on")
    for command in unit.start:
        _call(command, must_work=True)
    print("the service runs, and starts with every login; dip serve --uninstall-service undoes it")


def uninstall() -> None:
    """Stop what was installed, and remove its unit.

    Raises
    ------
    ServiceFailure
        This system has neither systemd nor launchd.
    """
    unit = unit_for(sys.platform, [])
    for command in unit.stop:
        _call(command, must_work=False)
    unit.path.unlink(missing_ok=True)
    print(f"removed {unit.path}")


def unit_for(platform: str, command: list[str]) -> Unit:
    """The unit that runs a command on a kind of system.

    Raises
    ------
    ServiceFailure
    """
    if platform == "darwin":
        path = Path.home() / "Library" / "LaunchAgents" / f"{LABEL}.plist"
        return Unit(
            path,
            _launchd(command),
            start=(("launchctl", "load", "-w", str(path)),),
            stop=(("launchctl", "unload", "-w", str(path)),),
        )
    if platform == "linux" and shutil.which("systemctl"):
        base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        systemctl = ("systemctl", "--user")
        return Unit(
            Path(base) / "systemd" / "user" / f"{NAME}.service",
            _systemd(command),
            start=((*systemctl, "daemon-reload"), (*systemctl, "enable", "--now", NAME)),
            stop=((*systemctl, "disable", "--now", NAME),),
        )
    raise ServiceFailure(
        "This system has neither systemd nor launchd.",
        f"Have this started at login: {shlex.join(command)}",
    )


def _systemd(command: list[str]) -> bytes:
    # A worker that runs out of memory must not take the service along: OOMPolicy. The service ends
    # its worker by itself, so that no job is blamed for the end of a session: KillMode. While a
    # service runs already, and where it was refused, another start would mend nothing.
    return f"""\
[Unit]
Description=Photo restoration with Deep Image Prior, for this user

[Service]
ExecStart={" ".join(_quoted(word) for word in command)}
Restart=on-failure
RestartSec=2
RestartPreventExitStatus=2 9 10
OOMPolicy=continue
KillMode=mixed
UMask=0077
NoNewPrivileges=yes

[Install]
WantedBy=default.target
""".encode()


def _quoted(word: str) -> str:
    """For systemd: % and $ mean something there, quotes and backslashes too."""
    specials = (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("%", "%%"), ("$", "$$"))
    for special, plain in specials:
        word = word.replace(special, plain)
    return f'"{word}"'


def _launchd(command: list[str]) -> bytes:
    return plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": command,
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "Umask": 0o077,
            "ProcessType": "Background",
        }
    )


def _call(command: tuple[str, ...], *, must_work: bool) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if must_work and done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise ServiceFailure(
            f"{' '.join(command)} failed: {said[-1] if said else done.returncode}.",
            "Is there a session of systemd or launchd for this user? `dip serve` works without.",
        )
