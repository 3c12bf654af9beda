"""`dip serve` and `dip stop` as processes: one folder, one service; start, stop, kill, restart."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import requests

from dip.machine.locks import LockFile
from server.client import Client, Refused
from server.commands.serve import _listening
from server.errors import ServiceFailure
from server.settings import ServerSettings

ROOT = Path(__file__).resolve().parents[3]


def dip(
    *arguments: str,
    folder: Path,
    status: int | None = 0,
    environment: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "dip", *arguments, "--data-dir", str(folder)],
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, **(environment or {})},
    )
    assert status in (None, done.returncode), done.stderr
    return done


def test_it_says_where_it_is_and_ends_when_told_to(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "for it"
    command = [sys.executable, "-m", "dip", "serve", "--port", "0", "--data-dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first, second = process.stdout.readline(), process.stdout.readline()
    assert first.startswith("Serving at http://127.0.0.1:")
    assert second == f"Token file: {folder / 'token'}\n"
    there = json.loads((folder / "server.json").read_text())
    assert first.split()[-1] == there["url"]
    assert there["pid"] == process.pid

    again = dip("serve", "--port", "0", folder=folder, status=10)
    assert f"at {there['url']}, pid {process.pid}" in again.stderr
    assert "dip stop" in again.stderr

    browser = tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\necho $1 >{tmp_path}/opened\n")
    browser.chmod(0o700)
    opened = dip("serve", "--open", folder=folder, environment={"BROWSER": f"{browser} %s"})
    assert "already running" in opened.stdout
    link = (tmp_path / "opened").read_text().strip()
    assert link.startswith(f"{there['url']}/launch?code=")
    first, second = (requests.get(link, allow_redirects=False, timeout=120) for _ in range(2))
    assert (first.status_code, second.status_code) == (303, 401)

    taken = there["url"].rpartition(":")[2]
    other = dip("serve", "--port", taken, folder=tmp_path / "other", status=9)
    assert "--port 0" in other.stderr

    workers = psutil.Process(process.pid).children()
    assert "has stopped" in dip("stop", folder=folder).stdout
    assert process.wait(300) == 0
    process.stdout.close()
    psutil.wait_procs(workers, 60)
    assert not any(each.is_running() for each in workers)
    assert not (folder / "server.json").exists()
    assert "not running" in dip("stop", folder=folder).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "0.0.0.0"), "--expose"),
        (("--host", "no.such.host.invalid", "--expose"), "is not a valid address"),
        (("--port", "99999"), "port is 99999"),
        (("--keep-gb", "nan"), "'nan' is not a number"),
        (("--keep-gb", "inf"), "'inf' is not a number"),
        (("--keep-days", "-1"), "'-1' is not a number"),
        (("--idle-minutes", "soon"), "'soon' is not a number"),
    ],
)
def test_bad_options_are_refused_with_an_explanation(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = dip("serve", *arguments, folder=tmp_path / "d", status=None)
    assert done.returncode in (2, 9)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_created_is_refused_with_an_explanation(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be created" in dip("serve", folder=tmp_path / "file" / "d", status=9).stderr


def test_a_folder_that_cannot_be_used_is_refused_with_an_explanation(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    assert "cannot be used: Is a directory" in dip("serve", folder=tmp_path, status=9).stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one loopback address")
def test_its_own_client_finds_it_at_another_address(
    start_service: Callable[..., Any], tmp_path: Path
) -> None:
    service = start_service(tmp_path / "data", worker=False, host="127.0.0.2")
    assert service.url.startswith("http://127.0.0.2:")
    assert "no jobs are waiting" in dip("jobs", folder=tmp_path / "data").stderr
    assert service.stop() == 0
    assert any(line["message"] == "stopped by SIGTERM" for line in service.log())


def test_a_port_that_another_program_takes_in_the_last_moment_is_refused_with_an_explanation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ServerSettings(data_dir=tmp_path, port=0)
    with _listening(settings) as sock:
        socket.create_connection(sock.getsockname(), timeout=120).close()

    def taken(sock: socket.socket) -> None:
        raise OSError(errno.EADDRINUSE, "Address already in use")

    monkeypatch.setattr(socket.socket, "listen", taken)
    with (
        pytest.raises(ServiceFailure, match="cannot be used: Address already in use"),
        _listening(settings),
    ):
        pass


def test_a_lock_is_held_once_and_let_go_with_its_process(tmp_path: Path) -> None:
    lock, other = LockFile(tmp_path / "lock"), LockFile(tmp_path / "lock")
    assert lock.acquire()
    assert not other.acquire(0.1)
    lock.release()
    assert other.acquire()
    other.release()
    code = (
        "import sys, time; from pathlib import Path; from dip.machine.locks import LockFile;"
        "lock = LockFile(Path(sys.argv[1])); print(lock.acquire(), flush=True); time.sleep(99)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    assert not lock.acquire()
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert lock.acquire(20)
    lock.release()


def test_a_stop_lets_requests_end(start_service: Callable[..., Any], tmp_path: Path) -> None:
    """A download goes on to its end, and a client that waits for a result gets an answer."""
    service = start_service(tmp_path / "data", worker=False)
    photo = b"\x89PNG\r\n\x1a\n" + bytes(20_000_000)  # more than all buffers on the way hold
    asked = {"headers": service.headers, "timeout": 60}
    with ThreadPoolExecutor(1) as caller, service.client() as client:
        url = f"{service.url}/v1/jobs/{client.submit(photo)['id']}/input?of=image"
        download = requests.get(url, stream=True, **asked)
        files = {"image": photo[:100]}
        waiting = caller.submit(requests.post, service.url + "/v1/restore", files=files, **asked)
        while len(client.jobs()) < 2:
            time.sleep(0.05)
        service.process.send_signal(signal.SIGTERM)
        answer = waiting.result(60)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "shutting_down")
        assert download.content == photo
    service.reap()
    assert service.process.returncode == 0


# --- The worker, watched --------------------------------------------------------------------------


def test_the_worker_leaves_when_idle_and_comes_back_for_work(
    start_service: Callable[..., Any], tmp_path: Path, until: Any, image_file: bytes
) -> None:
    service = start_service(tmp_path / "data", idle_exit_s=0.3)
    with service.client() as client:
        until(lambda: client.health()["worker"] == "stopped")
        assert service.workers() == []
        job = client.submit(image_file)
        until(lambda: client.job(job["id"])["state"] == "failed")  # no mask: it was looked at
        until(lambda: client.health()["worker"] == "stopped")
        assert client.health()["status"] == "ok"
    assert service.stop() == 0


@pytest.mark.slow
def test_a_job_that_kills_its_workers_is_failed_and_the_next_is_done(
    start_service: Callable[..., Any], tmp_path: Path, until: Any,
    image_file: bytes, mask_file: bytes,
) -> None:  # fmt: skip
    """A crash in a decoder, or the system's out-of-memory killer."""
    service = start_service(tmp_path / "data")
    with service.client() as client:
        bad = client.submit(image_file, mask_file, preset="fast", iterations=100_000)
        good = client.submit(image_file, mask_file, preset="fast", iterations=2)
        for attempt, number in ((1, signal.SIGKILL), (2, signal.SIGSEGV)):
            running = {"state": "running", "attempts": attempt}
            until(lambda: running.items() <= client.job(bad["id"]).items())  # noqa: B023
            service.workers()[0].send_signal(number)
        until(lambda: client.job(bad["id"])["state"] == "failed")
        error = client.job(bad["id"])["error"]
        assert error["code"] == "worker_died"
        assert "SIGSEGV" in error["message"]
        assert client.wait(good["id"])["state"] == "done"
        assert client.job(good["id"])["attempts"] == 1
        kinds = [event.kind for event in client.events(bad["id"])]
        assert kinds[-1] == "error"
        assert kinds.count("error") == 1
    service.stop()


@pytest.mark.slow
def test_a_worker_that_ignores_a_cancellation_is_replaced(
    start_service: Callable[..., Any], tmp_path: Path, until: Any,
    image_file: bytes, mask_file: bytes,
) -> None:  # fmt: skip
    service = start_service(tmp_path / "data", idle=True, cancel_timeout_s=0.5)
    with service.client() as client:
        job = client.submit(image_file, mask_file, preset="fast", iterations=100_000)
        until(lambda: client.job(job["id"])["preview"])
        deaf = service.workers()[0]
        deaf.suspend()
        client.delete(job["id"])
        until(lambda: not deaf.is_running() or deaf.status() == "zombie")
        done = client.submit(image_file, mask_file, preset="fast", iterations=1)
        assert client.wait(done["id"])["attempts"] == 1
        assert client.health()["status"] == "ok"
    service.stop()


@pytest.mark.slow
def test_a_killed_service_takes_its_worker_along_and_finds_its_results_again(
    start_service: Callable[..., Any], tmp_path: Path, image_file: bytes, mask_file: bytes
) -> None:
    service = start_service(tmp_path / "data")
    with service.client() as client:
        done = client.wait(client.submit(image_file, mask_file, preset="fast", iterations=1)["id"])
        picture = client.result(done["id"])
        job = client.submit(image_file, mask_file, preset="fast", iterations=100_000)
        workers = service.workers()
        (service.settings.incoming_dir / "half").write_bytes(b"half a body")
        (service.settings.files_dir / "unknown").mkdir()
        service.kill()
        _, alive = psutil.wait_procs(workers, 60)
        assert alive == []
        service.start()
        assert client.result(done["id"]).data == picture.data
        assert client.job(job["id"])["state"] in ("queued", "running")
        assert list(service.settings.incoming_dir.iterdir()) == []
        assert not (service.settings.files_dir / "unknown").exists()
        client.delete(job["id"])
    service.stop()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits another process")
def test_a_full_disk_is_an_error_to_the_submitter_and_ends_nothing(
    start_service: Callable[..., Any], tmp_path: Path, until: Any
) -> None:
    """The system refuses to let any file grow beyond 6 MB, as it would on a full disk."""
    import resource

    service = start_service(tmp_path / "data")
    shape = {"height": 1000, "channels": 1, "samples": "uint8", "mask_samples": "uint8"}
    fit = {"preset": "fast", "iterations": 1, "result": "image"}

    def submit(client: Client, width: int) -> dict[str, Any]:
        pixels = np.zeros((1000, width), np.uint8)
        mask = pixels.copy()
        mask[5:9, 5:9] = 255
        return client.submit(pixels.data, mask.data, width=width, **shape, **fit)

    with service.client() as client:
        until(lambda: client.health()["worker"] == "idle")
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (6_000_000, 6_000_000))
        with pytest.raises(Refused) as caught:
            submit(client, 8000)
        assert (caught.value.status, caught.value.code) == (507, "disk_full")
        assert client.jobs() == []
        assert list(service.settings.incoming_dir.iterdir()) == []
        # A small submission is still accepted. The result then fills the worker's disk.
        worker = service.workers()[0]
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (900_000, 900_000))
        failed = submit(client, 1000)
        until(lambda: client.job(failed["id"])["state"] == "failed")
        assert client.job(failed["id"])["error"]["code"] == "disk_full"
        small = submit(client, 100)
        assert client.wait(small["id"])["attempts"] == 1
        assert [each.pid for each in service.workers()] == [worker.pid]
    assert service.stop() == 0


def test_a_worker_that_cannot_start_is_a_problem_that_health_explains(
    start_service: Callable[..., Any], tmp_path: Path, until: Any,
    image_file: bytes,
) -> None:  # fmt: skip
    broken = tmp_path / "broken" / "torch"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('libtorch is broken')")
    service = start_service(tmp_path / "data")
    service.stop()
    service.start(PYTHONPATH=f"{broken.parent}{os.pathsep}{ROOT}")
    with service.client() as client:
        problem = until(lambda: client.health()["problems"])[0]
        assert problem["code"] == "worker_failing"
        assert "libtorch is broken" in problem["message"]
        assert "dip doctor" in problem["hint"]
        job = client.submit(image_file)
        assert client.job(job["id"])["state"] == "queued"
    service.stop()
