"""Work on a full disk: reports are left out, a result waits a while for space."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from server.errors import ServiceError
from server.jobs.files import Buffer
from server.jobs.job import Attempt
from server.work.job_store import JobStore, PixelFiles

_RESULT_WAITS_S = (1.0, 2.0, 4.0, 8.0)

_log = logging.getLogger(__name__)


@contextmanager
def reports_left_out() -> Iterator[None]:
    """Leave out a report for which there is no space: it must not end a fit of hours."""
    try:
        yield
    except ServiceError as error:
        if error.code != "disk_full":
            raise
        _log.warning("a report is left out: %s", error)


def write_result(store: JobStore, files: PixelFiles, job: Attempt, name: str, data: Buffer) -> bool:
    """Write a result; on a full disk, try again for a while: the fit is done.

    Returns
    -------
    bool
        False where the attempt no longer counts.

    Raises
    ------
    ServiceError
        `disk_full`
    """
    for wait_s in (*_RESULT_WAITS_S, None):
        try:
            files.write(job.id, name, data)
            return True
        except FileNotFoundError:
            return False  # cancelled: the folder is gone
        except ServiceError as error:
            if error.code != "disk_full" or wait_s is None:
                raise
        time.sleep(wait_s)
        if not store.wanted(job)[0]:
            return False
    raise AssertionError  # the last turn returns or raises
