"""Work side by side on a CPU: a few cores for each piece, where all for one would be slower."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def side_by_side(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that share this one's cores evenly, for as long as the context lasts.

    Parameters
    ----------
    count : int
        Of threads, 1 or more.

    Yields
    ------
    ThreadPoolExecutor
    """
    threads = torch.get_num_threads()
    share = max(1, threads // count)
    try:
        # How many a thread uses is its own, but also what new threads begin with and, in MKL,
        # what all use: so it is set again afterwards.
        with ThreadPoolExecutor(count, "side", torch.set_num_threads, (share,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)
