"""Free memory: of this machine, within the limits of its containers, and of a GPU."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dip.machine.device import Compute

USABLE_SHARE = 0.8
"""Share of the free memory that fits may take."""


def free_memory_mb(compute: Compute) -> float:
    """Memory that a fit may take: free on the device, and not above the process's own limit."""
    if compute.device.type == "cuda":
        import torch

        return float(torch.cuda.mem_get_info(compute.device)[0]) / 2**20
    return free_ram_mb()


def free_ram_mb(held_mb: float = 0.0) -> float:
    """Main memory that this process may still take; found without torch.

    Parameters
    ----------
    held_mb : float
        What other processes hold, to be counted as free.
    """
    import psutil

    free = psutil.virtual_memory().available + held_mb * 2**20
    limit = _cgroup_limit()
    if limit is not None:
        free = min(free, limit - psutil.Process().memory_info().rss)
    return max(0.0, free / 2**20)


def _cgroup_limit(root: Path = Path("/")) -> int | None:
    """Bytes that the containers around this process grant; the system's own figure shows none.

    A limit of any group on the way up to the root holds. Inside of a container the path may be
    that of the outside, of which only the root is there.

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
    # Version 1 says that there is no limit by the largest number of pages there is.
    return min((limit for limit in limits if limit < 2**60), default=None)


def release_freed_memory() -> None:
    """Give back to the system what this process has freed, which glibc keeps as set up above.

    To be called once what was as large as a photo is no longer needed, not in each iteration.
    """
    if sys.platform == "linux":
        # Other C libraries lack the function, and keep no large buffers.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
