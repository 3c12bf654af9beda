"""The events of jobs, as rows of the database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event of a job.

    Parameters
    ----------
    seq : int
        1 for a job's first event, then one more each time.
    kind : str
        'progress', 'preview', 'done' or 'error'.
    data : str
        JSON, on one line.
    """

    seq: int
    kind: str
    data: str

    @property
    def final(self) -> bool:
        """Whether this is the job's last event."""
        return self.kind in ("done", "error")

    def as_sse(self) -> bytes:
        """In the format of Server-Sent Events."""
        return f"id: {self.seq}\nevent: {self.kind}\ndata: {self.data}\n\n".encode()


def add_event(db: sqlite3.Connection, job_id: str, kind: str, data: dict[str, Any]) -> None:
    """Append an event to a job."""
    db.execute("UPDATE jobs SET last_event = last_event + 1 WHERE id = ?", (job_id,))
    db.execute(
        "INSERT INTO events SELECT id, last_event, ?, ? FROM jobs WHERE id = ?",
        (kind, json.dumps(data), job_id),
    )


def events_after(db: sqlite3.Connection, job_id: str, seq: int, limit: int) -> list[Event]:
    """Events of a job with a higher number, in order."""
    rows = db.execute(
        "SELECT seq, kind, data FROM events WHERE job = ? AND seq > ? ORDER BY seq LIMIT ?",
        (job_id, seq, limit),
    ).fetchall()
    return [Event(seq=row["seq"], kind=row["kind"], data=row["data"]) for row in rows]


def last_events(db: sqlite3.Connection, job_ids: Iterable[str]) -> dict[str, int]:
    """The number of the latest event of each job; deleted jobs are left out."""
    ids = list(job_ids)
    marks = ",".join("?" * len(ids))
    rows = db.execute(f"SELECT id, last_event FROM jobs WHERE id IN ({marks})", ids)
    return {row["id"]: row["last_event"] for row in rows}
