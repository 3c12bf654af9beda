"""Iterators that are worked through side by side."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import torch

from dip.machine.threads import interleave


@pytest.mark.parametrize("count", [1, 2, 5])
def test_all_items_and_ends_arrive_in_the_order_of_each_task(count: int) -> None:
    tasks = [lambda number=number: iter(range(number)) for number in range(4)]
    arrived = list(interleave(tasks, count))
    for number in range(4):
        own = [item for task, item in arrived if task == number]
        assert own == [*range(number), None]


def test_tasks_work_at_the_same_time_with_a_share_of_the_cores() -> None:
    meeting = threading.Barrier(2, timeout=60)
    before = torch.get_num_threads()

    def task() -> Iterator[int]:
        meeting.wait()  # with one thread after the other, nobody comes
        yield torch.get_num_threads()

    shares = [item for _, item in interleave([task, task], 2) if item is not None]
    assert shares == [max(1, before // 2)] * 2
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_of_a_task_is_raised(count: int) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ArithmeticError("broken")

    with pytest.raises(ArithmeticError, match="broken"):
        list(interleave([broken], count))


def test_who_stops_taking_items_stops_the_tasks() -> None:
    begun = []

    def endless() -> Iterator[int]:
        begun.append(1)
        while True:
            yield 1

    items = interleave([endless] * 10, 2)
    next(items)
    items.close()  # returns, although the tasks have no end
    assert len(begun) <= 3


def test_nothing_runs_far_ahead_of_a_caller_that_pauses() -> None:
    made = [0] * 4

    def endless(number: int) -> Iterator[int]:
        while True:
            made[number] += 1
            yield made[number]

    items = interleave([lambda number=number: endless(number) for number in range(4)], 2)
    next(items)
    deadline = time.monotonic() + 20
    before = None
    while made != before and time.monotonic() < deadline:
        before = list(made)
        time.sleep(0.2)
    assert made == before
    assert 0 < max(made) <= 10
    assert made[2:] == [0, 0]
    for _ in range(100):  # and it goes on
        next(items)
    assert max(made) > 40
    items.close()


def test_a_program_that_holds_a_paused_iterator_ends() -> None:
    code = """
from dip.machine.threads import interleave
import itertools
items = interleave([itertools.count, itertools.count], 2)
print(next(items)[1])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "0\n"
