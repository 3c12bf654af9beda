"""Which ended jobs are deleted to save disk space."""

from __future__ import annotations

import sqlite3

MAX_ENDED_JOBS = 10_000


def prunable_jobs(
    ended_jobs: list[sqlite3.Row], *, ended_before: float, keep_bytes: int
) -> list[str]:
    """Ids of the jobs to delete: too old, or, oldest first, too many.

    The latest job stays, however large it is.

    Parameters
    ----------
    ended_jobs : list of rows
        With id, ended and bytes; the latest first.
    ended_before : float
        Jobs that ended before this moment are too old; seconds since the epoch.
    keep_bytes : int
        All kept jobs together have at most this size.
    """
    kept_bytes, prunable = 0, []
    for place, job in enumerate(ended_jobs):
        kept_bytes += job["bytes"]
        too_many = kept_bytes > keep_bytes or place >= MAX_ENDED_JOBS
        if job["ended"] < ended_before or (place > 0 and too_many):
            prunable.append(job["id"])
    return prunable
