"""At most one service for each data folder: lock the folder, announce the address, stop.

The lock shows whether a service runs, even after a crash. The announcement is for clients.
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
    """Lock the data folder.

    Raises
    ------
    AlreadyRunning, ServiceFailure
    """
    lock = LockFile(settings.data_dir / "lock")
    try:
        acquired = lock.acquire()
    except OSError as error:
        raise ServiceFailure(
            f"{settings.data_dir} cannot be used: {error.strerror} ({error.filename}).",
            "Correct the permissions, or choose another folder with --data-dir.",
        ) from error
    if not acquired:
        running = _announcement(settings)
        url = running.get("url", "an address that is not announced yet")
        raise AlreadyRunning(
            f"A service already uses {settings.data_dir}: at {url}, pid {running.get('pid', '?')}.",
            "Use that service, stop it with `dip stop`, or choose another folder with --data-dir.",
        )
    try:
        yield
    finally:
        lock.release()


@contextmanager
def announced(settings: ServerSettings, url: str) -> Iterator[None]:
    """Write the address of the service to a file for clients."""
    from server.client import fingerprint_of  # not at the top: `dip --help` needs no requests

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
    """Stop the service that uses a data folder; False where none runs.

    Raises
    ------
    ServiceFailure
        The service does not stop.
    """
    lock = LockFile(settings.data_dir / "lock")
    if not settings.data_dir.is_dir() or lock.acquire():
        lock.release()
        return False
    running = _announcement(settings)
    if "pid" not in running:
        raise ServiceFailure("The service is starting or stopping.", "Try again in a few seconds.")
    os.kill(running["pid"], signal.SIGTERM)
    if not lock.acquire(_STOP_TIMEOUT_S):
        raise ServiceFailure(
            f"The service (pid {running['pid']}) does not stop.",
            f"kill -9 {running['pid']} stops it; accepted jobs are kept.",
        )
    lock.release()
    return True


def _announcement(settings: ServerSettings) -> dict[str, Any]:
    try:
        announced: dict[str, Any] = json.loads(settings.announcement_file.read_text())
    except (OSError, ValueError):
        return {}
    return announced
