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

_AHEAD = 8
"""Most items of one iterator that `interleave` holds until they are taken."""


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

    Each iterator is at most a few items ahead of the caller: while the caller takes none, the
    threads have nothing to do.

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
    iterators: dict[int, Iterator[Item]] = {}
    unread = [0] * len(tasks)
    paused: set[int] = set()
    lock, ended = threading.Lock(), threading.Event()

    def must_pause(number: int) -> bool:
        with lock:
            unread[number] += 1
            if unread[number] < _AHEAD:
                return False
            paused.add(number)
            return True

    def is_to_resume(number: int) -> bool:
        with lock:
            unread[number] -= 1
            if number not in paused or unread[number] > _AHEAD // 2:
                return False
            paused.remove(number)
            return True

    def work(number: int) -> None:
        # A thread does not wait for the caller, but returns: a program that ends joins all threads.
        try:
            if number not in iterators:
                iterators[number] = iter(tasks[number]())
            for item in iterators[number]:
                if ended.is_set():
                    return
                arrived.put((number, item, None))
                if must_pause(number):
                    return
            arrived.put((number, None, None))
        except BaseException as error:
            arrived.put((number, None, error))

    with side_by_side(count) as pool:
        try:
            for number in range(min(count, len(tasks))):
                pool.submit(work, number)
            begun, left = min(count, len(tasks)), len(tasks)
            while left:
                number, item, error = arrived.get()
                if error is not None:
                    raise error
                if item is None:
                    left -= 1
                    iterators.pop(number)
                    if begun < len(tasks):
                        pool.submit(work, begun)
                        begun += 1
                elif is_to_resume(number):
                    pool.submit(work, number)
                yield number, item
        finally:
            ended.set()
            pool.shutdown(wait=True, cancel_futures=True)
