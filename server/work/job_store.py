"""The two things that a worker needs around it: a store of jobs, and the files of a job.

A service's own worker has the database and the disk, `server.jobs.store` and `server.jobs.files`; a
worker on a cluster has a pipe and memory, see `server.work.cluster_child`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from dip.notes import CodedNote
from server.errors import ServiceError
from server.jobs.files import Buffer
from server.jobs.job import Attempt


class JobStore(Protocol):
    """The record of a job's progress and end; methods as in `server.jobs.store.Store`."""

    def wanted(self, job: Attempt) -> tuple[bool, int | None]: ...

    def note_progress(
        self, job: Attempt, data: dict[str, Any], *, steps: int, notes: list[CodedNote]
    ) -> bool: ...

    def note_remarks(self, job: Attempt, notes: list[CodedNote]) -> bool: ...

    def note_preview(self, job: Attempt, data: dict[str, Any]) -> bool: ...

    def finish(
        self,
        job: Attempt,
        results: list[dict[str, Any]],
        *,
        stopped: bool,
        notes: list[CodedNote],
    ) -> bool: ...

    def fail(self, job: Attempt, error: ServiceError) -> bool: ...

    def ids_with_pixels(self) -> set[str]: ...


class PixelFiles(Protocol):
    """The files of jobs; methods as in `server.jobs.files.JobFiles`."""

    def source(self, job_id: str, name: str) -> Path | bytes:
        """A file, by its path or its content; FileNotFoundError where it is missing."""
        ...

    def write(self, job_id: str, name: str, data: Buffer, *, durable: bool = True) -> None: ...

    def remove(self, job_id: str, name: str | None = None) -> None: ...

    def remove_old_attempts(self, job_id: str, keep: set[str]) -> None: ...
