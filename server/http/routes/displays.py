"""Pictures that every browser can show: 8 bits, sRGB, upright; JPEG or PNG."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from apiflask import APIBlueprint
from flask import Response, request

from server.errors import ServiceError
from server.http.context import Service, service
from server.http.routes import refusals
from server.http.schemas import DisplayIn, DisplayQuery, InputQuery
from server.http.uploads import take_upload
from server.jobs.job import Job
from server.rendering.displays import Display, make_display

displays = APIBlueprint("displays", __name__, url_prefix="/v1")

_SHOWN: dict[str, Any] = {
    "description": "The picture. Headers `Dip-*` tell of the photo: Width, Height, Samples, "
    "Format.",
    "content": {
        media_type: {"schema": {"type": "string", "format": "binary"}}
        for media_type in ("image/jpeg", "image/png")
    },
}
_DECODING = ("image_unreadable", "image_too_large", "mask_invalid", "too_many_streams")


@displays.before_request
def uploads_are_multipart() -> None:
    if request.method == "POST" and request.mimetype != "multipart/form-data":
        raise ServiceError(
            "content_type_refused", f"The body is {request.mimetype or 'of no stated type'}."
        )


@displays.post("/display")
@displays.input(DisplayIn, location="form_and_files", arg_name="form")
@displays.doc(
    responses={
        200: _SHOWN,
        **refusals(
            *_DECODING,
            "parameter_invalid",
            "content_type_refused",
            "body_too_large",
            "too_many_parts",
            "disk_full",
        ),
    }
)
def show_file(form: dict[str, Any]) -> Response:
    """Show a photo or a mask that is no job yet; nothing of it is kept."""
    here = service()
    upload = take_upload(form["image"])
    upload.complete()
    if not upload.looks_like_an_image:
        raise ServiceError("image_unreadable", "The picture is in no supported format.")
    return _respond(_make(here, form["kind"], upload.path, form.get("side")))


@displays.get("/example")
@displays.doc(responses={200: _SHOWN, **refusals("too_many_streams", "image_unreadable")})
def show_example() -> Response:
    """A damaged photo to try the page with, made on this machine: 512 × 512 px."""
    return _respond(_make(service(), "example", None, None))


@displays.get("/jobs/<job_id>/display")
@displays.input(DisplayQuery, location="query", arg_name="query")
@displays.doc(
    responses={
        200: _SHOWN,
        **refusals(*_DECODING, "job_unknown", "no_result", "result_not_ready", "disk_full"),
    }
)
def show_job(job_id: str, query: dict[str, Any]) -> Response:
    """Show what a job was given, or what came of it; whole images that came as files."""
    here = service()
    job = here.store.get(job_id)
    name = _file_of(job, query["of"], query.get("network"))
    side = query.get("side")
    kept = f"display.{name}.{side or 'full'}"
    with suppress(FileNotFoundError):
        return _respond(Display.from_bytes(here.files.path(job_id, kept).read_bytes()))
    kind = "mask" if query["of"] == "mask" else "photo"
    shown = _make(here, kind, here.files.path(job_id, name), side)
    with suppress(FileNotFoundError):  # the job was deleted meanwhile
        here.files.write(job_id, kept, shown.as_bytes(), durable=False)
        here.store.note_bytes(job_id, len(shown.data))
    return _respond(shown)


@displays.get("/jobs/<job_id>/input")
@displays.input(InputQuery, location="query", arg_name="query")
@displays.doc(
    responses={
        200: {
            "description": "The file, as it was submitted.",
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
            },
        },
        **refusals("job_unknown", "no_result"),
    }
)
def get_input(job_id: str, query: dict[str, Any]) -> Response:
    """Fetch what a job was given, to change the mask and try again."""
    here = service()
    name = _file_of(here.store.get(job_id), query["of"], None)
    try:
        data = here.files.path(job_id, name).read_bytes()
    except FileNotFoundError:
        raise ServiceError("job_unknown", "The job's pixels are deleted.") from None
    return Response(data, mimetype="application/octet-stream")


def _file_of(job: Job, of: str, network: str | None) -> str:
    """The name of the file among a job's."""
    parameters = job.parameters
    if of == "mask":
        if not parameters.has_mask:
            raise ServiceError("no_result", "The job came without a mask.")
        if parameters.mask_samples is None:
            return "mask"
    elif of == "image":
        if parameters.raw is None:
            return "image"
    else:
        if not job.state.final:
            raise ServiceError("result_not_ready", f"The job is {job.state.value}.")
        result = next((each for each in job.results if network in (None, each["network"])), None)
        if result is None:
            raise ServiceError("no_result", f"There is no such result: it is {job.state.value}.")
        if result["format"] != "raw":
            return str(result["file"])
    raise ServiceError("no_result", "These are plain samples, which are not shown.")


def _make(here: Service, what: Any, source: Path | None, side: int | None) -> Display:
    if source is not None and not source.exists():
        raise ServiceError("job_unknown", "The job's pixels are deleted.")
    settings = here.settings
    return make_display(
        what, source, folder=settings.incoming_dir, max_pixels=settings.max_pixels, side=side
    )


def _respond(shown: Display) -> Response:
    response = Response(shown.data, mimetype=shown.media_type)
    for name in ("width", "height", "samples", "format"):
        response.headers[f"Dip-{name.capitalize()}"] = str(getattr(shown, name))
    return response
