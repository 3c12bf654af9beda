"""One batch at a time in one output folder.

The operating system's file lock shows whether another batch uses the folder, and is released
however that batch ends. The file also names the process, for error messages and for file systems
whose locks are missing or local to one machine. There the file's modification time decides: a
running batch renews it.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
from pathlib import Path
from typing import Any

from dip.errors import OutputError
from dip.machine.locks import LockFile

NAME = ".batch.lock"
RENEW_S = 10.0
STALE_S = 60.0


class FolderLock:
    """The exclusive right to write into a folder.

    Parameters
    ----------
    folder : Path

    Attributes
    ----------
    stale : str
        Description of an earlier batch that was killed here; empty where there was none.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._lock: LockFile | None = LockFile(self._path)
        self._ended = threading.Event()
        self._renewing: threading.Thread | None = None
        self.stale = ""

    def acquire(self) -> None:
        """Take the lock.

        Raises
        ------
        OutputError
            Another batch holds it, or the folder cannot be written to.
        """
        try:
            if self._lock is not None and not self._lock.acquire():
                raise self._refusal(self._owner())
        except OSError as error:
            if not self._path.parent.is_dir() or not os.access(self._path.parent, os.W_OK):
                raise OutputError(
                    f"{self._path.parent} cannot be written to: {error.strerror}.",
                    "Name another folder for the results.",
                ) from error
            self._lock = None  # a file system without locks
        owner = self._owner()
        if owner is not None:
            if self._may_be_alive(owner):
                self.release(keep=True)
                raise self._refusal(owner)
            self.stale = (
                f"an earlier batch in this folder (process {owner.get('pid')}) was interrupted"
            )
        mine = {"pid": os.getpid(), "host": platform.node(), "began": _began(os.getpid())}
        with contextlib.suppress(OSError):  # the first result reports a full disk
            self._path.write_text(json.dumps(mine), encoding="ascii")
        self._renewing = threading.Thread(target=self._renew, daemon=True)
        self._renewing.start()

    def release(self, *, keep: bool = False) -> None:
        """Release the lock; `keep` leaves the file of its owner as it is."""
        self._ended.set()
        if self._renewing is not None:
            self._renewing.join()
        if not keep:
            with contextlib.suppress(OSError):
                self._path.write_text("", encoding="ascii")
        if self._lock is not None:
            self._lock.release()

    def _owner(self) -> dict[str, Any] | None:
        try:
            found = json.loads(self._path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def _may_be_alive(self, owner: dict[str, Any]) -> bool:
        """Whether the batch that the file names may still be running."""
        if owner.get("host") == platform.node():
            if self._lock is not None or owner.get("pid") == os.getpid():
                return False  # the operating system would have refused its lock
            return _began(owner.get("pid")) == owner.get("began")
        # On another machine: is the file renewed? Both times come from the clock of the disk.
        probe = self._path.with_name(f"{NAME}.{os.getpid()}")
        probe.touch()
        try:
            age_s = probe.stat().st_mtime - self._path.stat().st_mtime
        finally:
            probe.unlink()
        return age_s < STALE_S

    def _refusal(self, owner: dict[str, Any] | None) -> OutputError:
        process = f" (process {owner['pid']} on {owner['host']})" if owner else ""
        return OutputError(
            f"Another batch{process} is writing to {self._path.parent}.",
            f"Wait for its end, or name another folder. If it has ended, delete {self._path}.",
        )

    def _renew(self) -> None:
        while not self._ended.wait(RENEW_S):
            with contextlib.suppress(OSError):
                os.utime(self._path)


def _began(pid: Any) -> float | None:
    """Start time of a process on this machine, or None: process numbers are reused."""
    import psutil

    try:
        return round(psutil.Process(pid).create_time(), 2)
    except (psutil.Error, ValueError, TypeError):
        return None
