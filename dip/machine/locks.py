"""File locks, which the system releases when their process ends."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import IO


class LockFile:
    """An exclusive lock on a file.

    Parameters
    ----------
    path : Path
        Created if missing, and never deleted, since other processes may wait for it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None

    def acquire(self, timeout_s: float = 0.0) -> bool:
        """Take the lock; False if another process holds it for the whole time."""
        file = self.path.open("ab")
        ends = time.monotonic() + timeout_s
        while not _try_lock(file):
            if time.monotonic() >= ends:
                file.close()
                return False
            time.sleep(0.05)
        self._file = file
        return True

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


if os.name == "nt":
    import msvcrt

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
