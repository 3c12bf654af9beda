"""The one service that has a data folder: it holds the folder, says in it where it is, and ends.

A lock tells whether there is one, however the last one ended; the announcement is for clients.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dip import __version__
from dip.machine.locks import LockFile
from server.errors import AlreadyRunning, ServiceFailure
from server.settings import ServerSettings

_STOP_TIMEOUT_S = 20.0


@contextmanager
def held(settings: ServerSettings) -> Iterator[None]:
    """Hold the data folder."""
    lock = LockFile(settings.data_dir / "lock")
    try:
        ours = lock.acquire()
    except OSError as error:
        raise ServiceFailure(
            f"{settings.data_dir} cannot be used: {error.strerror} ({error.filename}).",
            "Mend that, or choose another folder with --data-dir.",
        ) from error
    if not ours:
        there = _announcement(settings)
        where = there.get("url", "an address that it has not announced yet")
        raise AlreadyRunning(
            f"A service has {settings.data_dir} already: at {where}, pid {there.get('pid', '?')}.",
            "Use that one, end it with `dip stop`, or choose another folder with --data-dir.",
        )
    try:
        yield
    finally:
        lock.release()


@contextmanager
def announced(settings: ServerSettings, url: str) -> Iterator[None]:
    """Leave a note with the address, for clients to find."""
    from server.client import fingerprint_of  # here: `dip --help` need not import requests

    path = settings.announcement_file
    beside = path.with_suffix(".part")
    beside.write_text(
        json.dumps(
            {
                "service": "dip-restore",
                "url": url,
                "pid": os.getpid(),
                "version": __version__,
                "token_file": str(settings.token_file),
                "fingerprint": settings.certificate and fingerprint_of(settings.certificate),
                "started": time.time(),
            }
        )
    )
    beside.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def stop(settings: ServerSettings) -> bool:
    """End the service that has a data folder; False where there is none.

    Raises
    ------
    ServiceFailure
        It does not end.
    """
    lock = LockFile(settings.data_dir / "lock")
    if not settings.data_dir.is_dir() or lock.acquire():
        lock.release()
        return False
    there = _announcement(settings)
    if "pid" not in there:
        raise ServiceFailure(
            "The service is just starting or ending.", "Try again in a few seconds."
        )
    os.kill(there["pid"], signal.SIGTERM)
    if not lock.acquire(_STOP_TIMEOUT_S):
        raise ServiceFailure(
            f"The service (pid {there['pid']}) does not end.",
            f"kill -9 {there['pid']} ends it; accepted jobs are kept.",
        )
    lock.release()
    return True


def _announcement(settings: ServerSettings) -> dict[str, Any]:
    try:
        there: dict[str, Any] = json.loads(settings.announcement_file.read_text())
    except (OSError, ValueError):
        return {}
    return there
