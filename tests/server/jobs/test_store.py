"""The store: order, exactly once, whose word counts, what survives."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dip.config import Settings
from server.errors import ServiceError, ServiceFailure
from server.jobs.job import MAX_ATTEMPTS, Job, State
from server.jobs.parameters import JobParameters
from server.jobs.store import Store

PARAMETERS = JobParameters(settings=Settings())
RESULT = {"network": "unet", "bytes": 100, "file": "result.unet.1"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "jobs.sqlite")
    yield store
    store.close()


def add(store: Store, job_id: str, **more: object) -> Job:
    return store.add(job_id, PARAMETERS, **more)  # type: ignore[arg-type]


def claimed(store: Store) -> Job:
    job = store.claim()
    assert job is not None
    return job


def test_jobs_are_taken_in_order(store: Store) -> None:
    for name in "abc":
        add(store, name)
    assert [claimed(store).id for _ in "abc"] == ["a", "b", "c"]
    assert store.claim() is None


def test_a_job_says_how_many_come_first(store: Store) -> None:
    jobs = [add(store, name) for name in "abc"]
    assert [store.ahead(job) for job in jobs] == [0, 1, 2]
    claimed(store)
    assert [store.ahead(store.get(name)) for name in "abc"] == [None, 1, 2]


def test_events_count_from_one_and_end_once(store: Store) -> None:
    add(store, "a")
    job = claimed(store)
    for step in range(1, 4):
        assert store.note_progress(job, {"iteration": step}, steps=step, notes=[])
    assert store.note_preview(job, {"number": 1, "file": "secret"})
    assert store.finish(job, [RESULT], stopped=False, notes=["aloud"])
    events = store.events_after("a", 0)
    assert [event.seq for event in events] == [1, 2, 3, 4, 5, 6]
    assert [event.kind for event in events] == ["progress"] * 4 + ["preview", "done"]
    assert all('"file"' not in event.data for event in events)
    assert [event.seq for event in store.events_after("a", 4)] == [5, 6]
    assert store.get("a").notes == ["aloud"]


def test_a_full_queue_takes_no_more(store: Store) -> None:
    add(store, "a", max_queued=1)
    with pytest.raises(ServiceError, match="1 jobs are waiting") as caught:
        add(store, "b", max_queued=1)
    assert (caught.value.code, caught.value.retry_after_s) == ("queue_full", 5)
    claimed(store)
    add(store, "b", max_queued=1)


def test_a_key_stands_for_one_submission(store: Store) -> None:
    add(store, "a", key="k", fingerprint="f")
    known = store.find_by_key("k", "f")
    assert known is not None
    assert known.id == "a"
    assert store.find_by_key("other", "f") is None
    with pytest.raises(ServiceError, match="another submission"):
        store.find_by_key("k", "different")
    with pytest.raises(ServiceError) as caught:
        add(store, "b", key="k", fingerprint="f")
    assert caught.value.code == "key_reused"


# --- Whose word counts ---------------------------------------------------------------------------


def test_a_worker_that_was_declared_dead_changes_nothing(store: Store) -> None:
    add(store, "a")
    ghost = claimed(store)
    store.release_running("It was killed.")
    heir = claimed(store)
    assert store.wanted(ghost) == (False, None)
    assert not store.note_progress(ghost, {}, steps=9, notes=[])
    assert not store.note_preview(ghost, {"file": "x"})
    assert not store.finish(ghost, [RESULT], stopped=False, notes=[])
    assert not store.fail(ghost, ServiceError("internal", "no"))
    assert store.wanted(heir) == (True, None)
    assert store.finish(heir, [RESULT], stopped=False, notes=[])


def test_cancelling_counts_at_once(store: Store) -> None:
    add(store, "a", size=50)
    job = claimed(store)
    assert store.cancel("a").state is State.CANCELLED
    assert store.wanted(job) == (False, None)
    assert not store.finish(job, [RESULT], stopped=False, notes=[])
    cancelled = store.get("a")
    assert cancelled.error is not None
    assert (cancelled.error["code"], cancelled.bytes) == ("cancelled", 0)
    assert store.cancel("a").ended == cancelled.ended


def test_a_job_that_kills_two_workers_is_failed_and_the_queue_goes_on(store: Store) -> None:
    add(store, "bad")
    add(store, "good")
    assert claimed(store).id == "bad"
    store.release_running("It was killed by SIGSEGV.")
    assert claimed(store).id == "good"  # who was never to blame comes first
    store.finish(store.get("good"), [RESULT], stopped=False, notes=[])
    assert claimed(store).id == "bad"
    assert store.release_running("It was killed by SIGSEGV.") == []
    error = store.get("bad").error
    assert error is not None
    assert error["code"] == "worker_died"
    assert "2 times. It was killed by SIGSEGV." in error["message"]
    assert "fast" in error["hint"]


def test_one_attempt_among_several_is_released_by_itself(store: Store) -> None:
    for name in ("a", "b"):
        add(store, name)
    first, other = claimed(store), claimed(store)
    for _ in range(2):
        released = store.release(first, "It was lost.", max_deaths=3)
        assert released is not None
        assert store.release(first, "It was lost.") is None  # of an attempt that no longer counts
        first = claimed(store)
    assert first.deaths == 2
    assert store.release(first, "It was lost.", max_deaths=3) is None
    failed = store.get("a")
    assert failed.error is not None
    assert "3 times. It was lost." in failed.error["message"]
    assert store.wanted(other) == (True, None)


def test_a_restart_is_not_the_jobs_fault_but_has_an_end(store: Store) -> None:
    add(store, "a")
    for _ in range(MAX_ATTEMPTS - 1):
        claimed(store)
        assert [job.id for job in store.release_running(None)] == ["a"]
    assert store.get("a").deaths == 0
    claimed(store)
    store.release_running(None)
    assert store.get("a").state is State.FAILED


def test_a_stop_is_obeyed_at_the_same_step_after_a_crash(store: Store) -> None:
    add(store, "a")
    with pytest.raises(ServiceError, match="queued"):
        store.request_stop("a")
    job = claimed(store)
    store.note_progress(job, {}, steps=17, notes=[])
    store.request_stop("a")
    assert store.wanted(job) == (True, 0)
    store.release_running(None)
    assert store.wanted(claimed(store)) == (True, 17)


# --- Leases, pruning, facts ----------------------------------------------------------------------


def test_a_lease_expires_unless_it_is_renewed(store: Store) -> None:
    job = add(store, "a", lease_s=10.0, size=50)
    add(store, "without one")
    assert job.lease_until is not None
    renewed = store.renew("a")
    assert renewed.lease_until is not None
    assert renewed.lease_until > job.lease_until
    assert store.cancel_expired(renewed.lease_until - 0.001) == []
    assert store.cancel_expired(renewed.lease_until + 0.001) == ["a"]
    cancelled = store.get("a")
    assert cancelled.error is not None
    assert (cancelled.error["code"], cancelled.bytes) == ("lease_expired", 0)
    assert store.cancel_expired(2**40) == []


def test_nobody_is_late_after_the_machine_slept(store: Store) -> None:
    job = add(store, "a", lease_s=10.0)
    add(store, "b")
    claimed(store)
    assert job.lease_until is not None
    hours_later = job.created + 9999
    assert store.stalled(hours_later - 1800) == ["a"]
    store.restart_timeouts(hours_later)
    assert store.stalled(hours_later - 1800) == []
    assert store.get("a").lease_until == hours_later + 10
    assert store.get("b").lease_until is None


def test_pruning_takes_the_oldest_and_leaves_the_latest(store: Store) -> None:
    for name in "abcd":
        add(store, name)
        store.finish(claimed(store), [RESULT], stopped=False, notes=[])
    add(store, "waiting")
    assert store.prune(ended_before=0, keep_bytes=250) == ["b", "a"]
    assert store.prune(ended_before=0, keep_bytes=1) == ["c"]
    assert store.prune(ended_before=0, keep_bytes=1) == []
    assert store.prune(ended_before=2**40, keep_bytes=10**9) == ["d"]
    assert store.ids_with_pixels() == {"waiting"}
    assert store.events_after("a", 0) == []


def test_facts_are_told_across_connections(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "jobs.sqlite")
    before = store.version()
    other.set_status("worker", {"pid": 5})
    assert store.version() != before
    assert store.status("worker") == {"pid": 5}
    assert store.status("nothing") is None
    other.close()


# --- Under stress --------------------------------------------------------------------------------


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


def test_what_was_accepted_is_there_after_a_kill(tmp_path: Path) -> None:
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


def test_what_was_promised_is_flushed_and_progress_is_not(store: Store) -> None:
    """A power cut cannot be had in a test; that SQLite was asked for it can."""

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


def test_only_one_kind_of_state_fits_into_the_table(store: Store) -> None:
    add(store, "a")
    with pytest.raises(sqlite3.IntegrityError):
        store._database._writer.execute("UPDATE jobs SET state = 'lost'")


class Life(RuleBasedStateMachine):
    """Whatever happens in whatever order: a job ends once, and its events tell the same story."""

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
    @rule(data=st.data(), what=st.sampled_from(["progress", "finish", "fail"]))
    def report(self, data: st.DataObject, what: str) -> None:
        job = data.draw(st.sampled_from(self.held))
        counts, _ = self.store.wanted(job)
        if what == "progress":
            assert self.store.note_progress(job, {}, steps=1, notes=[]) == counts
        elif what == "finish":
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
