"""Threads that share the cores of a CPU, faster than all cores on one task after the other."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def side_by_side(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that share the cores of this thread evenly, within a context.

    Parameters
    ----------
    count : int
        Number of threads, 1 or more.

    Yields
    ------
    ThreadPoolExecutor
    """
    threads = torch.get_num_threads()
    share = max(1, threads // count)
    try:
        # set_num_threads also sets the default of new threads, and in MKL that of all threads, so
        # the former number is restored afterwards.
        with ThreadPoolExecutor(count, "side", torch.set_num_threads, (share,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)
