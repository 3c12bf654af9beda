"""Processes in parallel, within the memory of one machine."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dip.batch import worker_pool as local
from dip.batch.worker_pool import MemoryShare, Stopped, WorkerPool
from dip.machine.device import find_gpus

SETTINGS: dict[str, Any] = {
    "network": "unet",
    "preset": "fast",
    "iterations": 2,
    "seed": 0,
    "device": "cpu",
    "threads": None,
    "max_memory_mb": None,
}


def test_memory_is_shared_and_the_first_to_come_is_the_first_served() -> None:
    share = MemoryShare(100)
    stopping = threading.Event()
    assert share.acquire(60, stopping) == 60
    order: list[str] = []

    def work(name: str, needs_mb: float) -> None:
        taken = share.acquire(needs_mb, stopping)
        order.append(name)
        share.release(taken)

    large = threading.Thread(target=work, args=("large", 90))
    large.start()
    time.sleep(1)
    small = threading.Thread(target=work, args=("small", 10))
    small.start()  # it would fit at once, but then the large one could wait for ever
    time.sleep(0.3)
    assert order == []
    share.release(60)
    large.join()
    small.join()
    assert order == ["large", "small"]


def test_a_fit_that_needs_more_than_the_budget_runs_alone() -> None:
    share = MemoryShare(100)
    assert share.acquire(500, threading.Event()) == 500
    assert not share.has_room(1)
    share.release(500)
    assert share.has_room(1)


def test_waiting_for_memory_ends_with_the_batch() -> None:
    share = MemoryShare(100)
    stopping = threading.Event()
    share.acquire(100, stopping)
    threading.Timer(0.2, stopping.set).start()
    with pytest.raises(Stopped):
        share.acquire(10, stopping)


@pytest.mark.parametrize(
    ("cores", "threads", "memory_mb", "size"),
    [
        (4, None, 100_000, 4),  # one thread each: small fits gain nothing from a second one
        (4, 2, 100_000, 2),
        (4, 8, 100_000, 1),
        (16, None, 3000, 4),  # a process takes some memory before it fits anything
        (16, None, 100, 1),
    ],
)
def test_the_number_of_processes_follows_cores_threads_and_memory(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: int | None, memory_mb: int, size: int
) -> None:
    monkeypatch.setattr(local, "cores", lambda: cores)
    settings = {**SETTINGS, "threads": threads, "max_memory_mb": memory_mb}
    pool = WorkerPool(None, settings)
    assert pool.size == size
    assert pool.settings["threads"] == (threads or 1)
    assert WorkerPool(7, settings).size == 7


def test_every_fit_has_the_same_memory_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the tiles of a large photo would depend on the memory that is free."""
    monkeypatch.setattr(local, "free_ram_mb", lambda: 10_000.0)
    assert WorkerPool(1, SETTINGS).settings["max_memory_mb"] == 8000
    assert WorkerPool(5, SETTINGS).settings["max_memory_mb"] == 8000


def test_each_gpu_has_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "find_gpus", lambda: ["0", "3"])
    pool = WorkerPool(None, {**SETTINGS, "device": "auto"})
    assert pool.size == 2
    assert pool.on_gpu
    assert [each["CUDA_VISIBLE_DEVICES"] for each in pool._environments] == ["0", "3"]
    # The memory of the machine says nothing about that of a GPU.
    assert pool.settings["max_memory_mb"] is None
    assert WorkerPool(None, {**SETTINGS, "device": "cpu"}).on_gpu is False


@pytest.mark.gpu
def test_the_gpus_of_this_machine_are_found() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    assert len(find_gpus()) == torch.cuda.device_count() > 0


def test_a_file_that_crashes_the_reader_costs_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'dip.batch.fit_worker' in sys.orig_argv:\n"
        "    import os, signal\n"
        "    from dip import image_io\n"
        "    read = image_io.read_header\n"
        "    def crash(path, *rest):\n"
        "        if path.name == '7.png': os.kill(os.getpid(), signal.SIGSEGV)\n"
        "        return read(path, *rest)\n"
        "    image_io.read_header = crash\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    pool = WorkerPool(1, SETTINGS)
    try:
        found = pool.read_headers([str(tmp_path / f"{number}.png") for number in range(10)])
    finally:
        pool.close()
    messages = [each["error"]["message"] for each in found.values()]
    assert len(messages) == 10
    assert [number for number, text in enumerate(messages) if "SIGSEGV" in text] == [7]
    assert sum("No such file" in text for text in messages) == 9
