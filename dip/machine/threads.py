"""Threads that share the cores of a CPU, faster than all cores on one task after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TypeVar

import torch

Item = TypeVar("Item")


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


def interleave(
    tasks: Sequence[Callable[[], Iterable[Item]]], count: int
) -> Iterator[tuple[int, Item | None]]:
    """Work through iterators in threads, a few at a time, and yield their items as they come.

    Parameters
    ----------
    tasks : sequence of callable
        Each makes an iterator, in the thread that works through it; they begin in this order.
    count : int
        Threads at a time; with one, all work is done in this thread.

    Yields
    ------
    tuple
        The number of the task, and its item; None at its end. An error of a task is raised here.
    """
    if count == 1:
        for number, task in enumerate(tasks):
            for each in task():
                yield number, each
            yield number, None
        return
    arrived: SimpleQueue[tuple[int, Item | None, BaseException | None]] = SimpleQueue()
    ended = threading.Event()

    def work(number: int) -> None:
        try:
            for item in tasks[number]():
                if ended.is_set():
                    return
                arrived.put((number, item, None))
            arrived.put((number, None, None))
        except BaseException as error:
            arrived.put((number, None, error))

    with side_by_side(count) as pool:
        for number in range(len(tasks)):
            pool.submit(work, number)
        left = len(tasks)
        try:
            while left:
                number, item, error = arrived.get()
                if error is not None:
                    raise error
                left -= item is None
                yield number, item
        finally:
            ended.set()
            pool.shutdown(wait=True, cancel_futures=True)
