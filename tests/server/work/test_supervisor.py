"""The supervisor without a process: which jobs it blames, and which files it removes."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from dip.config import Settings
from dip.machine.memory import OutOfMemoryKills
from server.errors import ServiceError
from server.http.context import Service
from server.jobs.job import Job, State
from server.jobs.parameters import JobParameters
from server.settings import ServerSettings
from server.work.dispatcher import CLOCK_JUMP_S
from server.work.supervisor import Supervisor, WorkerProcess


@dataclass
class Dead:
    """A worker that ended."""

    exit_status: int
    is_blameless: bool = False
    pid: int = 12

    def has_ended(self) -> bool:
        return True

    def exit_reason(self) -> str:
        return "died."

    def remedy(self) -> str | None:
        return None


def supervisor_of(service: Service, settings: ServerSettings | None = None) -> Supervisor:
    return Supervisor(settings or service.settings, service.store, service.files)


@pytest.fixture
def supervisor(service: Service, monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    supervisor = supervisor_of(service)
    monkeypatch.setattr(supervisor, "_start", lambda: None)
    return supervisor


def taken(service: Service) -> Job:
    """A job that a worker took, and pixels for it."""
    job_id = f"job{len(service.store.jobs())}"
    service.store.add(job_id, JobParameters(settings=Settings()))
    (service.files.folder / job_id).mkdir()
    job = service.store.claim()
    assert job is not None
    return job


@pytest.mark.parametrize(
    ("dead", "deaths"),
    [
        (Dead(-signal.SIGKILL), 1),
        (Dead(-signal.SIGSEGV), 1),
        (Dead(1), 1),
        (Dead(0), 0),
        (Dead(-signal.SIGTERM), 0),
        (Dead(-signal.SIGKILL, is_blameless=True), 0),
    ],
)
def test_a_job_is_blamed_for_a_crash_only(
    supervisor: Supervisor, service: Service, dead: Any, deaths: int
) -> None:
    """Not for the end of a session, which ends every process with SIGTERM."""
    job = taken(service)
    supervisor._worker = dead
    supervisor._tick()
    job = service.store.get(job.id)
    assert (job.state, job.deaths) == (State.QUEUED, deaths)


def test_a_disk_that_was_full_when_a_worker_died_leaves_no_job_running_for_ever(
    supervisor: Supervisor, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = taken(service)
    supervisor._worker = Dead(-signal.SIGKILL)  # type: ignore[assignment]

    def full(cause: str | None, hint: str | None) -> list[Job]:
        raise ServiceError("disk_full", "Full.")

    with monkeypatch.context() as patch:
        patch.setattr(service.store, "release_running", full)
        with pytest.raises(ServiceError):
            supervisor._tick()
    assert service.store.get(job.id).state is State.RUNNING
    supervisor._tick()
    assert service.store.get(job.id).state is State.QUEUED


@pytest.mark.parametrize("recorded", [False, True])
def test_lack_of_memory_is_named_only_where_the_system_recorded_it(
    supervisor: Supervisor, service: Service, tmp_path: Path, recorded: bool
) -> None:
    """Two real workers are killed; the system's record is a file of this test."""
    record = tmp_path / "proc" / "vmstat"
    record.parent.mkdir()
    job = taken(service)
    for death in (1, 2):
        record.write_text(f"nr_free_pages 7\noom_kill {death}\n")
        worker = WorkerProcess(service.settings)
        worker.out_of_memory = OutOfMemoryKills(tmp_path)
        if recorded:
            record.write_text(f"nr_free_pages 7\noom_kill {death + 1}\n")
        os.kill(worker.pid, signal.SIGKILL)
        while not worker.has_ended():
            time.sleep(0.01)
        supervisor._worker = worker
        supervisor._tick()
        worker.shutdown()  # closes its pipe
        if death == 1:
            assert service.store.claim() is not None
    error = service.store.get(job.id).error
    assert error is not None
    assert error["code"] == "worker_died"
    assert ("for lack of memory" in error["message"]) == recorded
    assert ("max_memory_mb" in error["hint"]) == recorded
    assert ("SIGKILL" in error["message"]) != recorded


def test_a_machine_that_slept_finds_its_job_alive(
    supervisor: Supervisor, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = taken(service)
    slept_s = service.settings.stall_s + CLOCK_JUMP_S
    monkeypatch.setattr("server.work.supervisor.time.time", lambda: job.created + slept_s + 1)
    assert service.store.stalled(job.created + slept_s - service.settings.stall_s)
    supervisor._tick()
    assert not service.store.stalled(job.created + slept_s - service.settings.stall_s)


def test_an_abandoned_job_is_cancelled_with_its_pixels(make_service: Any) -> None:
    service = make_service(lease_min_s=0.001)
    supervisor = supervisor_of(service)
    job = taken(service)
    service.store.add("leased", JobParameters(settings=Settings()), lease_s=-1.0)
    (service.files.folder / "leased").mkdir()
    supervisor._cancel_abandoned()
    assert service.store.get("leased").state is State.CANCELLED
    assert {path.name for path in service.files.folder.iterdir()} == {job.id}


def test_after_a_crash_files_and_states_are_cleaned_up(
    supervisor: Supervisor, service: Service
) -> None:
    """Half a body, the pixels of jobs that are not there, or were just being cancelled."""
    (service.settings.incoming_dir / "half").write_bytes(b"half")
    (service.files.folder / "never accepted").mkdir()
    cancelled, running = taken(service), taken(service)
    service.store.cancel(cancelled.id)
    service.store.set_status("busy", {"pid": 12, "job": cancelled.id})
    service.store.set_status("worker", {"pid": 12, "devices": ["cpu"]})
    supervisor.recover()
    assert list(service.settings.incoming_dir.iterdir()) == []
    assert [path.name for path in service.files.folder.iterdir()] == [running.id]
    assert service.store.get(running.id).state is State.QUEUED
    # A worker that happens to get the same pid is neither ready nor busy with the old job.
    assert service.store.status("busy") is None
    assert service.store.status("worker") == {"pid": None, "devices": ["cpu"]}


def test_results_are_pruned_when_they_are_old_or_too_many(service: Service) -> None:
    result = {"network": "unet", "bytes": 100, "file": "result.unet.1"}
    for _ in range(3):
        assert service.store.finish(taken(service), [result], stopped=False, notes=[])
    settings = replace(service.settings, keep_bytes=150)
    supervisor_of(service, settings)._prune()
    kept = service.store.jobs()
    assert len(kept) == 1
    assert [path.name for path in service.files.folder.iterdir()] == [kept[0].id]
    settings = replace(service.settings, keep_days=0)
    supervisor_of(service, settings)._prune()
    assert service.store.jobs() == []
    assert list(service.files.folder.iterdir()) == []
