"""Fits of several processes within the memory of one machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dip.machine import shared_memory_budget as machine_memory
from dip.machine.shared_memory_budget import MachineMemory

HOLD = """
import sys, time
from pathlib import Path
from dip.machine.shared_memory_budget import MachineMemory
with MachineMemory(Path(sys.argv[1])).taken(60, 1, waiting=lambda: None):
    print("taken", flush=True)
    time.sleep(600)
"""
PID = os.getpid()


class Unwanted(Exception):
    pass


@pytest.fixture
def memory(tmp_path: Path) -> MachineMemory:
    return MachineMemory(tmp_path / "memory")


@pytest.fixture(autouse=True)
def hundred_mb(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with so much memory for fits."""
    monkeypatch.setattr(machine_memory, "free_ram_mb", lambda held_mb: 125)
    monkeypatch.setattr(machine_memory, "LOOK_EVERY_S", 0.02)


def refuse() -> None:
    raise Unwanted


def test_what_another_process_has_is_not_taken_and_free_when_that_is_killed(
    memory: MachineMemory, tmp_path: Path
) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "memory")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "taken\n"
        with memory.taken(40, PID, waiting=refuse):
            pass
        with pytest.raises(Unwanted), memory.taken(41, PID, waiting=refuse):
            pass
    finally:
        other.kill()
        other.wait()
        assert other.stdout is not None
        other.stdout.close()
    with memory.taken(100, PID, waiting=refuse):
        pass


def test_what_needs_more_than_all_works_alone(memory: MachineMemory) -> None:
    large, small = (memory.taken(mb, PID, waiting=refuse) for mb in (500, 1))
    with large, pytest.raises(Unwanted), small:
        pass
    with memory.taken(1, PID, waiting=refuse):
        pass


def test_a_lower_limit_is_obeyed(memory: MachineMemory) -> None:
    with memory.taken(30, PID, waiting=refuse, most_mb=50):
        with pytest.raises(Unwanted), memory.taken(30, PID, waiting=refuse, most_mb=50):
            pass
        with memory.taken(20, PID, waiting=refuse, most_mb=50):
            pass


def test_the_first_to_come_is_the_first_served(memory: MachineMemory) -> None:
    order: list[str] = []

    def work(name: str, needs_mb: float) -> None:
        with memory.taken(needs_mb, PID, waiting=lambda: None):
            order.append(name)

    with memory.taken(60, PID, waiting=refuse):
        large = threading.Thread(target=work, args=("large", 90))
        large.start()
        time.sleep(0.2)
        small = threading.Thread(target=work, args=("small", 10))
        small.start()  # there would be room for it, but the large one must not wait for ever
        time.sleep(0.3)
        assert order == []
    large.join()
    small.join()
    assert order == ["large", "small"]


def test_whoever_gives_up_waiting_lets_the_next_one_to_the_door(memory: MachineMemory) -> None:
    with memory.taken(60, PID, waiting=refuse):
        with pytest.raises(Unwanted), memory.taken(90, PID, waiting=refuse):
            pass
        with memory.taken(10, PID, waiting=refuse):
            pass


def test_what_a_fit_holds_by_now_counts_as_part_of_its_share(
    memory: MachineMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no longer free, and must not be counted twice."""
    monkeypatch.setattr(machine_memory, "free_ram_mb", lambda held_mb: 75 + held_mb)
    assert memory.budget_mb() == 60
    with memory.taken(50, PID, waiting=refuse):  # this process holds more than that
        assert memory.budget_mb() == 100
        with memory.taken(50, PID, waiting=refuse):
            pass


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_somebody_else_put_there_keeps_nobody_waiting(
    memory: MachineMemory, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    if kind == "file":
        (tmp_path / "memory").touch()
    elif os.name == "nt" or os.getuid() != 0:
        pytest.skip("only root gives folders away")
    else:
        (tmp_path / "memory").mkdir()
        os.chown(tmp_path / "memory", 65534, 65534)
    with memory.taken(500, PID, waiting=refuse), memory.taken(500, PID, waiting=refuse):
        pass
    assert "is somebody else's" in caplog.text
