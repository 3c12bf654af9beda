"""The event stream of a job, without a worker."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from api_requests import code_of, finish, form, submit
from flask.testing import FlaskClient

from server.http.context import Service


def parsed(stream: bytes) -> list[tuple[int, str, dict[str, Any]]]:
    events = []
    for block in stream.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in lines:
            events.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return events


def test_a_stream_tells_everything_and_ends(
    http: FlaskClient, service: Service, job: dict[str, Any]
) -> None:
    finish(service)
    response = http.get(job["events_url"])
    assert response.mimetype == "text/event-stream"
    events = parsed(response.data)
    assert [(number, kind) for number, kind, _ in events] == [(1, "progress"), (2, "done")]
    result = events[-1][2]["results"][0]
    assert result["url"] == job["url"] + "/result?network=unet"
    assert "file" not in result


def test_a_stream_resumes_behind_the_last_event(
    http: FlaskClient,
    service: Service,
    job: dict[str, Any],
) -> None:
    finish(service)
    headers = {"Last-Event-ID": "1"}
    assert [number for number, *_ in parsed(http.get(job["events_url"], headers=headers).data)] == [
        2
    ]
    assert http.get(job["events_url"], headers={"Last-Event-ID": "2"}).status_code == 204
    for nonsense in ("-1", "x", "9" * 30, "²"):
        headers = {"Last-Event-ID": nonsense.encode().decode("latin-1")}
        assert code_of(http.get(job["events_url"], headers=headers)) == "bad_request"


def test_a_stream_follows_what_another_process_writes(
    make_service: Callable[..., Service],
    http_of: Callable[[Service], FlaskClient],
    image_file: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When it is written, not when the stream looks by itself."""
    monkeypatch.setattr("server.http.routes.events._POLL_EVERY_S", 600)
    service = make_service(heartbeat_s=600)
    http = http_of(service)
    job = submit(http, form(image_file)).get_json()
    service.notifier.start()
    threading.Timer(0.2, finish, [service]).start()
    began = time.monotonic()
    events = parsed(http.get(job["events_url"]).data)
    assert events[-1][1] == "done"
    assert time.monotonic() - began < 300


def test_streams_are_bounded_and_their_places_given_back(
    make_service: Callable[..., Service],
    http_of: Callable[[Service], FlaskClient],
    image_file: bytes,
) -> None:
    service = make_service(max_streams=1)
    http = http_of(service)
    job = submit(http, form(image_file)).get_json()
    open_stream = http.get(job["events_url"], buffered=False)
    assert code_of(http.get(job["events_url"])) == "too_many_streams"
    assert code_of(http.post("/v1/restore", data=form(image_file))) == "too_many_streams"
    open_stream.close()
    finish(service)
    for _ in range(3):
        assert http.head(job["events_url"]).status_code == 200
        assert http.get(job["events_url"]).status_code == 200


def test_a_quiet_stream_gives_signs_of_life_and_has_an_end(
    make_service: Callable[..., Service],
    http_of: Callable[[Service], FlaskClient],
    image_file: bytes,
) -> None:
    service = make_service(heartbeat_s=0.05, stream_limit_s=2)
    http = http_of(service)
    job = submit(http, form(image_file)).get_json()
    stream = http.get(job["events_url"]).data
    assert stream.count(b": heartbeat\n\n") >= 2
    assert len(parsed(stream)) == 1
