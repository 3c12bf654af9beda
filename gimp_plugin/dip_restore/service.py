"""Finds the restoration service of this user, or starts it. No GIMP in here.

A service that answers has to prove that it is this user's, and has to be of the version that this
plug-in was installed from; one that is not is left alone, and another one is started.
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
from collections.abc import Callable, Mapping
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

SETTINGS_FILE = "settings.json"
START_TIMEOUT_S = 40.0
_PORT_TAKEN = 9  # the exit status of a service that cannot start
_OTHER_ONE_STARTS = 10
_LOOK_EVERY_S = 0.1
_RETRY_TIMEOUT_S = 2.0

_started: list[subprocess.Popen[bytes]] = []
"""Those that outlive this process; kept, for Python warns of any that is forgotten."""

_NOT_FOR_CHILDREN = (
    "LD_", "DYLD_", "PYTHON", "GI_", "GIO_", "GTK", "GDK_", "GEGL", "BABL", "GIMP", "XDG_DATA_DIRS",
)  # fmt: skip
"""GIMP's own libraries and Python; a program of another origin breaks with them."""


@dataclass(frozen=True)
class Settings:
    """What the installer wrote beside the plug-in.

    Parameters
    ----------
    command : tuple of str
        What starts `dip`; empty where it is not known.
    version : str
        Of the project that the plug-in came with; empty where it is not known.
    """

    command: tuple[str, ...] = ()
    version: str = ""

    @classmethod
    def beside(cls, folder: Path) -> Settings:
        """As they were installed; a `dip` on the search path will do where they say nothing."""
        try:
            found = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = {}
        command = tuple(found.get("command") or ())
        if not command and (on_path := shutil.which("dip")):
            command = (on_path,)
        return cls(command=command, version=found.get("version", ""))

    @property
    def in_words(self) -> str:
        """What a user types to start the service."""
        return shlex.join((*(self.command or ("dip",)), "serve"))


class CannotStart(ClientError):
    """The service does not run, and this process cannot start it: the user can."""

    def __init__(self, why: str, command: str) -> None:
        super().__init__("cannot_start", why, f"Run this in a terminal: {command}")
        self.command = command


class Service:
    """The service, wherever it is.

    Parameters
    ----------
    settings : Settings
    say : callable
        Told what takes a while, in a few words.
    """

    def __init__(self, settings: Settings, say: Callable[[str], None] = lambda text: None) -> None:
        self._settings = settings
        self._say = say
        self._restarted = False
        self._version = ""
        self._one_at_a_time = threading.RLock()

    def connect(self) -> Client:
        """A client of a service that has proven itself, started if need be.

        Raises
        ------
        CannotStart
            Nobody but the user can start it.
        ClientError
            It was started and does not work.
        """
        with self._one_at_a_time:
            try:
                client = self.running()
            except (Unreachable, UntrustedServer) as error:
                if is_elsewhere():
                    raise  # it is not this user's to start
                client = self._start(error)
            if self._is_outdated() and not is_elsewhere():
                client = self._restart(client)
            return client

    def running(self) -> Client:
        """A client of the service that runs already.

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

    def _start(self, because: ClientError) -> Client:
        command = self._settings.command
        if in_sandbox():
            raise CannotStart(
                "GIMP runs in a sandbox and cannot start the restoration service.",
                self._settings.in_words,
            ) from because
        if not command or shutil.which(command[0]) is None:
            where = f"{command[0]} is not there any more" if command else "it is not known where"
            raise CannotStart(
                f"The restoration service does not run, and {where}: install it again.",
                self._settings.in_words,
            ) from because
        self._say("Starting the restoration service…")
        for port in ((), ("--port", "0")):
            status, log = self._launch([*command, "serve", *port])
            if status is None or status == _OTHER_ONE_STARTS:
                return self._await()
            if status != _PORT_TAKEN:
                break
        raise ClientError(
            "cannot_start",
            f"The restoration service ended at once (status {status}): {_last_words(log)}",
            f"Run it in a terminal to see more: {self._settings.in_words}",
        )

    def _launch(self, command: list[str]) -> tuple[int | None, Path]:
        """Start a process; its exit status, or None once it serves."""
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
            time.sleep(_LOOK_EVERY_S)
        process.kill()
        process.wait()
        raise ClientError(
            "cannot_start",
            f"The restoration service did not get ready within {START_TIMEOUT_S:.0f} s.",
            f"Run it in a terminal to see why: {self._settings.in_words}",
        )

    def _await(self) -> Client:
        ends = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                return self.running()
            except (Unreachable, UntrustedServer):
                if time.monotonic() > ends:
                    raise
            time.sleep(_LOOK_EVERY_S)

    def _is_outdated(self) -> bool:
        """Whether it was started before the plug-in was updated. Asked once: where restarting
        changes nothing, both speak the same version of the interface all the same."""
        wanted = self._settings.version
        return bool(wanted) and self._version != wanted and not self._restarted

    def _restart(self, client: Client) -> Client:
        """End an outdated service and start the one that belongs to this plug-in."""
        self._restarted = True
        busy = [job for job in client.jobs() if job["state"] in ("queued", "running")]
        if busy or in_sandbox() or not self._settings.command:
            return client  # the interface is the same; it is the user's to decide
        client.close()
        self._say(f"Replacing version {self._version} of the restoration service…")
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
    """Whether the user chose a service on another machine, with `dip connect`."""
    return connection_file(default_data_dir()).exists()


def where_photos_go(client: Client) -> str:
    """Who gets the pixels, in a sentence.

    Raises
    ------
    ClientError
    """
    cluster = client.capabilities().get("cluster", False)  # services of before do not say
    if not is_elsewhere():
        return (
            "The photograph goes to machines of the cluster that the service here uses."
            if cluster
            else "Nothing leaves this computer."
        )
    host = urlsplit(client.url).hostname
    return f"The photograph goes to {host}" + (
        ", and to machines of its cluster." if cluster else "."
    )


def in_sandbox() -> bool:
    """Whether GIMP came as a flatpak or a snap: it cannot start programs of this machine then."""
    return "FLATPAK_ID" in os.environ or "SNAP" in os.environ or Path("/.flatpak-info").exists()


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what GIMP set up for itself."""
    return {
        name: value
        for name, value in environment.items()
        if not name.upper().startswith(_NOT_FOR_CHILDREN)
    }


def _detached() -> dict[str, Any]:
    """How a process is started that outlives this one."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return " ".join(line.strip() for line in lines[-3:]) or "it said nothing."
