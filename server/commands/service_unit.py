"""Start the service at login: a systemd user unit, or a launchd agent.

`dip serve --install-service` installs it; `--uninstall-service` removes it.
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
    """The file that makes a system start the service at login, and the commands for it.

    Parameters
    ----------
    path : Path
    content : bytes
    start, stop : tuple of tuple of str
        The commands that activate the file, and those that deactivate it.
    """

    path: Path
    content: bytes
    start: tuple[tuple[str, ...], ...]
    stop: tuple[tuple[str, ...], ...]


def install(settings: ServerSettings, words: Sequence[str]) -> None:
    """Install the unit of this system, and start it.

    A service that already runs is stopped first.

    Parameters
    ----------
    settings : ServerSettings
    words : sequence of str
        The options of `dip serve`, from `server.commands.arguments.serve_options_from`.

    Raises
    ------
    ServiceFailure
        This system has neither systemd nor launchd, or their command failed.
    """
    unit = unit_for(sys.platform, [sys.executable, "-m", "dip", "serve", *words])
    if unit.path.exists():  # a running unit would keep its old options
        for command in unit.stop:
            _call(command, must_work=False)
    unit.path.parent.mkdir(parents=True, exist_ok=True)
    unit.path.write_bytes(unit.content)
    print(f"wrote {unit.path}")
    if stop(settings):
        print("the running service has stopped; its unfinished jobs continue")
    for command in unit.start:
        _call(command, must_work=True)
    print("the service runs, and starts at every login; dip serve --uninstall-service undoes this")


def uninstall() -> None:
    """Stop the installed service, and remove its unit.

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
    """The unit that runs a command on a platform.

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
        f"Start this command at login by other means: {shlex.join(command)}",
    )


def _systemd(command: list[str]) -> bytes:
    # OOMPolicy: a worker that runs out of memory must not stop the service. KillMode: the service
    # stops its worker itself, so the end of a session counts as no worker's death. No restart
    # after these exit statuses: bad options, a refused start, and a service that already runs.
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
    """Quote a word for systemd, where %, $, quotes and backslashes are special."""
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
        output = done.stderr.strip().splitlines()
        raise ServiceFailure(
            f"{' '.join(command)} failed: {output[-1] if output else done.returncode}.",
            "Check that systemd or launchd runs for this user, or start `dip serve` by hand.",
        )
