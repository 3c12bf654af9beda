"""Submit, list, stop, fetch and delete jobs; and /v1/restore, which does all in one call."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from apiflask.schemas import FileSchema
from flask import Response, jsonify, request, send_file
from werkzeug.http import parse_range_header

from server.errors import ServiceError
from server.http.context import Service, service, user
from server.http.deletion import cancel, forget
from server.http.routes import SUBMISSION, refusals
from server.http.schemas import (
    JobOut,
    JobsOut,
    JobsQuery,
    NetworkQuery,
    RestoreIn,
    SubmitHeaders,
    SubmitIn,
)
from server.http.uploads import accept, check_form
from server.http.wsgi import GONE_KEY
from server.jobs.job import Job, State, job_url
from server.jobs.parameters import MEDIA_TYPES

jobs = APIBlueprint("jobs", __name__, url_prefix="/v1")

_RESTORE_LEASE_S = 30.0
_POLL_EVERY_S = 1.0
_PICTURE: dict[str, Any] = {
    "description": "The picture. Headers `Dip-*` describe it and its place in the image.",
    "content": {
        media_type: {"schema": {"type": "string", "format": "binary"}}
        for media_type in MEDIA_TYPES.values()
    },
}


@jobs.before_request
def check_uploads() -> None:
    if request.method == "POST" and request.endpoint in ("jobs.submit", "jobs.restore"):
        check_form()


@jobs.post("/jobs")
@jobs.input(SubmitIn, location="form_and_files", arg_name="form")
@jobs.input(SubmitHeaders, location="headers", arg_name="headers")
@jobs.output(JobOut, status_code=202, description="Accepted: the job is on disk and in the queue.")
@jobs.doc(responses=refusals(*SUBMISSION, "key_reused"))
def submit(form: dict[str, Any], headers: dict[str, Any]) -> Any:
    """Submit a job."""
    job = accept(form, headers.get("idempotency_key"))
    return _public(job), 202, {"Location": job_url(job.id)}


@jobs.get("/jobs")
@jobs.input(JobsQuery, location="query", arg_name="query")
@jobs.output(JobsOut)
def list_jobs(query: dict[str, Any]) -> Any:
    """List your jobs, the latest first; the owner of the service sees all users' jobs."""
    state = State(query["state"]) if "state" in query else None
    found = service().store.jobs(state, query["limit"], owner=user() or None)
    return {"jobs": [_public(job) for job in found]}


@jobs.get("/jobs/<job_id>")
@jobs.output(JobOut)
@jobs.doc(responses=refusals("job_unknown"))
def get_job(job_id: str) -> Any:
    """Get a job."""
    return _public(service().store.get(job_id))


@jobs.delete("/jobs/<job_id>")
@jobs.output({}, status_code=204, description="The job had ended, and is deleted.")
@jobs.doc(
    responses={
        202: {
            "description": "The job is cancelled, and its files are deleted.",
            "content": {"application/json": {"schema": JobOut}},
        },
        **refusals("job_unknown"),
    }
)
def delete_job(job_id: str) -> Any:
    """Cancel a job that is queued or running; delete one that has ended."""
    here = service()
    job = here.store.get(job_id)
    if not job.state.final:
        job = cancel(job, here)
        if job.state is State.CANCELLED:
            return _json(JobOut().dump(_public(job)), 202)
    forget(job, here)
    return Response(status=204)


@jobs.post("/jobs/<job_id>/stop")
@jobs.output(JobOut, status_code=202, description="The job will end soon.")
@jobs.doc(responses=refusals("job_unknown", "not_running"))
def stop_job(job_id: str) -> Any:
    """End a job now, with the best result so far."""
    return _public(service().store.request_stop(job_id)), 202


@jobs.post("/jobs/<job_id>/lease")
@jobs.output(JobOut)
@jobs.doc(responses=refusals("job_unknown"))
def renew_lease(job_id: str) -> Any:
    """Renew a job's lease."""
    return _public(service().store.renew(job_id))


@jobs.get("/jobs/<job_id>/preview")
@jobs.output(
    FileSchema(), content_type="image/jpeg", description="The current state of the region in work."
)
@jobs.doc(responses=refusals("job_unknown", "preview_missing"))
def get_preview(job_id: str) -> Response:
    """Fetch the latest preview."""
    here = service()
    for _ in range(3):  # a newer preview may replace the file meanwhile
        job = here.store.get(job_id)
        preview = job.preview
        if preview is None:
            break
        try:
            data = here.files.path(job.id, preview["file"]).read_bytes()
        except FileNotFoundError:
            continue
        response = Response(data, mimetype="image/jpeg")
        for name in ("top", "left", "height", "width", "network", "iteration", "number"):
            response.headers[f"Dip-{name.capitalize()}"] = str(preview[name])
        return response
    raise ServiceError("preview_missing", "There is no preview of this job yet.")


@jobs.get("/jobs/<job_id>/result")
@jobs.input(NetworkQuery, location="query", arg_name="query")
@jobs.doc(
    responses={
        200: _PICTURE,
        206: _PICTURE,
        304: "The client's copy is current.",
        **refusals("job_unknown", "result_not_ready", "no_result", "range_refused"),
    }
)
def get_result(job_id: str, query: dict[str, Any]) -> Response:
    """Fetch the result."""
    return _result(service().store.get(job_id), query.get("network"))


@jobs.post("/restore")
@jobs.input(RestoreIn, location="form_and_files", arg_name="form")
@jobs.doc(
    responses={
        200: _PICTURE,
        **refusals(
            *SUBMISSION,
            "mask_empty",
            "cancelled",
            "worker_died",
            "internal",
            "too_many_streams",
            "shutting_down",
        ),
    }
)
def restore(form: dict[str, Any]) -> Response:
    """Restore a picture in one call: the response is the result."""
    here = service()
    with here.long_request():
        job = accept({**form, "lease_s": _RESTORE_LEASE_S})
        job = _wait(job, here)
    if job.error is not None:
        raise ServiceError(job.error["code"], job.error["message"], job.error["hint"])
    response = _result(job, None)
    response.headers["Location"] = job_url(job.id)
    return response


def _wait(job: Job, here: Service) -> Job:
    """Wait for the end of a job; cancel it when the client disconnects."""
    disconnected = request.environ.get(GONE_KEY, lambda: False)
    with here.notifier.watch(job.id) as changed:
        while True:
            job = here.store.renew(job.id)
            if job.state.final:
                return job
            if disconnected():
                return cancel(job, here, "The client disconnected.")
            if here.notifier.closing:
                raise ServiceError("shutting_down", "The service is stopping.")
            changed.wait(_POLL_EVERY_S)
            changed.clear()


def _result(job: Job, network: str | None) -> Response:
    result = job.result(network)
    here = service()
    path = here.files.path(job.id, result["file"])
    _ignore_invalid_range()
    try:
        response = send_file(
            path,
            mimetype=MEDIA_TYPES[result["format"]],
            conditional=True,
            etag=result["sha256"],
            max_age=0,
        )
    except FileNotFoundError:
        raise ServiceError("job_unknown", "The job was deleted meanwhile.") from None
    del response.headers["Content-Disposition"]  # the file name on disk is internal
    for name in ("top", "left", "height", "width", "channels", "samples", "network", "part"):
        response.headers[f"Dip-{name.capitalize()}"] = str(result[name])
    response.headers["Dip-Job"] = job.id
    if job.notes:
        notes = "; ".join(note["message"] for note in job.notes)
        response.headers["Dip-Notes"] = notes.encode("ascii", "replace").decode()
    return response


def _ignore_invalid_range() -> None:
    """Ignore a Range that is not one range of bytes, as RFC 9110, section 14.2, asks for."""
    wanted = parse_range_header(request.headers.get("Range"))
    if wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1:
        request.environ.pop("HTTP_RANGE", None)


def _public(job: Job) -> dict[str, Any]:
    return job.public(ahead=service().store.ahead(job))


def _json(body: Any, status: int) -> Response:
    response = jsonify(body)
    response.status_code = status
    return response
