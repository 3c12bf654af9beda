"""Memory that fits of one machine share which do not know of each other: workers of a cluster.

`dip.batch.worker_pool.MemoryShare` does so within one process. Here each fit that was let go is a
locked file in a folder of this machine: the system unlocks it when its process ends, however it
ends.
Whoever is first in the row holds the door until there is room, so that nobody is overtaken for
ever. What one user's processes see of each other is what has the same folder for temporary files;
containers that have each their own have, as a rule, a limit of memory of their own as well.
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

LOOK_EVERY_S = 0.2

_log = logging.getLogger(__name__)


class MachineMemory:
    """The memory of this machine, for the fits of this user.

    Parameters
    ----------
    folder : Path, optional
        Where they tell each other; made when it is needed.
    """

    def __init__(self, folder: Path | None = None) -> None:
        user = getpass.getuser() if os.name == "nt" else os.getuid()
        self._folder = folder or Path(tempfile.gettempdir()) / f"dip-memory-{user}"

    def budget_mb(self) -> float:
        """What all fits together may take: most of what is free, and of what they hold already."""
        return USABLE_SHARE * free_ram_mb(sum(self._held_mb(*fit) for fit in self._fits()))

    @contextmanager
    def taken(
        self,
        needs_mb: float,
        pid: int,
        *,
        waiting: Callable[[], None],
        most_mb: float | None = None,
    ) -> Iterator[None]:
        """Wait until there is room, and take it; whatever is needed, where nobody else has any.

        Parameters
        ----------
        needs_mb : float
            Predicted peak of the fit's process.
        pid : int
            Of that process.
        waiting : callable
            Called again and again while there is no room; what it raises ends the wait.
        most_mb : float, optional
            What all fits together may take, where that is less than the budget.
        """
        if not self._is_ours():
            yield
            return
        mine = LockFile(self._folder / f"{pid}-{math.ceil(needs_mb)}-{uuid.uuid4().hex}.fit")
        door = LockFile(self._folder / "door")
        while not door.acquire(LOOK_EVERY_S):
            waiting()
        try:
            while not self._has_room(needs_mb, pid, most_mb or math.inf):
                waiting()
                time.sleep(LOOK_EVERY_S)
            mine.acquire()
        finally:
            door.release()
        try:
            yield
        finally:
            mine.path.unlink(missing_ok=True)
            mine.release()

    def _has_room(self, needs_mb: float, pid: int, most_mb: float) -> bool:
        self._forget_the_dead()
        fits = self._fits()
        used_mb = sum(mb for _, mb in fits)
        held_mb = sum(self._held_mb(*fit) for fit in [*fits, (pid, needs_mb)])
        return not fits or used_mb + needs_mb <= min(USABLE_SHARE * free_ram_mb(held_mb), most_mb)

    def _fits(self) -> list[tuple[int, float]]:
        """Process and predicted peak in MB of each fit that was let go."""
        named = [path.name.split("-") for path in self._folder.glob("*.fit")]
        return [(int(pid), float(mb)) for pid, mb, _ in named]

    def _forget_the_dead(self) -> None:
        """Only at the door: nobody can be just about to lock what is unlocked."""
        for path in self._folder.glob("*.fit"):
            lock = LockFile(path)
            if lock.acquire():
                path.unlink(missing_ok=True)
                lock.release()

    def _is_ours(self) -> bool:
        """Make the folder; False where somebody else made it, who could keep everybody waiting."""
        with suppress(FileExistsError):  # it is no folder
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.name == "nt" or self._folder.lstat().st_uid == os.getuid():
                return True
        _log.warning("%s is somebody else's: fits do not wait for memory", self._folder)
        return False

    @staticmethod
    def _held_mb(pid: int, needs_mb: float) -> float:
        """What a fit has of its share already; the rest is free yet."""
        with suppress(psutil.NoSuchProcess):
            return min(needs_mb, psutil.Process(pid).memory_info().rss / 2**20)
        return 0.0
