"""The store: order of jobs, keys, attempts, leases and pruning."""

from __future__ import annotations

from pathlib import Path

import pytest
from stored_jobs import RESULT, add, claimed

from dip.notes import Note, to_json
from server.errors import ServiceError
from server.jobs.job import MAX_ATTEMPTS, State
from server.jobs.store import Store


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
    assert store.finish(job, [RESULT], stopped=False, notes=to_json([Note("time_over")]))
    events = store.events_after("a", 0)
    assert [event.seq for event in events] == [1, 2, 3, 4, 5, 6]
    assert [event.kind for event in events] == ["progress"] * 4 + ["preview", "done"]
    assert all('"file"' not in event.data for event in events)
    assert [event.seq for event in store.events_after("a", 4)] == [5, 6]
    assert store.get("a").notes == [Note("time_over").to_json()]


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


# --- Attempts ------------------------------------------------------------------------------------


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
    assert claimed(store).id == "good"  # it never crashed a worker, so it comes first
    store.finish(store.get("good"), [RESULT], stopped=False, notes=[])
    assert claimed(store).id == "bad"
    assert store.release_running("It was killed by SIGSEGV.") == []
    error = store.get("bad").error
    assert error is not None
    assert error["code"] == "worker_died"
    assert "2 times. It was killed by SIGSEGV." in error["message"]
    assert "log" in error["hint"]


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


# --- Leases, pruning, status ---------------------------------------------------------------------


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


def test_status_is_shared_across_connections(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "jobs.sqlite")
    before = store.version()
    other.set_status("worker", {"pid": 5})
    assert store.version() != before
    assert store.status("worker") == {"pid": 5}
    assert store.status("nothing") is None
    other.close()


def test_notes_of_an_older_version_are_told_without_a_code(store: Store) -> None:
    add(store, "a")
    store.finish(claimed(store), [RESULT], stopped=False, notes=["a sentence"])
    public = store.get("a").public()
    assert public["notes"] == ["a sentence"]
    assert public["coded_notes"] == [{"code": "", "values": {}, "message": "a sentence"}]
