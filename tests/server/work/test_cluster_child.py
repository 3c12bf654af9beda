"""The process beside a Dask worker, asked directly: no cluster in here."""

from __future__ import annotations

import hashlib
import json
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dip.config import Settings
from dip.machine.child_process import ChildProcess
from dip.machine.shared_memory_budget import SharedMemoryBudget
from server.jobs.job import Attempt
from server.jobs.parameters import JobParameters
from server.work import cluster_task
from server.work.cluster_attempt import _fellows
from server.work.cluster_task import PendingEvents, TaskRequest


@pytest.fixture(scope="module")
def child() -> Iterator[ChildProcess]:
    child = ChildProcess("server.work.cluster_child")
    yield child
    child.close()


@pytest.fixture
def folder(tmp_path: Path, image_file: bytes, mask_file: bytes) -> Path:
    """Of one job."""
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "image").write_bytes(image_file)
    (folder / "mask").write_bytes(mask_file)
    return folder


def ask(child: ChildProcess, folder: Path, iterations: int, stop_at: int | None = None) -> None:
    settings = Settings(preset="fast", iterations=iterations, device="cpu", threads=1)
    child.send(
        {
            "do": "work",
            "id": folder.name,
            "attempt": 7,
            "parameters": JobParameters(settings=settings, has_mask=True).as_json(),
            "stop_at": stop_at,
            "folder": str(folder.parent),
            "max_pixels": 10**6,
        }
    )


def hear(child: ChildProcess) -> Iterator[dict[str, Any]]:
    """What it says until the job has ended."""
    while True:
        frame = child.receive(120)
        assert frame is not None
        if "ended" in frame.content:
            return
        if "needs_mb" in frame.content:
            assert frame.content["device"].startswith("cpu")
            child.send({"go": True})
            continue
        yield frame.content


def test_what_was_asked_for_goes_along(tmp_path: Path) -> None:
    settings = Settings(texture=0.25, iterations=3, seed=7, threads=2, max_memory_mb=500)
    attempt = Attempt(id="job", attempt=1, parameters=JobParameters(settings=settings))
    order = TaskRequest(
        job=attempt, stop_at=None, image=b"", mask=None, max_pixels=9, fellows={}, versions={}
    )
    sent = pickle.loads(pickle.dumps(order))
    asked = json.loads(json.dumps(cluster_task._wish(sent, tmp_path, threads=1)))
    there = JobParameters.from_json(asked["parameters"]).settings
    assert there == settings


@pytest.mark.slow
def test_it_tells_what_a_worker_would_tell_the_store(child: ChildProcess, folder: Path) -> None:
    ask(child, folder, iterations=3)
    said = list(hear(child))
    last = [each["progress"] for each in said if "progress" in each][-1]
    assert (last["steps"], last["data"]["attempt"]) == (3, 7)
    (preview,) = [each["preview"] for each in said if "preview" in each][-1:]
    assert (folder / preview["file"]).read_bytes()[:2] == b"\xff\xd8"
    (result,) = said[-1]["done"]["results"]
    data = (folder / result["file"]).read_bytes()
    assert result["sha256"] == hashlib.sha256(data).hexdigest()


@pytest.mark.slow
def test_a_job_waits_for_memory_that_another_fit_on_the_machine_has(
    child: ChildProcess, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    memory = SharedMemoryBudget(tmp_path / "memory")
    monkeypatch.setattr(cluster_task, "memory", memory)
    outbox = PendingEvents(child, folder.name, folder)
    ask(child, folder, iterations=3)
    came: list[dict[str, Any]] = []
    listening = threading.Thread(
        target=lambda: came.append(cluster_task._listen(child, outbox, lambda: False))
    )
    with memory.reserve(1e9, 1, on_wait=lambda: None):
        listening.start()
        listening.join(5)
        assert listening.is_alive()
        assert not any("progress" in each and each["progress"]["steps"] for each in outbox.empty())
    listening.join(60)
    assert came[0]["done"]["results"][0]["iterations"] == 3
    assert list((tmp_path / "memory").glob("*.fit")) == []


@pytest.mark.slow
def test_it_finishes_with_the_best_so_far_when_told_now_or_before(
    child: ChildProcess, folder: Path
) -> None:
    ask(child, folder, iterations=100_000)
    outbox = PendingEvents(child, folder.name, folder)
    for says in hear(child):
        if "progress" in says:
            outbox.stop_at(0)
            outbox.stop_at(0)
    assert says["done"]["stopped"]
    child.send({"id": folder.name, "stop_at": 1})  # too late: of no consequence
    ask(child, folder, iterations=100_000, stop_at=2)
    *_, last = hear(child)
    assert last["done"]["results"][0]["iterations"] == 2


@pytest.mark.slow
def test_what_is_wrong_with_a_job_is_told_and_the_next_one_is_taken(
    child: ChildProcess, folder: Path
) -> None:
    (folder / "mask").write_bytes(b"no mask")
    ask(child, folder, iterations=3)
    assert list(hear(child))[-1]["failed"]["code"] == "image_unreadable"
    child.send({"do": "introduce"})
    frame = child.receive(120)
    assert frame is not None
    assert "cpu" in frame.content["introduction"]["devices"]


def test_an_outbox_holds_the_latest_preview_and_all_progress(
    child: ChildProcess, folder: Path
) -> None:
    outbox = PendingEvents(child, folder.name, folder)
    (folder / "second").write_bytes(b"jpeg")
    steps = [{"progress": {"steps": step}} for step in range(3)]
    for says in (steps[0], {"preview": {"file": "first"}}, *steps[1:]):
        outbox.put(says)
    outbox.put({"preview": {"file": "second"}})
    assert outbox.empty() == [*steps, {"preview": {"file": "second"}, "data": b"jpeg"}]
    assert outbox.empty() == []
    outbox.put({"preview": {"file": "gone"}})
    assert outbox.empty() == []


def test_the_jobs_of_a_machine_share_its_cores() -> None:
    workers = {"tls://a:1": 1, "tls://a:2": 2, "tls://[::1]:1": 4, "tls://b:1": 0}
    assert _fellows(workers) == {
        "tls://a:1": 3, "tls://a:2": 3, "tls://[::1]:1": 4, "tls://b:1": 0,
    }  # fmt: skip
