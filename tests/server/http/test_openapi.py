"""The API against its own description: no 5xx, no undocumented status, no other body."""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from dip.config import Settings
from dip.errors import DipError
from dip.image_io import encode_photo
from server.errors import ServiceError
from server.jobs.parameters import JobParameters
from server.rendering import viewer

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
FEWEST, MOST = 4, 200
"""Requests of each kind, two ways; with --exhaustive 25 times as many are the fewest."""

# Both good and bad ones get through.
STATUSES = {
    "POST /v1/jobs": {202, 415, 422},
    "GET /v1/jobs/{job_id}/result": {200, 404},
    "DELETE /v1/jobs/{job_id}": {202, 204, 404},
    "POST /v1/detections": {202, 415, 422},
    "GET /v1/detections/{job_id}/mask": {200, 404, 409},
}
PARAMETERS = JobParameters(settings=Settings())
DETECTION = JobParameters(settings=Settings(), task="detect")


class Enough(Exception):
    """No more requests are needed; Hypothesis has no other way to be told."""


def images(photo: Any) -> st.SearchStrategy[bytes]:
    """Files to send as pictures: intact, cut off, and noise."""
    good = [encode_photo(photo, form) for form in ("png", "jpeg", "tiff", "webp")]
    cut = st.builds(lambda data, end: data[:end], st.sampled_from(good), st.integers(0, 500))
    return st.sampled_from(good) | cut | st.binary(max_size=200)


@st.composite
def cases(draw: st.DrawFn, operation: Any, mode: Any) -> Any:
    """Requests; those that schemathesis itself cannot judge are left out."""
    try:
        return draw(operation.as_strategy(generation_mode=mode))
    except ValueError as error:
        if "Unsupported type: 'Binary'" not in str(error):
            raise
        reject()


@pytest.mark.slow
def test_the_api_keeps_to_its_description(
    served: Any, photo: Any, exhaustive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any request that the description allows, and many that it does not.

    There is no worker: jobs are accepted and stay in the queue.
    """
    monkeypatch.setattr(
        "server.http.routes.jobs._wait", lambda job, here: here.store.cancel(job.id)
    )
    monkeypatch.setattr(
        "server.rendering.displays._run_viewer", decode_here
    )  # a process each takes its time
    schema = schemathesis.openapi.from_url(
        served.url + "/openapi.json", headers=served.headers, wait_for_schema=10
    )
    tried: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for result in schema.get_all_operations():
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            fewest = 25 * FEWEST if exhaustive else FEWEST
            examine(served, result.ok(), mode, photo, tried, fewest)
    for label, statuses in tried.items():
        print(label, dict(statuses))
    assert len(tried) == 22
    assert all(statuses.total() >= FEWEST for statuses in tried.values())
    for label, statuses in STATUSES.items():
        assert statuses <= set(tried[label])


def decode_here(request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    try:
        return viewer.MAKERS[request["kind"]](request)
    except DipError as error:
        return {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
    except Exception as error:  # the separate process would end with it
        raise ServiceError("image_unreadable", "The picture's decoder ended.") from error


def leave_jobs(service: Any) -> list[str]:
    """One job of each kind: done, running, waiting."""
    place = {"top": 0, "left": 0, "height": 8, "width": 8, "network": "unet", "file": "pixels"}
    figures = {
        "part": "image", "format": "png", "channels": 3, "samples": "uint8", "bytes": 6,
        "sha256": "0" * 64, "iterations": 1, "validation_psnr_db": None, "seconds": 0.1,
    }  # fmt: skip
    left = []
    for ends in (True, False):
        job_id = service.store.add(secrets.token_hex(16), PARAMETERS, max_queued=1000).id
        left.append(job_id)
        while (job := service.store.claim()) is not None and job.id != job_id:
            pass
        (service.files.folder / job_id).mkdir()
        service.files.write(job_id, "pixels", b"pixels")
        service.store.note_preview(job, {**place, "number": 1, "iteration": 1})
        if ends:
            service.store.finish(job, [{**place, **figures}], stopped=False, notes=[])
    waiting = service.store.add(secrets.token_hex(16), PARAMETERS, lease_s=60.0, max_queued=1000)
    return [*left, waiting.id]


def leave_detections(service: Any, photo: bytes) -> list[str]:
    """One detection that is done, one that waits."""
    levels = encode_photo(np.full((64, 64, 3), (200, 1, 0), np.uint8), "png")
    figures = {"height": 64, "width": 64, "marks": {"specks": 1}, "share": 1.0, "bytes": 6}
    left = []
    for state in ("done", "queued"):
        job_id = service.store.add(secrets.token_hex(16), DETECTION, max_queued=1000).id
        left.append(job_id)
        (service.files.folder / job_id).mkdir()
        service.files.write(job_id, "image", photo)
        service.files.write(job_id, "levels", levels)
        while state == "done" and (job := service.store.claim()) is not None:
            if job.id == job_id:
                result = {**figures, "file": "levels"}
                service.store.finish(job, [result], stopped=False, notes=[])
                break
    return left


def examine(
    served: Any,
    operation: Any,
    mode: Any,
    photo: Any,
    tried: defaultdict[str, Counter[int]],
    fewest: int,
) -> None:
    """Ask one thing in many ways, of each kind of job first."""
    store = served.service.store
    if "/detections" in operation.path:
        first = left = leave_detections(served.service, encode_photo(photo, "png"))
        left = [*left]
    else:
        first, left = leave_jobs(served.service), []
    label = f"{operation.method.upper()} {operation.path}"
    before = tried[label].total()

    @settings(
        max_examples=MOST,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=cases(operation, mode),
        known_job=st.none() | st.integers(0, 60),
        picture=st.none() | images(photo),
    )
    def ask(case: Any, known_job: int | None, picture: bytes | None) -> None:
        asked = tried[label]
        if asked.total() - before >= fewest and STATUSES.get(label, set()) <= set(asked):
            raise Enough
        ids = left or sorted(job.id for job in store.jobs(limit=1000))
        if "job_id" in (case.path_parameters or {}):
            if first:
                case.path_parameters["job_id"] = first.pop(0)
            elif ids and known_job is not None:
                case.path_parameters["job_id"] = ids[known_job % len(ids)]
        if picture is not None and isinstance(case.body, dict) and "image" in case.body:
            case.body = {**case.body, "image": picture}
        if operation.path.endswith("/events"):
            for job_id in ids:
                with suppress(ServiceError):  # it was deleted
                    store.cancel(job_id)  # else the stream stays open
        case.headers = {**(case.headers or {}), **served.headers}
        response = case.call_and_validate(checks=CHECKS, timeout=60)
        tried[f"{case.method} {operation.path}"][response.status_code] += 1
        if len(ids) > 60:
            for job_id in ids:
                with suppress(ServiceError):  # pruned meanwhile
                    store.cancel(job_id)
                    store.forget(job_id)

    with suppress(Enough):
        ask()
