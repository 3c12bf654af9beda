"""The store under stress: many threads, kills, a full disk, random sequences of calls."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from stored_jobs import RESULT, add, claimed

from server.errors import ServiceError, ServiceFailure
from server.jobs.job import Job, State
from server.jobs.store import Store


def test_many_threads_get_every_job_once(tmp_path: Path) -> None:
    store, others = Store(tmp_path / "jobs.sqlite"), []
    for number in range(30):
        add(store, str(number))
    taken: list[str] = []

    def work() -> None:
        mine = Store(tmp_path / "jobs.sqlite")
        while (job := mine.claim()) is not None:
            taken.append(job.id)
        mine.close()

    for _ in range(4):
        others.append(threading.Thread(target=work))
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert sorted(taken, key=int) == [str(number) for number in range(30)]
    store.close()


def test_accepted_jobs_survive_a_kill(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from dip.config import Settings
from server.jobs.parameters import JobParameters
from server.jobs.store import Store
store = Store(Path(sys.argv[1]))
for number in range(5):
    store.add(str(number), JobParameters(settings=Settings()))
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = tmp_path / "jobs.sqlite"
    status = subprocess.run([sys.executable, "-c", code, str(path)], cwd=Path.cwd()).returncode
    assert status == -9
    store = Store(path)
    assert store.ids_with_pixels() == {"0", "1", "2", "3", "4"}
    store.close()


def test_promises_are_flushed_and_progress_is_not(store: Store) -> None:
    """A test cannot cut the power, but it can see that SQLite was told to flush."""

    def flushes() -> bool:
        return bool(store._database._writer.execute("PRAGMA synchronous").fetchone()[0] == 2)

    for name in "ab":
        add(store, name)
        assert flushes()
    job = claimed(store)
    store.note_progress(job, {}, steps=1, notes=[])
    assert not flushes()
    store.finish(job, [RESULT], stopped=False, notes=[])
    assert flushes()
    store.note_progress(claimed(store), {}, steps=1, notes=[])
    store.cancel("b")
    assert flushes()


def add_until_full(store: Store) -> None:
    for number in range(1000):
        add(store, f"{number:0100}", max_queued=10_000)


def test_a_full_disk_is_an_error_of_its_own(store: Store) -> None:
    add(store, "a")
    store._database._writer.execute("PRAGMA max_page_count = 1")  # SQLite's own "disk is full"
    with pytest.raises(ServiceError) as caught:
        add_until_full(store)
    assert (caught.value.code, caught.value.status) == ("disk_full", 507)
    store._database._writer.execute("PRAGMA max_page_count = 1000000")
    add(store, "b")


def test_a_file_that_is_no_store_or_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(ServiceFailure, match="is no database of jobs") as caught:
        Store(path)
    assert "Move it away" in caught.value.hint
    path.unlink()
    Store(path).close()
    Store(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(ServiceFailure, match="another version"):
        Store(path)


def test_the_jobs_of_the_version_before_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    store = Store(path)
    add(store, "a")
    store.close()
    db = sqlite3.connect(path)
    db.execute("ALTER TABLE jobs DROP COLUMN task")
    db.execute("PRAGMA user_version = 2")
    db.close()
    for _ in range(2):
        store = Store(path)
        assert [job.id for job in store.jobs()] == ["a"]
        store.close()


def test_only_one_kind_of_state_fits_into_the_table(store: Store) -> None:
    add(store, "a")
    with pytest.raises(sqlite3.IntegrityError):
        store._database._writer.execute("UPDATE jobs SET state = 'lost'")


class Life(RuleBasedStateMachine):
    """In every order of calls, a job ends once, and its events agree with its state."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.store = Store(Path(self.folder.name) / "jobs.sqlite")
        self.count = 0
        self.held: list[Job] = []

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @rule()
    def submit(self) -> None:
        add(self.store, str(self.count), max_queued=10**6)
        self.count += 1

    @rule()
    def claim(self) -> None:
        job = self.store.claim()
        if job is not None:
            self.held.append(job)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), report=st.sampled_from(["progress", "finish", "fail"]))
    def report(self, data: st.DataObject, report: str) -> None:
        job = data.draw(st.sampled_from(self.held))
        counts, _ = self.store.wanted(job)
        if report == "progress":
            assert self.store.note_progress(job, {}, steps=1, notes=[]) == counts
        elif report == "finish":
            assert self.store.finish(job, [RESULT], stopped=False, notes=[]) == counts
        else:
            assert self.store.fail(job, ServiceError("internal", "x")) == counts

    @rule(blame=st.booleans())
    def worker_dies(self, blame: bool) -> None:
        self.store.release_running("It died." if blame else None)

    @precondition(lambda self: self.count)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.store.cancel(str(data.draw(st.integers(0, self.count - 1))))

    @invariant()
    def every_job_is_accounted_for(self) -> None:
        jobs = self.store.jobs(limit=1000)
        assert len(jobs) == self.count
        for job in jobs:
            events = self.store.events_after(job.id, 0)
            assert [event.seq for event in events] == list(range(1, job.last_event + 1))
            ends = [event for event in events if event.final]
            assert len(ends) == (1 if job.state.final else 0)
            assert (job.state is State.DONE) == bool(job.results)
            assert (job.error is not None) == (job.state in (State.FAILED, State.CANCELLED))


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
