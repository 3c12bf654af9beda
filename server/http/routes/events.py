"""The events of a job, as Server-Sent Events."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

from apiflask import APIBlueprint
from flask import Response, request

from server.errors import ServiceError
from server.http.context import Service, service, user
from server.http.routes import refusals
from server.http.schemas import EventOut
from server.http.wsgi import GONE_KEY
from server.jobs.job import OWNER, Job

events = APIBlueprint("events", __name__, url_prefix="/v1")

_POLL_EVERY_S = 1.0
_RETRY_MS = 500


@events.get("/jobs/<job_id>/events")
@events.output(
    EventOut,
    content_type="text/event-stream",
    description="`progress`, `preview`, then `done` or `error`; `id` counts from 1.",
)
@events.doc(
    responses={
        204: "The client has received the last event; it must not reconnect.",
        **refusals("job_unknown", "bad_request", "too_many_streams"),
    }
)
def stream_events(job_id: str) -> Response:
    """Follow a job; `Last-Event-ID` resumes after an event."""
    here = service()
    job = here.store.get(job_id)
    after = _last_event_id(request.headers.get("Last-Event-ID", "0"))
    if job.state.final and after >= job.last_event:
        return Response(status=204)
    here.enter_stream()
    disconnected = request.environ.get(GONE_KEY, lambda: False)
    response = Response(
        _follow(here, job, after, disconnected, user()), mimetype="text/event-stream"
    )
    response.call_on_close(here.streams.release)
    return response


def _follow(
    here: Service, job: Job, after: int, disconnected: Callable[[], bool], name: str
) -> Iterator[bytes]:
    yield f"retry: {_RETRY_MS}\n\n".encode()
    ends = time.monotonic() + here.settings.stream_limit_s
    # A client renews its lease when it receives an event or a heartbeat.
    heartbeat_s = min(here.settings.heartbeat_s, (job.lease_s or math.inf) / 4)
    silent_since = time.monotonic()
    with here.notifier.watch(job.id) as changed:
        while not (disconnected() or here.notifier.closing or time.monotonic() > ends):
            if name != OWNER and here.users.digest(name) is None:
                return  # the user was removed meanwhile
            changed.clear()
            found = here.store.events_after(job.id, after)
            if found:
                yield b"".join(event.as_sse() for event in found)
                after, silent_since = found[-1].seq, time.monotonic()
                if found[-1].final:
                    return
                continue
            if time.monotonic() - silent_since >= heartbeat_s:
                yield b": heartbeat\n\n"
                silent_since = time.monotonic()
            changed.wait(min(_POLL_EVERY_S, heartbeat_s))


def _last_event_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise ServiceError("bad_request", "Last-Event-ID is not the id of an event.")
    return int(text)
