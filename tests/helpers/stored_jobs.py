"""Jobs in a store, added and claimed."""

from __future__ import annotations

from dip.config import Settings
from server.jobs.job import Job
from server.jobs.parameters import JobParameters
from server.jobs.store import Store

PARAMETERS = JobParameters(settings=Settings())
RESULT = {"network": "unet", "bytes": 100, "file": "result.unet.1"}


def add(store: Store, job_id: str, **more: object) -> Job:
    return store.add(job_id, PARAMETERS, **more)  # type: ignore[arg-type]


def claimed(store: Store) -> Job:
    job = store.claim()
    assert job is not None
    return job
