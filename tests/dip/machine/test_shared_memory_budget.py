"""Fits of several processes within the memory of one machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dip.machine import shared_memory_budget
from dip.machine.shared_memory_budget import SharedMemoryBudget

HOLD = """
import sys, time
from pathlib import Path
from dip.machine.shared_memory_budget import SharedMemoryBudget
with SharedMemoryBudget(Path(sys.argv[1])).reserve(60, 1, on_wait=lambda: None):
    print("taken", flush=True)
    time.sleep(600)
"""
PID = os.getpid()


class Unwanted(Exception):
    pass


@pytest.fixture
def memory(tmp_path: Path) -> SharedMemoryBudget:
    return SharedMemoryBudget(tmp_path / "memory")


@pytest.fixture(autouse=True)
def hundred_mb(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 100 MB for fits."""
    monkeypatch.setattr(shared_memory_budget, "free_ram_mb", lambda held_mb: 125)
    monkeypatch.setattr(shared_memory_budget, "POLL_S", 0.02)


def refuse() -> None:
    raise Unwanted


def test_a_reservation_of_another_process_lasts_until_it_is_killed(
    memory: SharedMemoryBudget, tmp_path: Path
) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "memory")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "taken\n"
        with memory.reserve(40, PID, on_wait=refuse):
            pass
        with pytest.raises(Unwanted), memory.reserve(41, PID, on_wait=refuse):
            pass
    finally:
        other.kill()
        other.wait()
        assert other.stdout is not None
        other.stdout.close()
    with memory.reserve(100, PID, on_wait=refuse):
        pass


def test_a_fit_that_needs_more_than_the_budget_runs_alone(memory: SharedMemoryBudget) -> None:
    large, small = (memory.reserve(mb, PID, on_wait=refuse) for mb in (500, 1))
    with large, pytest.raises(Unwanted), small:
        pass
    with memory.reserve(1, PID, on_wait=refuse):
        pass


def test_a_lower_limit_applies(memory: SharedMemoryBudget) -> None:
    with memory.reserve(30, PID, on_wait=refuse, limit_mb=50):
        with pytest.raises(Unwanted), memory.reserve(30, PID, on_wait=refuse, limit_mb=50):
            pass
        with memory.reserve(20, PID, on_wait=refuse, limit_mb=50):
            pass


def test_waiting_fits_are_served_in_order(memory: SharedMemoryBudget) -> None:
    order: list[str] = []

    def work(name: str, needs_mb: float) -> None:
        with memory.reserve(needs_mb, PID, on_wait=lambda: None):
            order.append(name)

    with memory.reserve(60, PID, on_wait=refuse):
        large = threading.Thread(target=work, args=("large", 90))
        large.start()
        time.sleep(1)
        small = threading.Thread(target=work, args=("small", 10))
        small.start()  # there would be room for it, but the large one must not wait for ever
        time.sleep(0.3)
        assert order == []
    large.join()
    small.join()
    assert order == ["large", "small"]


def test_giving_up_the_wait_releases_the_queue_lock(memory: SharedMemoryBudget) -> None:
    with memory.reserve(60, PID, on_wait=refuse):
        with pytest.raises(Unwanted), memory.reserve(90, PID, on_wait=refuse):
            pass
        with memory.reserve(10, PID, on_wait=refuse):
            pass


def test_memory_in_use_counts_as_part_of_its_reservation(
    memory: SharedMemoryBudget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no longer free, and must not be counted twice."""
    monkeypatch.setattr(shared_memory_budget, "free_ram_mb", lambda held_mb: 75 + held_mb)
    assert memory.budget_mb() == 60
    with memory.reserve(50, PID, on_wait=refuse):  # this process holds more than that
        assert memory.budget_mb() == 100
        with memory.reserve(50, PID, on_wait=refuse):
            pass


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_folder_of_another_user_blocks_no_fit(
    memory: SharedMemoryBudget, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    if kind == "file":
        (tmp_path / "memory").touch()
    elif os.name == "nt" or os.getuid() != 0:
        pytest.skip("only root gives folders away")
    else:
        (tmp_path / "memory").mkdir()
        os.chown(tmp_path / "memory", 65534, 65534)
    with memory.reserve(500, PID, on_wait=refuse), memory.reserve(500, PID, on_wait=refuse):
        pass
    assert "belongs to another user" in caplog.text
