"""Jobs: their states, the allowed transitions, and their form in the API.

::

    queued ──→ running ──→ done
      │  ↑        │  ├───→ failed
      │  └────────┘  └───→ cancelled
      ├──────────────────→ failed
      └──────────────────→ cancelled

A running job whose worker died is queued again. A job that has ended never changes.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from dip.notes import CodedNote
from server.errors import ServiceError
from server.jobs.parameters import JobParameters

OWNER = ""
"""The name of the user who started the service. The owner's token gives access to every job."""


class State(str, Enum):
    """The state of a job."""

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

MAX_DEATHS = 2
"""A job fails after this many deaths of its worker."""

MAX_ATTEMPTS = 25
"""A job fails after this many attempts without an end: it may crash the whole machine."""


class IllegalTransition(Exception):
    """`ALLOWED` does not list this change of state."""


def check_transition(old: State, new: State) -> None:
    """Raise IllegalTransition unless a job may go from one state to the other."""
    if new not in ALLOWED[old]:
        raise IllegalTransition(f"{old.value} -> {new.value}")


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt at a job: the part of a job that a worker needs.

    Parameters
    ----------
    id : str
        32 random hexadecimal digits.
    attempt : int
        1 for the first attempt. A worker's reports count only for the latest attempt.
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
        Seconds since the epoch; None before that moment.
    deaths : int
        How many workers died during this job.
    stop_at : int, optional
        Set by a request to stop: end with the best result so far after this many steps.
    steps : int
        Iterations done, over all networks, at the latest report.
    progress, preview : dict, optional
        The latest event of each kind.
    results : list of dict
        One for each network, in state done.
    error : dict, optional
        Code, message and hint, in state failed or cancelled.
    lease_s, lease_until : float, optional
        The client renews the lease within this time, at the latest by this moment.
    notes : list of CodedNote
        Of the engine for the user.
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
    notes: list[CodedNote]
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
            notes=[_coded(note) for note in decoded("notes") or []],
            last_event=row["last_event"],
            bytes=row["bytes"],
        )

    def result(self, network: str | None = None) -> dict[str, Any]:
        """The result of one network, or the first result.

        Raises
        ------
        ServiceError
            `result_not_ready`, `no_result`.
        """
        if not self.state.final:
            raise ServiceError("result_not_ready", f"The job is {self.state.value}.")
        restored = self.results if self.parameters.task == "restore" else []
        for result in restored:
            if network in (None, result["network"]):
                return result
        reason = f"{network} was not fitted" if restored else f"the job is {self.state.value}"
        raise ServiceError("no_result", f"There is no such result: {reason}.")

    def public(self, ahead: int | None = None) -> dict[str, Any]:
        """The job as the API shows it.

        Parameters
        ----------
        ahead : int, optional
            The number of jobs before this one.
        """
        path = job_url(self.id)
        return {
            "id": self.id,
            "state": self.state.value,
            "user": self.owner,
            "photo": self.parameters.photo_name,
            "parameters": self.parameters.public(),
            "created": _timestamp(self.created),
            "started": _timestamp(self.started),
            "ended": _timestamp(self.ended),
            "attempts": self.attempt,
            "ahead": ahead,
            "stopping": self.stop_at is not None and not self.state.final,
            "stopped": self.stop_at is not None and self.state is State.DONE,
            "progress": self.progress,
            "preview": self.preview and {**self.preview, "url": preview_url(self.id)},
            "results": [
                {**result, "url": url_of(self.id, result)}
                for result in self.results
                if self.parameters.task == "restore"
            ],
            "error": self.error,
            "lease_s": self.lease_s,
            "lease_until": _timestamp(self.lease_until),
            "notes": [note["message"] for note in self.notes],
            "coded_notes": self.notes,
            "bytes": self.bytes,
            "url": path,
            "events_url": f"{path}/events",
        }

    def detection(self, ahead: int | None = None) -> dict[str, Any]:
        """The detection as the API shows it; `ahead` as for `public`.

        Raises
        ------
        ServiceError
            `job_unknown`: this is a restoration.
        """
        if self.parameters.task != "detect":
            raise ServiceError("job_unknown", "There is no detection of this id.")
        path = detection_url(self.id)
        figures = ("height", "width", "marks", "share")
        found = {name: self.results[0][name] for name in figures} if self.results else None
        return {
            **self.public(ahead),
            "seed": self.parameters.settings.seed,
            "page": self.parameters.page,
            "found": found,
            "url": path,
            "levels_url": f"{path}/levels",
            "mask_url": f"{path}/mask",
        }


def detection_url(job_id: str) -> str:
    """The path of a detection in the API."""
    return f"/v1/detections/{job_id}"


def url_of(job_id: str, result: dict[str, Any]) -> str:
    """The path of a result: of the levels of a detection, or of the fill of one network."""
    if "network" not in result:
        return f"{detection_url(job_id)}/levels"
    return result_url(job_id, result["network"])


def job_url(job_id: str) -> str:
    """The path of a job in the API."""
    return f"/v1/jobs/{job_id}"


def preview_url(job_id: str) -> str:
    """The path of a job's latest preview."""
    return f"{job_url(job_id)}/preview"


def result_url(job_id: str, network: str) -> str:
    """The path of the result of one network."""
    return f"{job_url(job_id)}/result?network={network}"


def _coded(note: CodedNote | str) -> CodedNote:
    """A note of the database; those of older versions are sentences without a code."""
    return {"code": "", "values": {}, "message": note} if isinstance(note, str) else note


def _timestamp(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
