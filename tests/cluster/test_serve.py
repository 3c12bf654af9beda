"""`dip serve --cluster`: a real service, a real scheduler and real workers, which come and go."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from idle_fits import idle_fits

from dip.image_io import encode_photo
from server.client import Client, JobFailed, Refused, fingerprint_of
from server.http.users import Users

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

LONG: dict[str, Any] = {"preset": "fast", "iterations": 100_000, "device": "cpu", "threads": 1}
SHORT: dict[str, Any] = {**LONG, "iterations": 4, "seed": 3}
BOTH: dict[str, Any] = {**SHORT, "network": "both", "result": "fill", "threads": None}

Grid = Any
Archive = Any


class Service:
    """`dip serve` as a process of its own."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self.folder = folder
        self.options = options
        self.environment = environment
        self.start()

    def start(self) -> None:
        command = ["-m", "dip", "serve", "--data-dir", str(self.folder), "--port", "0"]
        self.process = subprocess.Popen(
            [sys.executable, *command, *self.options],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **self.environment},
        )
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        if not first.startswith("Serving at "):
            self.end()
            raise AssertionError(first)
        self.url = first.split()[-1]

    def end(self, *, kill: bool = False) -> None:
        if self.process.poll() is None:
            (self.process.kill if kill else self.process.terminate)()
        self.process.wait(300)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def log(self) -> str:
        return (self.folder / "log" / "server.jsonl").read_text()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start a service; the same name is the same folder."""
    started: list[Service] = []

    def start(name: str, *options: str, **environment: str) -> Service:
        started.append(Service(tmp_path / name, *options, **environment))
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


@pytest.fixture
def idle(archive: Archive) -> dict[str, str]:
    """The environment of a worker whose long fits leave the processor to others."""
    environment: dict[str, str] = archive.environment_with(idle_fits())
    return environment


def until(condition: Callable[[], Any], timeout_s: float = 300) -> Any:
    ends = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < ends, "it did not come true in time"
        time.sleep(0.1)
    return value


def fitting(grid: Grid) -> list[psutil.Process]:
    """The processes that fit."""
    found = []
    for worker in grid.workers:
        with contextlib.suppress(psutil.Error):  # ended just now
            for child in psutil.Process(worker.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if "server.work.cluster_child" in child.cmdline():
                        found.append(child)
    return found


def test_a_job_on_a_cluster_is_what_it_is_on_this_machine(
    grid: Grid,
    serve: Callable[..., Service],
    files: tuple[bytes, bytes],
    idle: dict[str, str],
) -> None:
    grid.start_worker(environment=idle)
    service = serve("cluster", "--cluster", grid.address)
    with Client.find(service.folder) as client:
        until(lambda: client.health()["worker"] == "idle")
        until(lambda: client.capabilities()["worker"].get("cluster") == grid.address)
        job = client.submit(*files, **BOTH)
        events = list(client.events(job["id"]))
        far = client.submit(*files, **LONG)
        waiting = client.submit(*files, **LONG)
        until(lambda: client.job(far["id"])["preview"])
        assert client.job(waiting["id"])["state"] == "queued"
        assert client.preview(far["id"]).media_type == "image/jpeg"
        client.stop(far["id"])
        assert client.wait(far["id"])["results"][0]["iterations"] < 100_000
        until(lambda: client.job(waiting["id"])["preview"])
        (working,) = fitting(grid)
        client.delete(waiting["id"])
        psutil.wait_procs([working], timeout=120)
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
    assert (last["iteration"], last["fraction"]) == (last["iterations"], 1)
    assert last["loss"] > 0
    alone = serve("alone")
    with Client.find(alone.folder) as client:
        here = client.submit(*files, **BOTH)
        client.wait(here["id"])
        theirs = [client.result(here["id"], network).data for network in ("unet", "segnet")]
        assert client.job(here["id"])["notes"] == notes
    assert ours == theirs


def test_jobs_survive_the_worker_the_scheduler_and_the_service(
    grid: Grid,
    serve: Callable[..., Service],
    files: tuple[bytes, bytes],
    idle: dict[str, str],
) -> None:
    first = grid.start_worker(environment=idle)
    service = serve("cluster", "--cluster", grid.address)
    with Client.find(service.folder, retry_timeout_s=60) as client:
        job = client.submit(*files, **LONG)["id"]

        def begun(attempt: int) -> bool:
            found = client.job(job)
            progress = found["progress"] or {}
            return found["attempts"] == attempt and bool(progress.get("iteration"))

        until(lambda: begun(1))
        # A worker is lost, and another is there.
        grid.start_worker(environment=idle)
        first.kill()
        until(lambda: begun(2))
        # The scheduler is lost: the service answers, says so, and takes jobs all the same.
        grid.kill_scheduler()
        problem = until(lambda: client.health()["problems"])[0]
        assert problem["code"] == "cluster_away"
        assert "has been of no use since" in problem["message"]
        until(lambda: client.job(job)["state"] == "queued")
        short = client.submit(*files, **SHORT)["id"]
        began = time.monotonic()
        assert client.health()["worker"] == "failing"
        assert time.monotonic() - began < 20  # not as long as it takes to connect in vain
        # The service is killed meanwhile, and both come back.
        service.end(kill=True)
        service.start()
        assert client.job(short)["state"] == "queued"
        for worker in grid.workers:
            worker.kill()
        grid.start_scheduler()
        grid.start_worker(wait=False, environment=idle)
        until(lambda: begun(3))
        assert client.wait(short)["attempts"] == 1
        assert client.health()["status"] == "ok"
        # Killed with a job in hand: the worker drops it, and gets it anew.
        before = fitting(grid)
        service.end(kill=True)
        psutil.wait_procs(before, timeout=120)
        assert fitting(grid) == []
        service.start()
        until(lambda: begun(4))
        client.stop(job)
        assert client.wait(job)["results"][0]["iterations"] < 100_000


def test_a_job_whose_worker_falls_silent_is_begun_by_another(
    grid: Grid, archive: Archive, serve: Callable[..., Service], files: tuple[bytes, bytes]
) -> None:
    soon = archive.environment_with(
        f"{idle_fits()}"
        "if 'serve' in sys.orig_argv:\n"
        "    import dip.cluster.connection\n"
        "    dip.cluster.connection.SILENT_S = 15.0\n"
    )
    first = grid.start_worker(environment=soon)
    service = serve("cluster", "--cluster", grid.address, **soon)
    with Client.find(service.folder) as client:
        until(lambda: client.health()["worker"] == "idle")
        job = client.submit(*files, **LONG)
        until(lambda: client.job(job["id"])["preview"])
        grid.start_worker(environment=soon)
        first.send_signal(signal.SIGSTOP)
        until(lambda: client.job(job["id"])["attempts"] == 2)
        until(lambda: (client.job(job["id"])["progress"] or {}).get("iteration"))
        client.stop(job["id"])
        assert client.wait(job["id"])["results"][0]["iterations"] < 100_000
    assert "gives no sign of life" in service.log()


def test_a_workgroup_shares_a_cluster_over_tls_and_sees_nothing_of_each_other(
    make_grid: Callable[..., Grid], serve: Callable[..., Service], tmp_path: Path,
    files: tuple[bytes, bytes], make_certificate: Callable[..., tuple[Path, Path]],
) -> None:  # fmt: skip
    certificate, key = make_certificate(tmp_path)
    named = {"ca-file": certificate, "cert": certificate, "key": key}
    grid = make_grid(
        scheme="tls", options=[w for name, f in named.items() for w in (f"--tls-{name}", str(f))]
    )
    grid.start_worker()
    tls = ["--tls-ca", certificate, "--tls-cert", certificate, "--tls-key", key]
    options = ["--cluster", grid.address, *map(str, tls), "--host", "0.0.0.0"]
    with pytest.raises(AssertionError):  # a bare port
        serve("bare", *options, "--expose")
    options += ["--certificate", str(certificate), "--key", str(key)]
    users = Users(tmp_path / "shared" / "users.json")
    with pytest.raises(AssertionError):  # no user has a token
        serve("shared", *options)
    tokens = {name: users.add(name) for name in ("ada", "bob")}
    service = serve("shared", *options)
    url = service.url.replace("localhost", "127.0.0.1")
    ada, bob = (
        Client(url, token, retry_timeout_s=60, fingerprint=fingerprint_of(certificate))
        for token in tokens.values()
    )
    with ada, bob:
        hers = [ada.submit(*files, **SHORT)["id"] for _ in range(3)]
        his = bob.submit(*files, **SHORT)["id"]
        assert {job["id"] for job in bob.jobs()} == {his}
        for refused in (
            bob.job,
            bob.stop,
            bob.preview,
            bob.result,
            lambda job: next(bob.events(job)),
        ):
            with pytest.raises(Refused, match="no job of this id"):
                refused(hers[-1])
        bob.delete(hers[-1])  # as if it were gone already
        ends = {job: ada.wait(job)["ended"] for job in hers}
        ends[his] = bob.wait(his)["ended"]
        assert sorted(ends, key=lambda job: ends[job]).index(his) <= 1  # though it came last
        assert ada.result(hers[0]).data == bob.result(his).data
        users.remove("bob")
        with pytest.raises(Refused, match="token"):
            bob.jobs()


def test_a_job_that_crashes_everywhere_is_failed_and_says_so(
    grid: Grid, archive: Archive, serve: Callable[..., Service], files: tuple[bytes, bytes]
) -> None:
    crashing = archive.environment_with(
        "import sys\n"
        "if 'server.work.cluster_child' in sys.orig_argv:\n"
        "    import os, signal\n"
        "    from server.work import codec\n"
        "    codec.Inputs = lambda *given: os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    worker = grid.start_worker(environment=crashing)
    service = serve("cluster", "--cluster", grid.address)
    with Client.find(service.folder) as client:
        job = client.submit(*files, **SHORT)
        with pytest.raises(JobFailed, match=r"3 times\. .*SIGSEGV"):
            client.wait(job["id"])
        assert client.job(job["id"])["attempts"] == 3
    assert worker.poll() is None


def test_health_explains_a_cluster_without_compatible_workers(
    grid: Grid, archive: Archive, serve: Callable[..., Service], files: tuple[bytes, bytes]
) -> None:
    service = serve("cluster", "--cluster", grid.address, "--resources", "GPU=1")
    with Client.find(service.folder) as client:
        until(lambda: "no workers with GPU=1" in str(client.health()["problems"]))
        job = client.submit(*files, **SHORT)
        other = archive.environment_with("import dip\ndip.__version__ = '9.9.9'\n")
        grid.start_worker("--resources", "GPU=1", environment=other)
        until(lambda: "dip 9.9.9" in str(client.health()["problems"]))
        assert client.job(job["id"])["state"] == "queued"
        idle = archive.environment_with(idle_fits())
        grid.start_worker("--resources", "GPU=2", "--nthreads", "4", environment=idle)
        assert client.wait(job["id"])["state"] == "done"
        assert client.health()["status"] == "ok"
        jobs = [client.submit(*files, **LONG)["id"] for _ in range(3)]
        until(lambda: all(client.job(job)["preview"] for job in jobs[:2]))
        states = [client.job(job)["state"] for job in jobs]
        assert states == ["running", "running", "queued"]  # as many at a time as there are GPUs
        for each in jobs[::-1]:
            client.delete(each)
        until(lambda: len(fitting(grid)) == 0)
