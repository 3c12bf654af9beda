"""The process beside a Dask worker and the code that runs it: no cluster in here."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from dip.cluster import worker_task
from dip.cluster.worker_task import RunningTask, TaskRequest
from dip.config import Settings
from dip.machine.child_process import CHECKOUT, ChildProcess
from dip.machine.pipe import Frame
from dip.machine.shared_memory_budget import SharedMemoryBudget
from server.jobs.files import JobFiles
from server.jobs.parameters import JobParameters, Task
from server.work.cluster_attempt import ClusterAttempt, slots_per_host

pytestmark = pytest.mark.xdist_group("cluster_child")  # they share a costly fixture

WORKER = "tcp://here:1"


@pytest.fixture(scope="module")
def child() -> Iterator[ChildProcess]:
    child = ChildProcess("server.work.cluster_child")
    yield child
    child.close()


@pytest.fixture
def blobs(image_file: bytes, mask_file: bytes) -> tuple[bytes, bytes]:
    return image_file, mask_file


def content_of(iterations: int, stop_at: int | None = None) -> dict[str, Any]:
    settings = Settings(preset="fast", iterations=iterations, device="cpu", threads=1)
    return {
        "do": "work",
        "id": "job",
        "attempt": 7,
        "parameters": JobParameters(settings=settings, has_mask=True).as_json(),
        "settings": asdict(settings),
        "stop_at": stop_at,
        "max_pixels": 10**6,
    }


class FakeWorker:
    """A Dask worker that has the task 'key' until it is cancelled."""

    address = WORKER

    def __init__(self) -> None:
        self.state = SimpleNamespace(tasks={"key": SimpleNamespace(state="executing")})
        self.events: list[dict[str, Any]] = []

    def log_event(self, topic: str, event: dict[str, Any]) -> None:
        self.events.append(event["content"])


def task_of(request: TaskRequest) -> tuple[RunningTask, FakeWorker]:
    worker = FakeWorker()
    return RunningTask(request, worker, "key"), worker


def request_of(content: dict[str, Any], blobs: tuple[bytes, ...] = (), **more: Any) -> TaskRequest:
    module = "server.work.cluster_child"
    return TaskRequest(module=module, content=content, blobs=blobs, versions={}, **more)


def test_the_settings_of_a_job_reach_the_child(tmp_path: Any, image_file: bytes) -> None:
    settings = Settings(texture=0.25, iterations=3, seed=7, threads=2, max_memory_mb=500)
    files = JobFiles(tmp_path)
    (tmp_path / "job").mkdir()
    files.write("job", "image", image_file)
    job: Any = SimpleNamespace(
        id="job", attempt=1, parameters=JobParameters(settings=settings), stop_at=None
    )
    connection: Any = SimpleNamespace(
        versions={}, workers={WORKER: 1}, available=frozenset({WORKER})
    )
    store: Any = None
    attempt = ClusterAttempt(connection, {}, store, files, job, max_pixels=9)
    task, _ = task_of(pickle.loads(pickle.dumps(attempt.request())))
    asked = json.loads(json.dumps(task._with_limits(task._request.content)))
    assert JobParameters.from_json(asked["parameters"]).settings == settings
    assert Settings(**asked["settings"]) == settings
    assert task._request.blobs == (image_file,)


def test_a_fit_without_limits_takes_its_share_of_the_machine() -> None:
    content = content_of(1)
    content["settings"] = {**content["settings"], "threads": None}
    task, _ = task_of(request_of(content, slots_per_host={WORKER: 10_000}))
    limited = task._with_limits(content)["settings"]
    assert limited["threads"] == 1
    assert limited["max_memory_mb"] >= 64
    assert task._with_limits({"do": "introduce"}) == {"do": "introduce"}


@pytest.mark.slow
def test_it_sends_what_a_worker_would_store(
    child: ChildProcess, blobs: tuple[bytes, bytes]
) -> None:
    events: list[Frame] = []
    needs: list[dict[str, Any]] = []
    reply = child.run_task(content_of(3), blobs, admit=needs.append, on_event=events.append)
    assert needs[0]["device"].startswith("cpu")
    last = [each.content["progress"] for each in events if "progress" in each.content][-1]
    assert (last["steps"], last["data"]["attempt"]) == (3, 7)
    preview = [each for each in events if "preview" in each.content][-1]
    assert preview.blobs[0][:2] == b"\xff\xd8"
    (result,) = reply.content["done"]["results"]
    assert result["sha256"] == hashlib.sha256(reply.blobs[0]).hexdigest()


@pytest.mark.slow
def test_a_job_waits_for_memory_that_another_fit_on_the_machine_has(
    blobs: tuple[bytes, bytes], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    memory = SharedMemoryBudget(tmp_path / "memory")
    monkeypatch.setattr(worker_task, "memory", memory)
    task, worker = task_of(request_of(content_of(3), blobs))
    replies: list[Frame] = []
    running = threading.Thread(target=lambda: replies.append(task.run(blobs)))
    with memory.reserve(1e9, 1, on_wait=lambda: None):
        running.start()
        while {"waits_for": "memory"} not in worker.events:
            assert running.is_alive()
            time.sleep(0.05)
        running.join(1)
        assert running.is_alive()
        assert not any("progress" in each for each in worker.events)
    running.join()
    worker_task._idle.pop("server.work.cluster_child").take().close()
    assert replies[0].content["done"]["results"][0]["iterations"] == 3
    assert list((tmp_path / "memory").glob("*.fit")) == []


@pytest.mark.slow
def test_it_ends_with_the_best_so_far_when_told_now_or_before(
    child: ChildProcess, blobs: tuple[bytes, bytes]
) -> None:
    def stop(frame: Frame) -> None:
        if "progress" in frame.content:
            child.send({"id": "job", "stop_at": 0})

    reply = child.run_task(content_of(100_000), blobs, on_event=stop)
    assert reply.content["done"]["stopped"]
    child.send({"id": "job", "stop_at": 1})  # too late: without effect
    reply = child.run_task(content_of(100_000, stop_at=2), blobs)
    assert reply.content["done"]["results"][0]["iterations"] == 2


@pytest.mark.slow
def test_the_error_of_a_job_is_sent_and_the_next_one_is_taken(
    child: ChildProcess, blobs: tuple[bytes, bytes]
) -> None:
    reply = child.run_task(content_of(3), (blobs[0], b"no mask"))
    assert reply.content["error"]["code"] == "image_unreadable"
    reply = child.run_task({"do": "introduce"})
    assert "cpu" in reply.content["done"]["devices"]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["restore", "detect"])
def test_a_bomb_costs_one_job_and_no_memory(
    child: ChildProcess, blobs: tuple[bytes, bytes], deep_bomb: Path, task: Task
) -> None:
    """As a photo, and as a mask or an infrared plane; 1.5 MB that decode to 1.5 GB."""
    content, bomb = {**content_of(3), "max_pixels": 200_000_000}, deep_bomb.read_bytes()
    given = [(bomb, blobs[1]), (blobs[0], bomb)]
    if task == "detect":
        parameters = JobParameters.from_json(content["parameters"])
        parameters = replace(parameters, task=task, has_mask=False, has_infrared=True)
        content["parameters"] = parameters.as_json()
    child.run_task(content, blobs)  # everything is loaded
    process = psutil.Process(child.pid)
    before = process.memory_info().rss
    for files in given:
        error = child.run_task(content, files).content["error"]
        assert error["code"] == "image_too_large"
        assert "of memory; the limit is 1.5 GB" in error["message"]
    assert process.memory_info().rss - before < 100_000_000


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can limit the growth of memory")
def test_the_system_holds_a_decoder_that_takes_more_than_it_predicted(
    blobs: tuple[bytes, bytes], deep_bomb: Path
) -> None:
    """The code is that of the service's own worker."""
    paths = os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "tests/helpers")])
    child = ChildProcess(
        "unpredicted_memory", {"PYTHONPATH": paths, "WORKER": "server.work.cluster_child"}
    )
    content, bomb = {**content_of(1), "max_pixels": 200_000_000}, deep_bomb.read_bytes()
    try:
        for files in ((bomb, blobs[1]), (blobs[0], bomb)):
            error = child.run_task(content, files).content["error"]
            assert error["code"] == "image_too_large"
            assert "needs more memory; the limit" in error["message"]
        assert psutil.Process(child.pid).memory_info().rss < 1_000_000_000
        assert "done" in child.run_task(content, blobs).content
    finally:
        child.close()


def test_a_task_publishes_all_events_and_keeps_the_latest_blob() -> None:
    task, worker = task_of(request_of({}))
    steps = [{"progress": {"steps": step}} for step in range(3)]
    previews = [Frame({"preview": {"file": name}}, (name.encode(),)) for name in ("1st", "2nd")]
    for frame in (Frame(steps[0]), previews[0], *map(Frame, steps[1:]), previews[1]):
        task._forward(frame)
    assert worker.events == [steps[0], previews[0].content, *steps[1:], previews[1].content]
    assert task.take_blobs() == previews[1]
    assert task.take_blobs() is None


def test_events_that_come_too_soon_are_dropped() -> None:
    task, worker = task_of(replace(request_of({}), event_interval_s=1000.0))
    task._published = -1000.0
    for step in range(3):
        task._forward(Frame({"iteration": step}))
    assert worker.events == [{"iteration": 0}]


def test_a_cancelled_task_ends() -> None:
    distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    task, worker = task_of(request_of({}))
    task._check()
    worker.state.tasks["key"].state = "cancelled"
    with pytest.raises(distributed.Reschedule):
        task._check()


def test_the_jobs_of_a_machine_share_its_cores() -> None:
    workers = {"tls://a:1": 1, "tls://a:2": 2, "tls://[::1]:1": 4, "tls://b:1": 0}
    assert slots_per_host(workers) == {
        "tls://a:1": 3, "tls://a:2": 3, "tls://[::1]:1": 4, "tls://b:1": 0,
    }  # fmt: skip
