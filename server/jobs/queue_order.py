"""The order of the queue: users take turns, and jobs that crashed a worker come last.

A user's detections come before that user's restorations: they take seconds, and a person waits.
"""

from __future__ import annotations

import sqlite3

from server.jobs.job import State

_QUEUE = """
SELECT jobs.*, coalesce(taken, 0) AS taken,
       row_number() OVER (
           PARTITION BY deaths, jobs.owner ORDER BY task = 'restore', number
       ) AS place
FROM jobs LEFT JOIN turns USING (owner) WHERE state = 'queued'
"""
"""Queued jobs, with their place among the jobs of one user and that user's latest turn."""


def next_job(db: sqlite3.Connection) -> sqlite3.Row | None:
    """The job to take next, or None."""
    row: sqlite3.Row | None = db.execute(
        f"{_QUEUE} ORDER BY deaths, place, taken, number LIMIT 1"
    ).fetchone()
    return row


def take_turn(db: sqlite3.Connection, owner: str, now: float) -> None:
    """Record that a job of this user was taken."""
    db.execute(
        "INSERT INTO turns VALUES (?, ?) ON CONFLICT (owner) DO UPDATE SET taken = ?",
        (owner, now, now),
    )


def count_ahead(db: sqlite3.Connection, job_id: str) -> int:
    """The number of queued and running jobs that come before a queued one."""
    row = db.execute(
        f"WITH queue AS ({_QUEUE})"
        " SELECT (SELECT count(*) FROM jobs WHERE state = 'running') + count(*) FROM queue,"
        " (SELECT deaths AS a, place AS b, taken AS c, number AS d FROM queue WHERE id = ?)"
        " WHERE (deaths, place, taken, number) < (a, b, c, d)",
        (job_id,),
    ).fetchone()
    return int(row[0])


def count_jobs(db: sqlite3.Connection, state: State, owner: str | None = None) -> int:
    """The number of jobs in a state; of one user, or of all."""
    row = db.execute(
        "SELECT count(*) FROM jobs WHERE state = ? AND owner = coalesce(?, owner)",
        (state.value, owner),
    ).fetchone()
    return int(row[0])
