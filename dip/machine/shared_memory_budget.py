"""A memory budget that independent processes of one machine share, such as workers of a cluster.

`dip.batch.worker_pool.MemoryShare` does the same within one process. Here each running fit is a
locked file in a folder of this machine. The system unlocks the file when its process ends, for
any reason. The first process in the queue holds the queue lock until there is memory for it, so a
large fit is not overtaken for ever. Processes share the budget if they belong to one user and have
the same folder for temporary files. Containers with separate folders usually have memory limits of
their own.
"""

from __future__ import annotations

import getpass
import logging
import math
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from dip.machine.locks import LockFile
from dip.machine.memory import USABLE_SHARE, free_ram_mb

POLL_S = 0.2

_log = logging.getLogger(__name__)


class SharedMemoryBudget:
    """The memory of this machine, for the fits of this user.

    Parameters
    ----------
    folder : Path, optional
        Holds one locked file per running fit; made when it is needed.
    """

    def __init__(self, folder: Path | None = None) -> None:
        user = getpass.getuser() if os.name == "nt" else os.getuid()
        self._folder = folder or Path(tempfile.gettempdir()) / f"dip-memory-{user}"

    def budget_mb(self) -> float:
        """Memory for all fits together: most of the free memory and of the memory that fits use."""
        return USABLE_SHARE * free_ram_mb(sum(self._held_mb(*fit) for fit in self._fits()))

    @contextmanager
    def reserve(
        self,
        needs_mb: float,
        pid: int,
        *,
        on_wait: Callable[[], None],
        limit_mb: float | None = None,
    ) -> Iterator[None]:
        """Wait until there is memory for a fit, and reserve it; a fit alone always gets it.

        Parameters
        ----------
        needs_mb : float
            Predicted peak of the fit's process.
        pid : int
            The fit's process.
        on_wait : callable
            Called at intervals while there is no memory; an exception from it ends the wait.
        limit_mb : float, optional
            Upper limit for all fits together, where it is below the budget.
        """
        if not self._owns_folder():
            yield
            return
        reservation = LockFile(self._folder / f"{pid}-{math.ceil(needs_mb)}-{uuid.uuid4().hex}.fit")
        queue_lock = LockFile(self._folder / "queue.lock")
        while not queue_lock.acquire(POLL_S):
            on_wait()
        try:
            while not self._has_room(needs_mb, pid, limit_mb or math.inf):
                on_wait()
                time.sleep(POLL_S)
            reservation.acquire()
        finally:
            queue_lock.release()
        try:
            yield
        finally:
            reservation.path.unlink(missing_ok=True)
            reservation.release()

    def _has_room(self, needs_mb: float, pid: int, limit_mb: float) -> bool:
        self._remove_stale()
        fits = self._fits()
        used_mb = sum(mb for _, mb in fits)
        held_mb = sum(self._held_mb(*fit) for fit in [*fits, (pid, needs_mb)])
        return not fits or used_mb + needs_mb <= min(USABLE_SHARE * free_ram_mb(held_mb), limit_mb)

    def _fits(self) -> list[tuple[int, float]]:
        """Process and predicted peak in MB of each running fit."""
        named = [path.name.split("-") for path in self._folder.glob("*.fit")]
        return [(int(pid), float(mb)) for pid, mb, _ in named]

    def _remove_stale(self) -> None:
        """Remove the files of processes that ended.

        Call it only with the queue lock held: otherwise a new file could be removed before its
        process locks it.
        """
        for path in self._folder.glob("*.fit"):
            lock = LockFile(path)
            if lock.acquire():
                path.unlink(missing_ok=True)
                lock.release()

    def _owns_folder(self) -> bool:
        """Make the folder; False where another user made it, who could block every fit."""
        with suppress(FileExistsError):  # it is no folder
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.name == "nt" or self._folder.lstat().st_uid == os.getuid():
                return True
        _log.warning("%s belongs to another user: fits do not wait for memory", self._folder)
        return False

    @staticmethod
    def _held_mb(pid: int, needs_mb: float) -> float:
        """Memory that a fit uses already, at most its reservation."""
        with suppress(psutil.NoSuchProcess):
            return min(needs_mb, psutil.Process(pid).memory_info().rss / 2**20)
        return 0.0
