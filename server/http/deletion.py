"""Cancel and delete jobs, with their files."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from server.errors import ServiceError
from server.http.context import Service
from server.jobs.job import Job, State

Changed = TypeVar("Changed")


def cancel(job: Job, here: Service, message: str = "The job was cancelled.") -> Job:
    """Cancel a job and delete its files, unless it ends at this moment."""
    job = _relieved(here, job.id, lambda: here.store.cancel(job.id, message))
    if job.state is State.CANCELLED:
        here.files.remove(job.id)
    return job


def forget(job: Job, here: Service) -> None:
    """Delete a job that has ended, and its files."""
    _relieved(here, job.id, lambda: here.store.forget(job.id))
    here.files.remove(job.id)


def _relieved(here: Service, job_id: str, change: Callable[[], Changed]) -> Changed:
    """Make a change that deletes a job's files; on a full disk, after they are deleted."""
    try:
        return change()
    except ServiceError as error:
        if error.code != "disk_full":
            raise
    here.files.remove(job_id)
    return change()
