"""Finds the restoration service of this user, or starts it. No GIMP in here.

A service must prove that it is this user's; one that cannot is left alone, and another one is
started. A service of another version than the plug-in's is replaced.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dip_client import (
    Client,
    ClientError,
    Unreachable,
    UntrustedServer,
    connection_file,
    default_data_dir,
)
from translation import _

SETTINGS_FILE = "settings.json"
START_TIMEOUT_S = 40.0
_POLL_EVERY_S = 0.1
_RETRY_TIMEOUT_S = 2.0

# Exit statuses of `dip serve`; see server/errors.py.
_PORT_TAKEN = 9
_ALREADY_RUNNING = 10

_started: list[subprocess.Popen[bytes]] = []
"""Services that outlive this process; kept, because Python warns of processes without an owner."""

_NOT_FOR_CHILDREN = (
    "LD_", "DYLD_", "PYTHON", "GI_", "GIO_", "GTK", "GDK_", "GEGL", "BABL", "GIMP", "XDG_DATA_DIRS",
)  # fmt: skip
"""Prefixes of variables for GIMP's own libraries and Python, which break other programs."""


@dataclass(frozen=True)
class Settings:
    """The installer's note beside the plug-in.

    Parameters
    ----------
    command : tuple of str
        The command line that starts `dip`; empty if unknown.
    version : str
        The version of the plug-in; empty if unknown.
    """

    command: tuple[str, ...] = ()
    version: str = ""

    @classmethod
    def beside(cls, folder: Path) -> Settings:
        """Read the note; if it names no command, a `dip` on the search path is used."""
        try:
            found = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = {}
        command = tuple(found.get("command") or ())
        if not command and (on_path := shutil.which("dip")):
            command = (on_path,)
        return cls(command=command, version=found.get("version", ""))

    @property
    def serve_command(self) -> str:
        """The command that a user types to start the service."""
        return shlex.join((*(self.command or ("dip",)), "serve"))


class CannotStart(ClientError):
    """The service does not run, and only the user can start it."""

    def __init__(self, reason: str, command: str) -> None:
        super().__init__(
            "cannot_start", reason, _("Run this in a terminal: {command}").format(command=command)
        )
        self.command = command


class Service:
    """The restoration service of this user.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._restarted = False
        self._version = ""
        self._lock = threading.RLock()

    def connect(self) -> Client:
        """A client of the service, which is started if it does not run.

        Raises
        ------
        CannotStart
            Only the user can start it.
        ClientError
            It was started and does not work.
        """
        with self._lock:
            try:
                client = self.running()
            except (Unreachable, UntrustedServer) as error:
                if is_elsewhere():
                    raise  # a service on another machine cannot be started from here
                client = self._start(error)
            if self._is_outdated() and not is_elsewhere():
                client = self._restart(client)
            return client

    def running(self) -> Client:
        """A client of the service, which must run already.

        Raises
        ------
        Unreachable, UntrustedServer
        """
        client = Client.find(retry_timeout_s=_RETRY_TIMEOUT_S)
        try:
            self._version = client.health()["version"]
        except ClientError:
            client.close()
            raise
        return client

    # --- Inside ----------------------------------------------------------------------------------

    def _start(self, error: ClientError) -> Client:
        command = self._settings.command
        if in_sandbox():
            raise CannotStart(
                _("GIMP runs in a sandbox and cannot start the restoration service."),
                self._settings.serve_command,
            ) from error
        if not command or shutil.which(command[0]) is None:
            raise CannotStart(
                _(
                    "The restoration service does not run, and its program {program} is missing. "
                    "Install it again."
                ).format(program=command[0] if command else "dip"),
                self._settings.serve_command,
            ) from error
        for port in ((), ("--port", "0")):
            status, log = self._launch([*command, "serve", *port])
            if status is None or status == _ALREADY_RUNNING:
                return self._await_running()
            if status != _PORT_TAKEN:
                break
        raise ClientError(
            "cannot_start",
            _("The restoration service ended at once (status {status}): {said}").format(
                status=status, said=_last_lines(log)
            ),
            _("Run it in a terminal to see more: {command}").format(
                command=self._settings.serve_command
            ),
        )

    def _launch(self, command: list[str]) -> tuple[int | None, Path]:
        """Start a process and wait until it serves (None) or ends (its exit status)."""
        folder = default_data_dir()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = folder / "started_by_gimp.log"
        with open(log, "w", encoding="utf-8") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=clean_environment(os.environ),
                **_detached(),
            )
        ends = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < ends:
            status = process.poll()
            if status is not None:
                return status, log
            if "Serving at" in log.read_text(encoding="utf-8", errors="replace"):
                _started.append(process)
                return None, log
            time.sleep(_POLL_EVERY_S)
        process.kill()
        process.wait()
        raise ClientError(
            "cannot_start",
            _("The restoration service was not ready within {seconds} s.").format(
                seconds=round(START_TIMEOUT_S)
            ),
            _("Run it in a terminal to see more: {command}").format(
                command=self._settings.serve_command
            ),
        )

    def _await_running(self) -> Client:
        ends = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                return self.running()
            except (Unreachable, UntrustedServer):
                if time.monotonic() > ends:
                    raise
            time.sleep(_POLL_EVERY_S)

    def _is_outdated(self) -> bool:
        """Whether the service was started before the plug-in was updated.

        True at most once: if a restart changes nothing, both still speak the same interface.
        """
        wanted = self._settings.version
        return bool(wanted) and self._version != wanted and not self._restarted

    def _restart(self, client: Client) -> Client:
        """Replace an outdated service by one of the plug-in's version."""
        self._restarted = True
        busy = [job for job in client.jobs() if job["state"] in ("queued", "running")]
        if busy or in_sandbox() or not self._settings.command:
            return client  # its interface is the same; the user decides
        client.close()
        subprocess.run(
            [*self._settings.command, "stop"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=START_TIMEOUT_S,
            env=clean_environment(os.environ),
            check=False,
        )
        return self.connect()


def is_elsewhere() -> bool:
    """Whether the user has chosen a service on another machine with `dip connect`."""
    return connection_file(default_data_dir()).exists()


def destination(client: Client) -> str:
    """A sentence that says which machines get the photograph.

    Raises
    ------
    ClientError
    """
    cluster = client.capabilities()["cluster"]
    if not is_elsewhere():
        return (
            _("The photograph is sent to the machines of the cluster that the service here uses.")
            if cluster
            else _("Nothing leaves this computer.")
        )
    host = urlsplit(client.url).hostname
    if cluster:
        text = _("The photograph is sent to {host} and to the machines of its cluster.")
    else:
        text = _("The photograph is sent to {host}.")
    return text.format(host=host)


def in_sandbox() -> bool:
    """Whether GIMP is a flatpak or a snap, which cannot start programs of this machine."""
    return "FLATPAK_ID" in os.environ or "SNAP" in os.environ or Path("/.flatpak-info").exists()


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without the variables that GIMP sets for itself."""
    return {
        name: value
        for name, value in environment.items()
        if not name.upper().startswith(_NOT_FOR_CHILDREN)
    }


def _detached() -> dict[str, Any]:
    """Arguments of Popen for a process that outlives this one."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _last_lines(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return " ".join(line.strip() for line in lines[-3:]) or _("it printed nothing.")
