"""Changes of a job's state, inside a transaction that the caller opened.

Every change of state is checked against `server.jobs.job.ALLOWED` and adds an event.
"""

from __future__ import annotations

import json
import sqlite3
import time
from typing import Any

from server.errors import ServiceError
from server.jobs.events import add_event
from server.jobs.job import (
    MAX_ATTEMPTS,
    Attempt,
    Job,
    State,
    check_transition,
    url_of,
)
from server.jobs.parameters import JobParameters

JOB_UNKNOWN = "There is no job of this id."


def get_job(db: sqlite3.Connection, job_id: str) -> Job:
    """Read a job; ServiceError `job_unknown` where there is none."""
    row = db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise ServiceError("job_unknown", JOB_UNKNOWN)
    return Job.from_row(row)


def is_current(db: sqlite3.Connection, attempt: Attempt) -> bool:
    """Whether a job runs, and this is its latest attempt."""
    row = db.execute(
        "SELECT 1 FROM jobs WHERE id = ? AND state = 'running' AND attempt = ?",
        (attempt.id, attempt.attempt),
    ).fetchone()
    return row is not None


def add(
    db: sqlite3.Connection,
    job_id: str,
    parameters: JobParameters,
    owner: str,
    *,
    size: int,
    key: str | None,
    fingerprint: str | None,
    lease_s: float | None,
) -> None:
    """Put a new job into the queue; ServiceError `key_reused` where its key is taken."""
    now = time.time()
    try:
        db.execute(
            "INSERT INTO jobs (id, owner, key, fingerprint, state, parameters, created,"
            " touched, lease_s, lease_until, bytes, task)"
            " VALUES (?,?,?,?,'queued',?,?,?,?,?,?,?)",
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
                parameters.task,
            ),
        )
    except sqlite3.IntegrityError as error:
        raise ServiceError(
            "key_reused", "The same submission is arriving in another request."
        ) from error
    add_event(db, job_id, "progress", {"state": "queued", "attempt": 0})


def start(db: sqlite3.Connection, job_id: str, now: float) -> None:
    """Begin a queued job's next attempt."""
    db.execute(
        "UPDATE jobs SET state = 'running', attempt = attempt + 1, touched = ?,"
        " started = coalesce(started, ?), notes = NULL WHERE id = ?",
        (now, now, job_id),
    )


def requeue(
    db: sqlite3.Connection,
    job: Job,
    cause_of_death: str | None,
    max_deaths: int,
    hint: str | None = None,
) -> Job | None:
    """Queue a running job again; fail it and return None after too many deaths or attempts."""
    if cause_of_death is not None:
        db.execute("UPDATE jobs SET deaths = deaths + 1 WHERE id = ?", (job.id,))
        if job.deaths + 1 >= max_deaths:
            message = f"This job's worker died {job.deaths + 1} times. {cause_of_death}"
            fail(db, job, ServiceError("worker_died", message, hint))
            return None
    if job.attempt >= MAX_ATTEMPTS:
        message = f"The job was started {job.attempt} times and never ended."
        fail(db, job, ServiceError("worker_died", message))
        return None
    check_transition(job.state, State.QUEUED)
    # The next attempt stops at the step where the user asked the last one to stop.
    db.execute(
        "UPDATE jobs SET state = 'queued', touched = ?,"
        " stop_at = CASE WHEN stop_at IS NULL THEN NULL ELSE max(stop_at, steps, 1) END"
        " WHERE id = ?",
        (time.time(), job.id),
    )
    add_event(db, job.id, "progress", {"state": "queued", "attempt": job.attempt})
    return get_job(db, job.id)


def complete(
    db: sqlite3.Connection, job: Job, results: list[dict[str, Any]], *, stopped: bool
) -> None:
    """End a job with its results."""
    _end(db, job, State.DONE, results=results)
    told = [
        {
            **{name: value for name, value in result.items() if name != "file"},
            "url": url_of(job.id, result),
        }
        for result in results
    ]
    data = {"state": State.DONE.value, "stopped": stopped, "results": told}
    add_event(db, job.id, "done", data)


def fail(db: sqlite3.Connection, job: Job, error: ServiceError) -> None:
    """End a job with an error."""
    _end(db, job, State.FAILED, error=error)
    add_event(db, job.id, "error", {"state": State.FAILED.value, **error.body()})


def cancel(db: sqlite3.Connection, job: Job, error: ServiceError) -> None:
    """End a job without a result; the caller deletes its files."""
    _end(db, job, State.CANCELLED, error=error)
    add_event(db, job.id, "error", {"state": State.CANCELLED.value, **error.body()})
    db.execute("UPDATE jobs SET bytes = 0 WHERE id = ?", (job.id,))


def _end(
    db: sqlite3.Connection,
    job: Job,
    state: State,
    *,
    results: list[dict[str, Any]] | None = None,
    error: ServiceError | None = None,
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
