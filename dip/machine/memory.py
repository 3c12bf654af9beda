"""Free memory of this machine, within the limits of its containers, and of a GPU."""

from __future__ import annotations

import ctypes
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dip.machine.device import Compute

_limiting = threading.Lock()

FORGOTTEN_S = 10.0
"""Kills for lack of memory are forgotten after this time, or twice as long."""

USABLE_SHARE = 0.8
"""Fraction of the free memory that fits may take."""


def free_memory_mb(compute: Compute) -> float:
    """Free memory for a fit on a device; main memory also within the limits of containers."""
    if compute.device.type == "cuda":
        import torch

        return float(torch.cuda.mem_get_info(compute.device)[0]) / 2**20
    return free_ram_mb()


def free_ram_mb(held_mb: float = 0.0) -> float:
    """Free main memory for this process; found without torch.

    Parameters
    ----------
    held_mb : float
        Memory of other processes that counts as free.
    """
    import psutil

    free = psutil.virtual_memory().available + held_mb * 2**20
    limit = _cgroup_limit()
    if limit is not None:
        free = min(free, limit - psutil.Process().memory_info().rss)
    return max(0.0, free / 2**20)


def _cgroup_limit(root: Path = Path("/")) -> int | None:
    """The memory limit of the containers around this process, in bytes; None without a limit.

    The limits of all groups up to the root apply. Inside a container the path may be that of the
    outside, where only the root exists.

    References
    ----------
    `cgroups(7)`, and memory.max, memory.limit_in_bytes in the kernel's documentation.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    limits = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            top, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            top, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        group = PurePosixPath(path.lstrip("/"))
        for each in (group, *group.parents):
            with suppress(OSError):
                text = (top / each / name).read_text().strip()
                if text.isdigit():  # else "max"
                    limits.append(int(text))
    # Version 1 marks the absence of a limit by the largest possible number of pages.
    return min((limit for limit in limits if limit < 2**60), default=None)


@contextmanager
def limited_growth(growth_bytes: int) -> Iterator[None]:
    """Let this process allocate only so many bytes more; for one thread at a time.

    Above the limit the system refuses memory, and Python raises MemoryError. Linux alone can do
    this without a limit for address space, of which libraries reserve much more than they use;
    elsewhere there is no limit.

    References
    ----------
    RLIMIT_DATA in `getrlimit(2)`, since Linux 4.7.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    import psutil

    with _limiting:
        before, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = psutil.Process().memory_info().data + growth_bytes
        for other in (before, hard):
            limit = limit if other == resource.RLIM_INFINITY else min(limit, other)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


class OutOfMemoryKills:
    """The system's record of processes that it killed for lack of memory.

    The record is of the whole machine, so only the last seconds count: call `mark` often.

    Parameters
    ----------
    root : Path
        The root of the file system.

    References
    ----------
    `oom_kill` in /proc/vmstat, since Linux 4.13; groups with a memory limit count as well. Other
    systems have no such record.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._path = root / "proc/vmstat"
        self._before = self._latest = self._count()
        self._marked = time.monotonic()

    def mark(self) -> None:
        """Forget the kills of a while ago; a process may take seconds from its kill to its end."""
        now = time.monotonic()
        if now - self._marked > FORGOTTEN_S:
            self._before, self._latest, self._marked = self._latest, self._count(), now

    def happened(self) -> bool:
        """Whether the system killed a process lately; False where there is no record."""
        return self._count() > self._before

    def _count(self) -> int:
        try:
            text = self._path.read_text()
        except OSError:
            return 0
        found = re.search(r"^oom_kill ([0-9]+)$", text, re.MULTILINE)
        return int(found[1]) if found else 0


def release_freed_memory() -> None:
    """Return the freed memory of this process to the system.

    `dip.machine.device.environment_for_cpu` makes glibc keep freed memory. Call this after buffers
    of a photo's size are freed, not in each iteration.
    """
    if sys.platform == "linux":
        # Other C libraries lack this function, and keep no large buffers.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
