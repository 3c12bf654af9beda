"""Free memory of this machine, within the limits of its containers, and of a GPU."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dip.machine.device import Compute

_limiting = threading.Lock()

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
