"""The jobs and their events: what may happen to them, as SQL.

What has been promised to a client (acceptance, an end, a cancellation) is on disk when a method
returns; progress is only in the write-ahead log, which outlives the process but perhaps not the
machine. A worker's word counts for the attempt that it took: one that was declared dead cannot
overwrite what its successor does. Where the disk is full, ServiceError `disk_full` is raised.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from server.errors import ServiceError
from server.jobs.database import Database
from server.jobs.job import (
    MOST_ATTEMPTS,
    MOST_DEATHS,
    OWNER,
    Attempt,
    Event,
    Job,
    State,
    check_transition,
)
from server.jobs.parameters import JobParameters

JOB_UNKNOWN = "There is no job of this id."
_MOST_ENDED = 10_000
_QUEUE = """
SELECT jobs.*, coalesce(taken, 0) AS taken,
       row_number() OVER (PARTITION BY deaths, jobs.owner ORDER BY number) AS place
FROM jobs LEFT JOIN turns USING (owner) WHERE state = 'queued'
"""
"""Who is whose first, second, third, and how long ago each had a turn."""

_ENDED = "state IN ('done','failed','cancelled')"


class Store:
    """Jobs, their events, and a few facts that the processes tell each other.

    Parameters
    ----------
    path : Path
        The file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path)
        self._reading, self._writing = self._database.reading, self._database.writing

    def close(self) -> None:
        self._database.close()

    # --- Submissions and wishes: the HTTP process ------------------------------------------------

    def known(self, key: str, fingerprint: str, owner: str = OWNER) -> Job | None:
        """The job that a user used a key for, if any.

        Raises
        ------
        ServiceError
            `key_reused`: it was used for something else.
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
        most_queued: int = 100,
        owner: str = OWNER,
        most_queued_each: int = 20,
    ) -> Job:
        """Accept a job; it is on disk when this returns.

        Raises
        ------
        ServiceError
            `queue_full`; `key_reused`, also where the same submission came twice at once.
        """
        now = time.time()
        with self._writing() as db:
            if self._count(db, State.QUEUED) >= most_queued:
                raise ServiceError(
                    "queue_full", f"{most_queued} jobs are waiting already.", retry_after_s=5
                )
            if owner != OWNER and self._count(db, State.QUEUED, owner) >= most_queued_each:
                raise ServiceError(
                    "queue_full", f"{most_queued_each} of your jobs are waiting.", retry_after_s=5
                )
            try:
                db.execute(
                    "INSERT INTO jobs (id, owner, key, fingerprint, state, parameters, created,"
                    " touched, lease_s, lease_until, bytes)"
                    " VALUES (?,?,?,?,'queued',?,?,?,?,?,?)",
                    (
                        job_id,
                        owner,
                        None if key is None else f"{owner}:{key}",
                        fingerprint,
                        parameters.as_json(),
                        now,
                        now,
                        lease_s,
                        None if lease_s is None else now + lease_s,
                        size,
                    ),
                )
            except sqlite3.IntegrityError as error:
                raise ServiceError("key_reused", "This submission is being taken.") from error
            self._add_event(db, job_id, "progress", {"state": "queued", "attempt": 0})
            return self._job(db, job_id)

    def request_stop(self, job_id: str) -> Job:
        """Ask a running job to finish with the best so far.

        Raises
        ------
        ServiceError
            `job_unknown`, `not_running`.
        """
        with self._writing() as db:
            job = self._job(db, job_id)
            if job.state is not State.RUNNING:
                raise ServiceError("not_running", f"The job is {job.state.value}.")
            db.execute("UPDATE jobs SET stop_at = coalesce(stop_at, 0) WHERE id = ?", (job_id,))
            return self._job(db, job_id)

    def cancel(self, job_id: str, message: str = "The job was cancelled.") -> Job:
        """End a job that has not ended; one that has stays as it is.

        Raises
        ------
        ServiceError
            `job_unknown`
        """
        with self._writing() as db:
            job = self._job(db, job_id)
            if not job.state.final:
                self._cancel(db, job, ServiceError("cancelled", message))
            return self._job(db, job_id)

    def forget(self, job_id: str) -> None:
        """Remove a job that has ended, its events too."""
        with self._writing() as db:
            db.execute(f"DELETE FROM jobs WHERE id = ? AND {_ENDED}", (job_id,))

    def note_bytes(self, job_id: str, more: int) -> None:
        """A job takes more of the disk; nothing is kept of a cancelled one."""
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
            return self._job(db, job_id)

    # --- Questions -------------------------------------------------------------------------------

    def get(self, job_id: str) -> Job:
        """
        Raises
        ------
        ServiceError
            `job_unknown`
        """
        with self._reading() as db:
            return self._job(db, job_id)

    def ahead(self, job: Job) -> int | None:
        """Queued and running jobs that come before a queued one."""
        if job.state is not State.QUEUED:
            return None
        with self._reading() as db:
            row = db.execute(
                f"WITH queue AS ({_QUEUE})"
                " SELECT (SELECT count(*) FROM jobs WHERE state = 'running') + count(*) FROM queue,"
                " (SELECT deaths AS a, place AS b, taken AS c, number AS d FROM queue WHERE id = ?)"
                " WHERE (deaths, place, taken, number) < (a, b, c, d)",
                (job.id,),
            ).fetchone()
        return int(row[0])

    def jobs(
        self, state: State | None = None, limit: int = 100, owner: str | None = None
    ) -> list[Job]:
        """Jobs, the latest first; of one user, or of all."""
        wanted = {"state": state and state.value, "owner": owner}
        given = {name: value for name, value in wanted.items() if value is not None}
        where = "WHERE " + " AND ".join(f"{name} = ?" for name in given) if given else ""
        with self._reading() as db:
            rows = db.execute(
                f"SELECT * FROM jobs {where} ORDER BY number DESC LIMIT ?", (*given.values(), limit)
            ).fetchall()
        return [Job.from_row(row) for row in rows]

    def ids_with_pixels(self) -> set[str]:
        """Ids of all jobs but the cancelled ones: nothing is kept of those."""
        with self._reading() as db:
            rows = db.execute("SELECT id FROM jobs WHERE state != 'cancelled'")
            return {row["id"] for row in rows}

    def count(self, state: State) -> int:
        with self._reading() as db:
            return self._count(db, state)

    def events_after(self, job_id: str, seq: int, limit: int = 500) -> list[Event]:
        """Events of a job with a higher number, in order."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT seq, kind, data FROM events WHERE job = ? AND seq > ? ORDER BY seq LIMIT ?",
                (job_id, seq, limit),
            ).fetchall()
        return [Event(seq=row["seq"], kind=row["kind"], data=row["data"]) for row in rows]

    def last_events(self, job_ids: Iterable[str]) -> dict[str, int]:
        """The number of the latest event of each job; those that are gone are left out."""
        ids = list(job_ids)
        marks = ",".join("?" * len(ids))
        with self._reading() as db:
            rows = db.execute(f"SELECT id, last_event FROM jobs WHERE id IN ({marks})", ids)
            return {row["id"]: row["last_event"] for row in rows}

    def version(self) -> int:
        """Changes whenever any process changed anything. For one thread only."""
        return self._database.version()

    def status(self, name: str) -> Any:
        """The latest value of a status entry, or None."""
        with self._reading() as db:
            row = db.execute("SELECT value FROM status WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row["value"])

    def set_status(self, name: str, value: Any) -> None:
        with self._writing(durable=False) as db:
            db.execute(
                "INSERT INTO status VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = ?",
                (name, json.dumps(value), json.dumps(value)),
            )

    # --- Work: the worker ------------------------------------------------------------------------

    def claim(self) -> Job | None:
        """Take the next job, or None.

        Users take turns. A job that a worker died of comes after all others.
        """
        with self._reading() as db:  # most of the time there is nothing, and nothing to lock
            if self._count(db, State.QUEUED) == 0:
                return None
        now = time.time()
        with self._writing(durable=False) as db:
            row = db.execute(f"{_QUEUE} ORDER BY deaths, place, taken, number LIMIT 1").fetchone()
            if row is None:
                return None
            db.execute(
                "INSERT INTO turns VALUES (?, ?) ON CONFLICT (owner) DO UPDATE SET taken = ?",
                (row["owner"], now, now),
            )
            db.execute(
                "UPDATE jobs SET state = 'running', attempt = attempt + 1, touched = ?,"
                " started = coalesce(started, ?), notes = NULL WHERE id = ?",
                (now, now, row["id"]),
            )
            return self._job(db, row["id"])

    def wanted(self, job: Attempt) -> tuple[bool, int | None]:
        """Whether an attempt still counts, and at which step it was asked to stop, if it was."""
        with self._reading() as db:
            row = db.execute(
                "SELECT stop_at FROM jobs WHERE id = ? AND state = 'running' AND attempt = ?",
                (job.id, job.attempt),
            ).fetchone()
        return (False, None) if row is None else (True, row["stop_at"])

    def note_progress(
        self, job: Attempt, data: dict[str, Any], *, steps: int, notes: list[str]
    ) -> bool:
        """Record progress; False where the attempt no longer counts."""
        with self._writing(durable=False) as db:
            if not self._counts(db, job):
                return False
            db.execute(
                "UPDATE jobs SET progress = ?, steps = ?, notes = ?, touched = ? WHERE id = ?",
                (json.dumps(data), steps, json.dumps(notes), time.time(), job.id),
            )
            self._add_event(db, job.id, "progress", data)
        return True

    def note_preview(self, job: Attempt, data: dict[str, Any]) -> bool:
        """Record that a preview lies ready; False where the attempt no longer counts."""
        with self._writing(durable=False) as db:
            if not self._counts(db, job):
                return False
            db.execute("UPDATE jobs SET preview = ? WHERE id = ?", (json.dumps(data), job.id))
            told = {name: value for name, value in data.items() if name != "file"}
            self._add_event(db, job.id, "preview", {**told, "url": f"/v1/jobs/{job.id}/preview"})
        return True

    def finish(
        self, job: Attempt, results: list[dict[str, Any]], *, stopped: bool, notes: list[str]
    ) -> bool:
        """End an attempt with its results; False where it no longer counts."""
        with self._writing() as db:
            if not self._counts(db, job):
                return False
            self._end(db, self._job(db, job.id), State.DONE, results=results, stopped=stopped)
            db.execute(
                "UPDATE jobs SET bytes = bytes + ?, notes = ? WHERE id = ?",
                (sum(result["bytes"] for result in results), json.dumps(notes), job.id),
            )
        return True

    def fail(self, job: Attempt, error: ServiceError) -> bool:
        """End an attempt with a reason; False where it no longer counts."""
        with self._writing() as db:
            if not self._counts(db, job):
                return False
            self._end(db, self._job(db, job.id), State.FAILED, error=error)
        return True

    # --- Care: the supervisor --------------------------------------------------------------------

    def release_running(self, cause_of_death: str | None) -> list[Job]:
        """Queue running jobs again: there is no worker. Those that must not run again are failed.

        Parameters
        ----------
        cause_of_death : str, optional
            What became of the worker, where the job may be to blame; None where it was not the
            worker that ended first.
        """
        with self._writing() as db:
            rows = db.execute("SELECT * FROM jobs WHERE state = 'running'").fetchall()
            released = [self._release(db, Job.from_row(row), cause_of_death) for row in rows]
        return [job for job in released if job is not None]

    def release(
        self, job: Job, cause_of_death: str | None, most_deaths: int = MOST_DEATHS
    ) -> Job | None:
        """The same for one attempt, if it still counts; the job, where it is queued again."""
        with self._writing() as db:
            return (
                self._release(db, self._job(db, job.id), cause_of_death, most_deaths)
                if self._counts(db, job)
                else None
            )

    def _release(
        self,
        db: sqlite3.Connection,
        job: Job,
        cause_of_death: str | None,
        most_deaths: int = MOST_DEATHS,
    ) -> Job | None:
        if cause_of_death is not None:
            db.execute("UPDATE jobs SET deaths = deaths + 1 WHERE id = ?", (job.id,))
            if job.deaths + 1 >= most_deaths:
                message = f"The worker died of this job {job.deaths + 1} times. {cause_of_death}"
                self._end(db, job, State.FAILED, error=ServiceError("worker_died", message))
                return None
        if job.attempt >= MOST_ATTEMPTS:
            message = f"The job was begun {job.attempt} times and never came to an end."
            self._end(db, job, State.FAILED, error=ServiceError("worker_died", message))
            return None
        check_transition(job.state, State.QUEUED)
        # A stop that was asked for is obeyed at the same step as before.
        db.execute(
            "UPDATE jobs SET state = 'queued', touched = ?,"
            " stop_at = CASE WHEN stop_at IS NULL THEN NULL ELSE max(stop_at, steps, 1) END"
            " WHERE id = ?",
            (time.time(), job.id),
        )
        self._add_event(db, job.id, "progress", {"state": "queued", "attempt": job.attempt})
        return self._job(db, job.id)

    def cancel_expired(self, now: float) -> list[str]:
        """Cancel jobs whose client let its lease run out; return their ids."""
        running_out = f"SELECT * FROM jobs WHERE lease_until < ? AND NOT {_ENDED}"
        with self._reading() as db:  # most of the time there is none, and nothing to lock
            if db.execute(running_out, (now,)).fetchone() is None:
                return []
        message = "The client held a lease and let it run out."
        with self._writing() as db:
            jobs = [Job.from_row(row) for row in db.execute(running_out, (now,)).fetchall()]
            for job in jobs:
                self._cancel(db, job, ServiceError("lease_expired", message))
        return [job.id for job in jobs]

    def restart_timeouts(self, now: float) -> None:
        """Give clients and workers their full time again: the machine may have slept."""
        with self._writing(durable=False) as db:
            db.execute(f"UPDATE jobs SET lease_until = ? + lease_s WHERE NOT {_ENDED}", (now,))
            db.execute("UPDATE jobs SET touched = ? WHERE state = 'running'", (now,))

    def stalled(self, before: float) -> list[str]:
        """Running jobs without a sign of life since a moment."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT id FROM jobs WHERE state = 'running' AND touched < ?", (before,)
            ).fetchall()
        return [row["id"] for row in rows]

    def prune(self, *, ended_before: float, keep_bytes: int) -> list[str]:
        """Forget ended jobs that are too old or, oldest first, too many; the latest always stays.

        Returns
        -------
        list of str
            Ids of those that are gone.
        """
        with self._reading() as db:
            rows = db.execute(
                f"SELECT id, ended, bytes FROM jobs WHERE {_ENDED} ORDER BY ended DESC, number DESC"
            ).fetchall()
        kept_bytes, gone = 0, []
        for place, row in enumerate(rows):
            kept_bytes += row["bytes"]
            too_many = kept_bytes > keep_bytes or place >= _MOST_ENDED
            if row["ended"] < ended_before or (place > 0 and too_many):
                gone.append(row["id"])
        if gone:
            with self._writing() as db:
                db.executemany("DELETE FROM jobs WHERE id = ?", [(each,) for each in gone])
        return gone

    # --- Inside ----------------------------------------------------------------------------------

    @staticmethod
    def _job(db: sqlite3.Connection, job_id: str) -> Job:
        row = db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise ServiceError("job_unknown", JOB_UNKNOWN)
        return Job.from_row(row)

    @staticmethod
    def _count(db: sqlite3.Connection, state: State, owner: str | None = None) -> int:
        row = db.execute(
            "SELECT count(*) FROM jobs WHERE state = ? AND owner = coalesce(?, owner)",
            (state.value, owner),
        ).fetchone()
        return int(row[0])

    @staticmethod
    def _counts(db: sqlite3.Connection, job: Attempt) -> bool:
        """Whether a worker's attempt is the one that counts."""
        return (
            db.execute(
                "SELECT 1 FROM jobs WHERE id = ? AND state = 'running' AND attempt = ?",
                (job.id, job.attempt),
            ).fetchone()
            is not None
        )

    @staticmethod
    def _add_event(db: sqlite3.Connection, job_id: str, kind: str, data: dict[str, Any]) -> None:
        db.execute("UPDATE jobs SET last_event = last_event + 1 WHERE id = ?", (job_id,))
        db.execute(
            "INSERT INTO events SELECT id, last_event, ?, ? FROM jobs WHERE id = ?",
            (kind, json.dumps(data), job_id),
        )

    def _cancel(self, db: sqlite3.Connection, job: Job, error: ServiceError) -> None:
        self._end(db, job, State.CANCELLED, error=error)
        db.execute("UPDATE jobs SET bytes = 0 WHERE id = ?", (job.id,))

    def _end(
        self,
        db: sqlite3.Connection,
        job: Job,
        state: State,
        *,
        results: list[dict[str, Any]] | None = None,
        error: ServiceError | None = None,
        stopped: bool = False,
    ) -> None:
        check_transition(job.state, state)
        db.execute(
            "UPDATE jobs SET state = ?, ended = ?, results = ?, error = ? WHERE id = ?",
            (
                state.value,
                time.time(),
                json.dumps(results or []),
                None if error is None else json.dumps(error.body()["error"]),
                job.id,
            ),
        )
        if error is not None:
            self._add_event(db, job.id, "error", {"state": state.value, **error.body()})
        else:
            told = [
                {
                    **{name: value for name, value in result.items() if name != "file"},
                    "url": f"/v1/jobs/{job.id}/result?network={result['network']}",
                }
                for result in results or []
            ]
            self._add_event(
                db, job.id, "done", {"state": state.value, "stopped": stopped, "results": told}
            )
