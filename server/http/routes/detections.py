"""Find the damage of a photo: submit it, follow the detection, fetch its levels or a mask.

A detection is a job in the queue of all jobs, and its events are a job's. A first answer, without
a network, is computed at once, in a process of its own, while the detection waits or runs.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from apiflask import APIBlueprint
from apiflask.schemas import FileSchema
from flask import Response, jsonify, request

from server.errors import ServiceError
from server.http.context import Service, service
from server.http.deletion import cancel, forget
from server.http.detection_schemas import DetectIn, DetectionOut, LevelsQuery, MarksQuery
from server.http.routes import SUBMISSION, refusals
from server.http.routes.displays import file_response, make_picture, respond_once
from server.http.schemas import SubmitHeaders
from server.http.uploads import accept, check_form
from server.jobs.job import Job, State, detection_url

detections = APIBlueprint("detections", __name__, url_prefix="/v1")

_QUICK = "levels.quick"
_FETCHING = (
    "job_unknown", "result_not_ready", "no_result", "image_unreadable", "image_too_large",
    "too_many_streams", "disk_full",
)  # fmt: skip


@detections.before_request
def check_uploads() -> None:
    if request.method == "POST":
        check_form()


@detections.post("/detections")
@detections.input(DetectIn, location="form_and_files", arg_name="form")
@detections.input(SubmitHeaders, location="headers", arg_name="headers")
@detections.output(
    DetectionOut, status_code=202, description="Accepted: it is on disk and in the queue."
)
@detections.doc(responses=refusals(*SUBMISSION, "key_reused"))
def detect(form: dict[str, Any], headers: dict[str, Any]) -> Any:
    """Find the damage of a photo."""
    job = accept(form, headers.get("idempotency_key"), task="detect")
    return _public(job), 202, {"Location": detection_url(job.id)}


@detections.get("/detections/<job_id>")
@detections.output(DetectionOut)
@detections.doc(responses=refusals("job_unknown"))
def get_detection(job_id: str) -> Any:
    """Get a detection; its events are those of the job of this id."""
    return _public(service().store.get(job_id))


@detections.delete("/detections/<job_id>")
@detections.output({}, status_code=204, description="The detection had ended, and is deleted.")
@detections.doc(
    responses={
        202: {
            "description": "The detection is cancelled, and its files are deleted.",
            "content": {"application/json": {"schema": DetectionOut}},
        },
        **refusals("job_unknown"),
    }
)
def delete_detection(job_id: str) -> Any:
    """Cancel a detection that waits or runs; delete one that has ended."""
    here = service()
    job = _get(job_id, here)
    if not job.state.final:
        job = cancel(job, here)
        if job.state is State.CANCELLED:
            response = jsonify(DetectionOut().dump(_public(job)))
            response.status_code = 202
            return response
    forget(job, here)
    return Response(status=204)


@detections.get("/detections/<job_id>/levels")
@detections.input(LevelsQuery, location="query", arg_name="query")
@detections.output(
    FileSchema(),
    content_type="image/png",
    description="RGB, of the size of the photo. Red: a pixel is marked where red is at least "
    "256 - round(255 * sensitivity); 0 is never marked. Green: 0 nothing, 1 bright speck, 2 dark "
    "speck, 3 bright hair or scratch, 4 dark hair or scratch, 5 bright crease or tear, 6 dark "
    "crease or tear.",
)
@detections.doc(responses=refusals(*_FETCHING))
def get_levels(job_id: str, query: dict[str, Any]) -> Response:
    """Fetch the damage that was found, for every sensitivity at once."""
    here = service()
    return file_response(_levels(_get(job_id, here), query["quick"], here), "image/png")


@detections.get("/detections/<job_id>/mask")
@detections.input(MarksQuery, location="query", arg_name="query")
@detections.output(
    FileSchema(),
    content_type="image/png",
    description="Gray, of the size of the photo; white = restore this. For `POST /v1/jobs`.",
)
@detections.doc(responses=refusals(*_FETCHING))
def get_marks(job_id: str, query: dict[str, Any]) -> Response:
    """Fetch a mask of the damage that was found."""
    here = service()
    levels = _levels(_get(job_id, here), query["quick"], here)
    marks = make_picture(
        here,
        "marks",
        levels,
        sensitivity=query["sensitivity"],
        kinds=query["kinds"].split(","),
        largest=query.get("largest"),
    )
    return respond_once(marks)


def _get(job_id: str, here: Service) -> Job:
    job = here.store.get(job_id)
    job.detection()  # or it is none
    return job


def _public(job: Job) -> dict[str, Any]:
    return job.detection(ahead=service().store.ahead(job))


def _levels(job: Job, quick: bool, here: Service) -> Path:
    """The file with the levels of a detection."""
    if quick:
        return _quick_levels(job, here)
    if not job.state.final:
        raise ServiceError("result_not_ready", f"The detection is {job.state.value}.")
    if not job.results:
        raise ServiceError("no_result", f"The detection is {job.state.value}.")
    return here.files.path(job.id, job.results[0]["file"])


def _quick_levels(job: Job, here: Service) -> Path:
    """Compute the first answer, without a network, once."""
    path = here.files.path(job.id, _QUICK)
    source = here.files.path(job.id, "image")
    if path.exists():
        return path
    if not source.exists():
        raise ServiceError("no_result", "The files of the detection are deleted.")
    raw = job.parameters.raw
    found = make_picture(
        here,
        "levels",
        source,
        raw=None if raw is None else asdict(raw),
        page=job.parameters.page,
    )
    size = found.path.stat().st_size
    try:
        os.replace(found.path, path)
    except OSError:  # the detection was deleted meanwhile
        found.path.unlink(missing_ok=True)
        raise ServiceError("no_result", "The detection was deleted meanwhile.") from None
    with suppress(ServiceError):  # a full disk has room for it already
        here.store.note_bytes(job.id, size)
    return path
