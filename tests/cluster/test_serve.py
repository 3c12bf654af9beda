"""`dip serve --cluster`: a real service, a real scheduler and real workers, which come and go."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from dip.image_io import encode_photo
from server.client import Client, JobFailed

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

LONG: dict[str, Any] = {"preset": "fast", "iterations": 100_000, "device": "cpu"}
SHORT: dict[str, Any] = {"preset": "fast", "iterations": 4, "device": "cpu", "seed": 3}

Grid = Any
Archive = Any


class Service:
    """`dip serve` as a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options
        self.start()

    def start(self) -> None:
        command = ["-m", "dip", "serve", "--data-dir", str(self.folder), "--port", "0"]
        self.process = subprocess.Popen(
            [sys.executable, *command, *self.options], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        assert first.startswith("Serving at "), first
        self.url = first.split()[-1]

    def end(self, *, kill: bool = False) -> None:
        if self.process.poll() is None:
            (self.process.kill if kill else self.process.terminate)()
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def log(self) -> str:
        return (self.folder / "log" / "server.jsonl").read_text()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start a service; the same name is the same folder."""
    started: list[Service] = []

    def start(name: str, *options: str) -> Service:
        started.append(Service(tmp_path / name, *options))
        return started[-1]

    yield start
    for each in started:
        each.end()


@pytest.fixture(scope="module")
def files() -> tuple[bytes, bytes]:
    """A photo and its mask, as PNG."""
    rows, columns = np.mgrid[:64, :64]
    photo = np.stack([4 * rows, 4 * columns, 255 - 4 * rows], axis=-1).astype(np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[28:36, 12:50] = 255
    return encode_photo(photo, "png"), encode_photo(mask, "png")


def until(condition: Callable[[], Any], timeout_s: float = 100) -> Any:
    ends = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < ends, "it did not come true in time"
        time.sleep(0.1)
    return value


def fitting(grid: Grid) -> list[psutil.Process]:
    """The processes that fit."""
    return [
        child
        for worker in grid.workers
        if worker.poll() is None
        for child in psutil.Process(worker.pid).children(recursive=True)
        if "server.cluster_child" in child.cmdline()
    ]


def test_a_job_on_a_cluster_is_what_it_is_on_this_machine(
    grid: Grid, serve: Callable[..., Service], files: tuple[bytes, bytes]
) -> None:
    grid.start_worker()
    service = serve("cluster", "--cluster", grid.address)
    with Client.find(service.folder) as client:
        until(lambda: client.health()["worker"] == "idle")
        until(lambda: client.capabilities()["worker"].get("cluster") == grid.address)
        # Two networks, the fill alone: everything that a job may be.
        job = client.submit(*files, network="both", result="fill", **SHORT)
        events = list(client.events(job["id"]))
        far = client.submit(*files, **LONG)
        waiting = client.submit(*files, **LONG)
        until(lambda: client.job(far["id"])["preview"])
        assert client.job(waiting["id"])["state"] == "queued"
        assert client.preview(far["id"]).media_type == "image/jpeg"
        stopped_at = time.monotonic()
        client.stop(far["id"])
        assert client.wait(far["id"])["results"][0]["iterations"] < 100_000
        assert time.monotonic() - stopped_at < 30
        until(lambda: client.job(waiting["id"])["preview"])
        (working,) = fitting(grid)
        client.delete(waiting["id"])
        psutil.wait_procs([working], timeout=10)
        assert not working.is_running()
        broken = client.submit(files[0], files[0][:100], **SHORT)
        with pytest.raises(JobFailed, match="mask"):
            client.wait(broken["id"])
        assert client.health()["status"] == "ok"
        ours = [client.result(job["id"], network).data for network in ("unet", "segnet")]
        notes = client.job(job["id"])["notes"]
    kinds = [event.kind for event in events]
    assert kinds[-1] == "done"
    assert "preview" in kinds
    assert [each.data["state"] for each in events if each.kind == "progress"][:2] == [
        "queued",
        "running",
    ]
    last = [each.data for each in events if each.kind == "progress"][-1]
    assert (last["iteration"], last["fraction"]) == (4, 1)
    assert last["loss"] > 0
    alone = serve("alone")
    with Client.find(alone.folder) as client:
        here = client.submit(*files, network="both", result="fill", **SHORT)
        client.wait(here["id"])
        theirs = [client.result(here["id"], network).data for network in ("unet", "segnet")]
        assert client.job(here["id"])["notes"] == notes
    assert ours == theirs


def test_jobs_outlive_the_worker_the_scheduler_and_the_service(
    grid: Grid, serve: Callable[..., Service], files: tuple[bytes, bytes]
) -> None:
    first, second = grid.start_worker(), grid.start_worker()
    service = serve("cluster", "--cluster", grid.address)
    with Client.find(service.folder, patience_s=60) as client:
        jobs = [client.submit(*files, **LONG)["id"] for _ in range(2)]

        def attempts() -> list[int]:
            """How often each job was begun, once both are worked on."""
            found = [client.job(job) for job in jobs]
            seen = [(each["progress"] or {}).get("iteration") for each in found]
            return [each["attempts"] for each in found] if all(seen) else []

        until(lambda: attempts() == [1, 1])
        # A worker is lost, and another comes.
        first.kill()
        grid.start_worker()
        until(lambda: sorted(attempts()) == [1, 2])
        # The scheduler is lost: the service answers, says so, and takes jobs all the same.
        grid.kill_scheduler()
        problem = until(lambda: client.health()["problems"])[0]
        assert problem["code"] == "cluster_away"
        assert "has been of no use since" in problem["message"]
        until(lambda: [client.job(job)["state"] for job in jobs] == ["queued", "queued"])
        short = client.submit(*files, **SHORT)["id"]
        began = time.monotonic()
        assert client.health()["worker"] == "failing"
        assert time.monotonic() - began < 2
        # The service is killed meanwhile, and both come back.
        service.end(kill=True)
        service.start()
        assert client.job(short)["state"] == "queued"
        for worker in grid.workers:
            worker.kill()
        grid.start_scheduler()
        grid.start_worker(wait=False)
        grid.start_worker(wait=False)
        until(lambda: sorted(attempts()) in ([2, 3], [3, 3]))
        assert client.health()["status"] == "ok"
        # Killed with jobs in hand: the workers drop them, and get them anew.
        before = fitting(grid)
        assert len(before) == 2
        service.end(kill=True)
        psutil.wait_procs(before, timeout=20)
        assert fitting(grid) == []
        service.start()
        until(attempts)
        for job in jobs:
            client.delete(job)
        assert client.wait(short)["state"] == "done"
    assert second.poll() is not None


def test_a_job_that_crashes_everywhere_is_failed_and_says_so(
    grid: Grid, archive: Archive, serve: Callable[..., Service], files: tuple[bytes, bytes]
) -> None:
    crashing = archive.environment_with(
        "import sys\n"
        "if 'server.cluster_child' in sys.orig_argv:\n"
        "    import os, signal\n"
        "    from server import pixels\n"
        "    pixels.read = lambda *given: os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    crashing["PYTHONPATH"] += f":{os.environ.get('PYTHONPATH', '')}"
    worker = grid.start_worker(environment=crashing)
    service = serve("cluster", "--cluster", grid.address)
    with Client.find(service.folder) as client:
        job = client.submit(*files, **SHORT)
        with pytest.raises(JobFailed, match=r"3 times\. .*SIGSEGV"):
            client.wait(job["id"])
        assert client.job(job["id"])["attempts"] == 3
    assert worker.poll() is None


def test_a_cluster_without_workers_that_will_do_is_a_problem_that_health_explains(
    grid: Grid, archive: Archive, serve: Callable[..., Service], files: tuple[bytes, bytes]
) -> None:
    service = serve("cluster", "--cluster", grid.address, "--resources", "GPU=1")
    with Client.find(service.folder) as client:
        until(lambda: "no workers with GPU=1" in str(client.health()["problems"]))
        job = client.submit(*files, **SHORT)
        other = archive.environment_with("import dip\ndip.__version__ = '9.9.9'\n")
        other["PYTHONPATH"] += f":{os.environ.get('PYTHONPATH', '')}"
        grid.start_worker("--resources", "GPU=1", environment=other)
        until(lambda: "dip 9.9.9" in str(client.health()["problems"]))
        assert client.job(job["id"])["state"] == "queued"
        grid.start_worker("--resources", "GPU=1")
        assert client.wait(job["id"])["state"] == "done"
        assert client.health()["status"] == "ok"
