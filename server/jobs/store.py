"""The jobs and their events, as transactions on the database.

A promise to a client (acceptance, an end, a cancellation) is flushed to disk before a method
returns. Progress is only in the write-ahead log, which survives a crash of the process but perhaps
not of the machine. A worker's report counts only for the latest attempt, so a worker that was
declared dead cannot overwrite its successor's work. On a full disk, a method that writes raises
ServiceError `disk_full`; those that end, cancel or delete jobs first give up a reserve.

`server.jobs.transitions` changes states, `queue_order` chooses the next job, `events` and
`pruning` do as their names say.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dip.notes import CodedNote
from server.errors import ServiceError
from server.jobs import events, queue_order, transitions
from server.jobs.database import Database
from server.jobs.events import Event, add_event
from server.jobs.job import MAX_DEATHS, OWNER, Attempt, Job, State, preview_url
from server.jobs.parameters import JobParameters
from server.jobs.pruning import prunable_jobs
from server.jobs.queue_order import count_jobs
from server.jobs.reserve import DiskReserve, always_possible
from server.jobs.transitions import get_job, is_current

_ENDED = "state IN ('done','failed','cancelled')"


class Store:
    """Jobs, their events, and the status that the processes report to each other.

    Parameters
    ----------
    path : Path
        The database file; created if it is missing. `reserve` is a DiskReserve beside it.
    """

    def __init__(self, path: Path) -> None:
        self.reserve = DiskReserve(path.with_name("reserve"))
        self.reserve.give_up_if_full()
        self._database = Database(path)
        self._reading, self._writing = self._database.reading, self._database.writing

    def close(self) -> None:
        self._database.close()

    # --- Requests of clients: the HTTP process ---------------------------------------------------

    def find_by_key(self, key: str, fingerprint: str, owner: str = OWNER) -> Job | None:
        """The job that a user submitted with an Idempotency-Key, if any.

        ServiceError `key_reused`: the key belongs to a different submission.
        """
        with self._reading() as db:
            row = db.execute("SELECT * FROM jobs WHERE key = ?", (f"{owner}:{key}",)).fetchone()
        if row is None:
            return None
        if row["fingerprint"] != fingerprint:
            raise ServiceError(
                "key_reused", "This Idempotency-Key was used for another submission."
            )
        return Job.from_row(row)

    def add(
        self,
        job_id: str,
        parameters: JobParameters,
        *,
        size: int = 0,
        key: str | None = None,
        fingerprint: str | None = None,
        lease_s: float | None = None,
        max_queued: float = math.inf,
        owner: str = OWNER,
        max_queued_each: float = math.inf,
    ) -> Job:
        """Accept a job; it is on disk when this returns.

        Raises
        ------
        ServiceError
            `queue_full`; `key_reused`, also where the same submission arrives twice at once.
        """
        with self._writing() as db:
            if count_jobs(db, State.QUEUED) >= max_queued:
                raise ServiceError("queue_full", f"{max_queued} jobs are waiting already.")
            if owner != OWNER and count_jobs(db, State.QUEUED, owner) >= max_queued_each:
                raise ServiceError("queue_full", f"{max_queued_each} of your jobs are waiting.")
            transitions.add(
                db, job_id, parameters, owner, size=size, key=key, fingerprint=fingerprint,
                lease_s=lease_s,
            )  # fmt: skip
            return get_job(db, job_id)

    @always_possible
    def request_stop(self, job_id: str) -> Job:
        """Ask a running job to end with the best result so far.

        Raises
        ------
        ServiceError
            `job_unknown`, `not_running`.
        """
        with self._writing() as db:
            job = get_job(db, job_id)
            if job.state is not State.RUNNING:
                raise ServiceError("not_running", f"The job is {job.state.value}.")
            if job.parameters.task == "detect":
                raise ServiceError("not_running", "A detection cannot end early.", "Delete it.")
            db.execute("UPDATE jobs SET stop_at = coalesce(stop_at, 0) WHERE id = ?", (job_id,))
            return get_job(db, job_id)

    @always_possible
    def cancel(self, job_id: str, message: str = "The job was cancelled.") -> Job:
        """Cancel a job; a job that has ended stays as it is.

        Raises
        ------
        ServiceError
            `job_unknown`
        """
        with self._writing() as db:
            job = get_job(db, job_id)
            if not job.state.final:
                transitions.cancel(db, job, ServiceError("cancelled", message))
            return get_job(db, job_id)

    @always_possible
    def forget(self, job_id: str) -> None:
        """Delete a job that has ended, with its events."""
        with self._writing() as db:
            db.execute(f"DELETE FROM jobs WHERE id = ? AND {_ENDED}", (job_id,))

    def note_bytes(self, job_id: str, more: int) -> None:
        """Add to the disk space of a job, unless it is cancelled: then its files are deleted."""
        with self._writing(durable=False) as db:
            db.execute(
                "UPDATE jobs SET bytes = bytes + ? WHERE id = ? AND state != 'cancelled'",
                (more, job_id),
            )

    def renew(self, job_id: str) -> Job:
        """Extend the lease of a job, if it has one and has not ended."""
        with self._writing(durable=False) as db:
            db.execute(
                "UPDATE jobs SET lease_until = ? + lease_s WHERE id = ? AND lease_s IS NOT NULL"
                f" AND NOT {_ENDED}",
                (time.time(), job_id),
            )
            return get_job(db, job_id)

    # --- Queries ---------------------------------------------------------------------------------

    def get(self, job_id: str) -> Job:
        with self._reading() as db:
            return get_job(db, job_id)

    def ahead(self, job: Job) -> int | None:
        """The number of queued and running jobs that come before a queued one."""
        if job.state is not State.QUEUED:
            return None
        with self._reading() as db:
            return queue_order.count_ahead(db, job.id)

    def jobs(
        self, state: State | None = None, limit: int = 100, owner: str | None = None
    ) -> list[Job]:
        """Restorations, the latest first; of one user, or of all."""
        wanted = "task = 'restore' AND state = coalesce(?, state) AND owner = coalesce(?, owner)"
        with self._reading() as db:
            rows = db.execute(
                f"SELECT * FROM jobs WHERE {wanted} ORDER BY number DESC LIMIT ?",
                (state and state.value, owner, limit),
            ).fetchall()
        return [Job.from_row(row) for row in rows]

    def ids_with_pixels(self) -> set[str]:
        """Ids of all jobs that have files: all but the cancelled ones."""
        with self._reading() as db:
            rows = db.execute("SELECT id FROM jobs WHERE state != 'cancelled'")
            return {row["id"] for row in rows}

    def count(self, state: State) -> int:
        with self._reading() as db:
            return count_jobs(db, state)

    def events_after(self, job_id: str, seq: int, limit: int = 500) -> list[Event]:
        """Events of a job with a higher number, in order."""
        with self._reading() as db:
            return events.events_after(db, job_id, seq, limit)

    def last_events(self, job_ids: Iterable[str]) -> dict[str, int]:
        """The number of the latest event of each job; deleted jobs are left out."""
        with self._reading() as db:
            return events.last_events(db, job_ids)

    def version(self) -> int:
        """As `Database.version`."""
        return self._database.version()

    # --- Status of the processes -----------------------------------------------------------------

    def status(self, name: str) -> Any:
        """The latest value of a status entry, or None."""
        with self._reading() as db:
            row = db.execute("SELECT value FROM status WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row["value"])

    @always_possible
    def set_status(self, name: str, value: Any) -> None:
        with self._writing(durable=False) as db:
            db.execute(
                "INSERT INTO status VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = ?",
                (name, json.dumps(value), json.dumps(value)),
            )

    # --- Reports of workers ----------------------------------------------------------------------

    def claim(self) -> Job | None:
        """Take the next job from the queue, or None.

        Users take turns. A job that crashed a worker comes after all others.
        """
        with self._reading() as db:  # usually the queue is empty, and needs no lock
            if count_jobs(db, State.QUEUED) == 0:
                return None
        now = time.time()
        with self._writing(durable=False) as db:
            row = queue_order.next_job(db)
            if row is None:
                return None
            queue_order.take_turn(db, row["owner"], now)
            transitions.start(db, row["id"], now)
            return get_job(db, row["id"])

    def wanted(self, job: Attempt) -> tuple[bool, int | None]:
        """Whether an attempt still counts, and the step to stop at, if a stop was requested."""
        with self._reading() as db:
            row = db.execute(
                "SELECT stop_at FROM jobs WHERE id = ? AND state = 'running' AND attempt = ?",
                (job.id, job.attempt),
            ).fetchone()
        return (False, None) if row is None else (True, row["stop_at"])

    def note_progress(
        self, job: Attempt, data: dict[str, Any], *, steps: int, notes: list[CodedNote]
    ) -> bool:
        """Record progress; False where the attempt no longer counts."""
        with self._writing(durable=False) as db:
            if not is_current(db, job):
                return False
            db.execute(
                "UPDATE jobs SET progress = ?, steps = ?, notes = ?, touched = ? WHERE id = ?",
                (json.dumps(data), steps, json.dumps(notes), time.time(), job.id),
            )
            add_event(db, job.id, "progress", data)
        return True

    def note_remarks(self, job: Attempt, notes: list[CodedNote]) -> bool:
        """Record the notes that are known before the work; False where the attempt is void."""
        with self._writing(durable=False) as db:
            if not is_current(db, job):
                return False
            db.execute("UPDATE jobs SET notes = ? WHERE id = ?", (json.dumps(notes), job.id))
        return True

    def note_preview(self, job: Attempt, data: dict[str, Any]) -> bool:
        """Record a new preview file; False where the attempt no longer counts."""
        with self._writing(durable=False) as db:
            if not is_current(db, job):
                return False
            db.execute("UPDATE jobs SET preview = ? WHERE id = ?", (json.dumps(data), job.id))
            told = {name: value for name, value in data.items() if name != "file"}
            add_event(db, job.id, "preview", {**told, "url": preview_url(job.id)})
        return True

    @always_possible
    def finish(
        self,
        job: Attempt,
        results: list[dict[str, Any]],
        *,
        stopped: bool,
        notes: list[CodedNote],
    ) -> bool:
        """End an attempt with its results; False where it no longer counts."""
        with self._writing() as db:
            if not is_current(db, job):
                return False
            transitions.complete(db, get_job(db, job.id), results, stopped=stopped)
            db.execute(
                "UPDATE jobs SET bytes = bytes + ?, notes = ? WHERE id = ?",
                (sum(result["bytes"] for result in results), json.dumps(notes), job.id),
            )
        return True

    @always_possible
    def fail(self, job: Attempt, error: ServiceError) -> bool:
        """End an attempt with an error; False where it no longer counts."""
        with self._writing() as db:
            if not is_current(db, job):
                return False
            transitions.fail(db, get_job(db, job.id), error)
        return True

    # --- Maintenance: the dispatcher -------------------------------------------------------------

    @always_possible
    def release_running(self, cause_of_death: str | None, hint: str | None = None) -> list[Job]:
        """Queue all running jobs again, because their worker is gone.

        Parameters
        ----------
        cause_of_death : str, optional
            How the worker ended, where the job may be the cause; None where it is not. A job that
            crashed too many workers is failed.
        hint : str, optional
            The remedy, where the cause has one.

        Returns
        -------
        list of Job
            The queued jobs.
        """
        with self._writing() as db:
            rows = db.execute("SELECT * FROM jobs WHERE state = 'running'").fetchall()
            released = [
                transitions.requeue(db, Job.from_row(row), cause_of_death, MAX_DEATHS, hint)
                for row in rows
            ]
        return [job for job in released if job is not None]

    @always_possible
    def release(
        self, job: Job, cause_of_death: str | None, max_deaths: int = MAX_DEATHS
    ) -> Job | None:
        """Queue the job of an attempt again; None where the attempt or the job has ended."""
        with self._writing() as db:
            if not is_current(db, job):
                return None
            return transitions.requeue(db, get_job(db, job.id), cause_of_death, max_deaths)

    @always_possible
    def cancel_expired(self, now: float) -> list[str]:
        """Cancel the jobs whose lease has expired; return their ids."""
        expired = f"SELECT * FROM jobs WHERE lease_until < ? AND NOT {_ENDED}"
        with self._reading() as db:  # usually there is none, and no lock is needed
            if db.execute(expired, (now,)).fetchone() is None:
                return []
        message = "The client did not renew the job's lease in time."
        with self._writing() as db:
            jobs = [Job.from_row(row) for row in db.execute(expired, (now,)).fetchall()]
            for job in jobs:
                transitions.cancel(db, job, ServiceError("lease_expired", message))
        return [job.id for job in jobs]

    @always_possible
    def restart_timeouts(self, now: float) -> None:
        """Restart all leases and the workers' timeouts: the machine may have slept."""
        with self._writing(durable=False) as db:
            db.execute(f"UPDATE jobs SET lease_until = ? + lease_s WHERE NOT {_ENDED}", (now,))
            db.execute("UPDATE jobs SET touched = ? WHERE state = 'running'", (now,))

    def stalled(self, before: float) -> list[str]:
        """Ids of running jobs without progress since a moment."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT id FROM jobs WHERE state = 'running' AND touched < ?", (before,)
            ).fetchall()
        return [row["id"] for row in rows]

    @always_possible
    def prune(self, *, ended_before: float, keep_bytes: int) -> list[str]:
        """Delete old jobs as `prunable_jobs` says; return their ids."""
        with self._reading() as db:
            rows = db.execute(
                f"SELECT id, ended, bytes FROM jobs WHERE {_ENDED} ORDER BY ended DESC, number DESC"
            ).fetchall()
        pruned = prunable_jobs(rows, ended_before=ended_before, keep_bytes=keep_bytes)
        if pruned:
            with self._writing() as db:
                db.executemany("DELETE FROM jobs WHERE id = ?", [(job_id,) for job_id in pruned])
        return pruned
