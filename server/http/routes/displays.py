"""Pictures that every browser can show: 8 bits, sRGB, upright; JPEG or PNG."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from apiflask import APIBlueprint
from flask import Response, request, send_file

from server.errors import ServiceError
from server.http.context import Service, service
from server.http.routes import refusals
from server.http.schemas import DisplayIn, DisplayQuery, InputQuery
from server.http.uploads import check_form, take_upload
from server.jobs.job import Job
from server.rendering.displays import Display, Kind, make_display

displays = APIBlueprint("displays", __name__, url_prefix="/v1")

_DISPLAY: dict[str, Any] = {
    "description": "The picture. Headers `Dip-*` describe the photo: Width, Height, Samples, "
    "Format.",
    "content": {
        media_type: {"schema": {"type": "string", "format": "binary"}}
        for media_type in ("image/jpeg", "image/png")
    },
}
_DECODING = ("image_unreadable", "image_too_large", "mask_invalid", "too_many_streams")


@displays.before_request
def check_uploads() -> None:
    if request.method == "POST":
        check_form()


@displays.post("/display")
@displays.input(DisplayIn, location="form_and_files", arg_name="form")
@displays.doc(
    responses={
        200: _DISPLAY,
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
    """Show a photo or a mask without a job; nothing of it is stored."""
    here = service()
    upload = take_upload(form["image"])
    upload.complete()
    if not upload.looks_like_an_image:
        raise ServiceError("image_unreadable", "The picture is in no supported format.")
    return respond_once(_make(here, form["kind"], upload.path, form.get("side")))


@displays.get("/example")
@displays.doc(responses={200: _DISPLAY, **refusals("too_many_streams", "image_unreadable")})
def show_example() -> Response:
    """Show a damaged example photo of 512 × 512 px, made on this machine."""
    return respond_once(_make(service(), "example", None, None))


@displays.get("/jobs/<job_id>/display")
@displays.input(DisplayQuery, location="query", arg_name="query")
@displays.doc(
    responses={
        200: _DISPLAY,
        **refusals(*_DECODING, "job_unknown", "no_result", "result_not_ready", "disk_full"),
    }
)
def show_job(job_id: str, query: dict[str, Any]) -> Response:
    """Show a job's image, mask or result; not of raw samples."""
    here = service()
    job = here.store.get(job_id)
    name = _file_of(job, query["of"], query.get("network"))
    side = query.get("side")
    path = here.files.path(job_id, f"display.{name}.{side or 'full'}")
    about = path.with_name(path.name + ".json")
    with suppress(FileNotFoundError):
        return _respond(Display.stored(path, about))
    kind: Kind = "mask" if query["of"] == "mask" else "photo"
    display = _make(here, kind, here.files.path(job_id, name), side)
    size = display.path.stat().st_size
    try:
        here.files.write(job_id, about.name, display.about(), durable=False)
        os.replace(display.path, path)
    except FileNotFoundError:  # the job was deleted meanwhile
        return respond_once(display)
    except BaseException:
        display.path.unlink(missing_ok=True)
        raise
    here.store.note_bytes(job_id, size)
    try:
        return _respond(Display.stored(path, about))
    except FileNotFoundError:
        here.store.get(job_id)  # refuses a job that was deleted just now
        raise


@displays.get("/jobs/<job_id>/input")
@displays.input(InputQuery, location="query", arg_name="query")
@displays.doc(
    responses={
        200: {
            "description": "The file, as submitted.",
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
            },
        },
        **refusals("job_unknown", "no_result"),
    }
)
def get_input(job_id: str, query: dict[str, Any]) -> Response:
    """Fetch a job's image or mask, to change the mask and submit again."""
    here = service()
    name = _file_of(here.store.get(job_id), query["of"], None)
    return file_response(here.files.path(job_id, name), "application/octet-stream")


def _file_of(job: Job, of: str, network: str | None) -> str:
    """The name of a file of a job."""
    parameters = job.parameters
    if of == "mask":
        if not parameters.has_mask:
            raise ServiceError("no_result", "The job has no mask.")
        if parameters.mask_samples is None:
            return "mask"
    elif of == "image":
        if parameters.raw is None:
            return "image"
    else:
        result = job.result(network)
        if result["format"] != "raw":
            return str(result["file"])
    raise ServiceError("no_result", "Raw samples cannot be shown.")


def _make(here: Service, kind: Kind, source: Path | None, side: int | None) -> Display:
    if source is not None and not source.exists():
        raise ServiceError("job_unknown", "The job's files are deleted.")
    return make_picture(here, kind, source, side=side)


def make_picture(here: Service, kind: Kind, source: Path | None, **more: Any) -> Display:
    """As `make_display`: in the folders and with the limits of a service."""
    with here.long_request():
        return make_display(
            kind,
            source,
            folder=here.settings.incoming_dir,
            max_pixels=here.settings.max_pixels,
            **more,
        )


def file_response(path: Path, media_type: str) -> Response:
    """A file as it is, read while it is sent."""
    try:
        response = send_file(path, mimetype=media_type, conditional=False, etag=False)
    except FileNotFoundError:
        raise ServiceError("job_unknown", "The job's files are deleted.") from None
    del response.headers["Content-Disposition"]  # the file name on disk is internal
    return response


def respond_once(display: Display) -> Response:
    """Respond with a picture that is deleted afterwards."""
    response = _respond(display)
    response.direct_passthrough = False  # else it is not told when it is closed
    response.call_on_close(lambda: display.path.unlink(missing_ok=True))
    return response


def _respond(display: Display) -> Response:
    response = file_response(display.path, display.media_type)
    for name in ("width", "height", "samples", "format"):
        response.headers[f"Dip-{name.capitalize()}"] = str(getattr(display, name))
    return response
