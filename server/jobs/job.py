"""Jobs: their states, which transitions there are, and what one looks like.

::

    queued ──→ running ──→ done
      │  ↑        │  ├───→ failed
      │  └────────┘  └───→ cancelled
      ├──────────────────→ failed
      └──────────────────→ cancelled

A running job whose worker died is queued again; one that has ended never changes.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from server.jobs.parameters import JobParameters

OWNER = ""
"""The name of who started the service, whose token opens everything."""


class State(str, Enum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return not ALLOWED[self]


ALLOWED: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.FAILED, State.CANCELLED}),
    State.RUNNING: frozenset({State.QUEUED, State.DONE, State.FAILED, State.CANCELLED}),
    State.DONE: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}

MOST_DEATHS = 2
"""A job that kills its worker this often is failed."""

MOST_ATTEMPTS = 25
"""A job that was begun this often without an end is failed: it may take the machine down."""


class IllegalTransition(Exception):
    """A state was to change in a way that `ALLOWED` does not list."""


def check_transition(old: State, new: State) -> None:
    """Raise IllegalTransition unless a job may go from one state to the other."""
    if new not in ALLOWED[old]:
        raise IllegalTransition(f"{old.value} -> {new.value}")


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a job.

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
        """Whether nothing can follow."""
        return self.kind in ("done", "error")

    def as_sse(self) -> bytes:
        """In the format of Server-Sent Events."""
        return f"id: {self.seq}\nevent: {self.kind}\ndata: {self.data}\n\n".encode()


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What whoever works on a job has to know of it.

    Parameters
    ----------
    id : str
        32 hexadecimal digits, of no meaning.
    attempt : int
        How often it was begun. A worker's word counts only for the attempt it works on.
    parameters : JobParameters
    """

    id: str
    attempt: int
    parameters: JobParameters


@dataclass(frozen=True, kw_only=True)
class Job(Attempt):
    """One row of the store.

    Parameters
    ----------
    id, attempt, parameters
        As for `Attempt`.
    state : State
    owner : str
        The user who submitted it; '' for the owner of the service.
    created, started, ended : float
        Seconds since the epoch; None for what has not happened.
    deaths : int
        How many workers died of it.
    stop_at : int, optional
        Somebody asked to stop: finish with the best so far once this many steps are done.
    steps : int
        Iterations done, over all networks, when progress was last noted.
    progress, preview : dict, optional
        The latest event of each kind.
    results : list of dict
        One for each network, when done.
    error : dict, optional
        Code, message and hint, when failed or cancelled.
    lease_s, lease_until : float, optional
        The client promised to come back this often, and must by then.
    notes : list of str
        What the engine said aloud.
    last_event : int
    bytes : int
        On disk.
    """

    state: State
    owner: str
    created: float
    started: float | None
    ended: float | None
    deaths: int
    stop_at: int | None
    steps: int
    progress: dict[str, Any] | None
    preview: dict[str, Any] | None
    results: list[dict[str, Any]]
    error: dict[str, str] | None
    lease_s: float | None
    lease_until: float | None
    notes: list[str]
    last_event: int
    bytes: int

    @classmethod
    def from_row(cls, row: sqlite3.Row) -> Job:
        def decoded(name: str) -> Any:
            return None if row[name] is None else json.loads(row[name])

        return cls(
            id=row["id"],
            state=State(row["state"]),
            owner=row["owner"],
            parameters=JobParameters.from_json(row["parameters"]),
            created=row["created"],
            started=row["started"],
            ended=row["ended"],
            attempt=row["attempt"],
            deaths=row["deaths"],
            stop_at=row["stop_at"],
            steps=row["steps"],
            progress=decoded("progress"),
            preview=decoded("preview"),
            results=decoded("results") or [],
            error=decoded("error"),
            lease_s=row["lease_s"],
            lease_until=row["lease_until"],
            notes=decoded("notes") or [],
            last_event=row["last_event"],
            bytes=row["bytes"],
        )

    def public(self, ahead: int | None = None) -> dict[str, Any]:
        """As the API shows it.

        Parameters
        ----------
        ahead : int, optional
            Jobs that will be taken before this one.
        """
        path = f"/v1/jobs/{self.id}"
        return {
            "id": self.id,
            "state": self.state.value,
            "user": self.owner,
            "parameters": self.parameters.public(),
            "created": _timestamp(self.created),
            "started": _timestamp(self.started),
            "ended": _timestamp(self.ended),
            "attempts": self.attempt,
            "ahead": ahead,
            "stopping": self.stop_at is not None and not self.state.final,
            "progress": self.progress,
            "preview": self.preview and {**self.preview, "url": f"{path}/preview"},
            "results": [
                {**result, "url": f"{path}/result?network={result['network']}"}
                for result in self.results
            ],
            "error": self.error,
            "lease_s": self.lease_s,
            "lease_until": _timestamp(self.lease_until),
            "notes": self.notes,
            "bytes": self.bytes,
            "url": path,
            "events_url": f"{path}/events",
        }


def _timestamp(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
