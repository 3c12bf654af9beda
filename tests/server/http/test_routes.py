"""The HTTP contract, without a worker: the test plays its part."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from dip.cluster.options import ClusterSettings
from dip.config import Settings
from server.errors import MEANINGS
from server.http.context import Service
from server.jobs.job import Job


def form(image: bytes, mask: bytes | None = None, **fields: Any) -> dict[str, Any]:
    files = {"image": (io.BytesIO(image), "a.png")}
    if mask is not None:
        files["mask"] = (io.BytesIO(mask), "m.png")
    return {**{name: str(value) for name, value in fields.items()}, **files}


def submit(http: FlaskClient, data: dict[str, Any], key: str | None = None) -> TestResponse:
    headers = {} if key is None else {"Idempotency-Key": key}
    return http.post("/v1/jobs", data=data, headers=headers)


def code_of(response: TestResponse) -> str:
    """The code of an error, whose body is like that of every other error."""
    body = response.get_json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "hint"}
    assert all(body["error"].values()), body
    assert MEANINGS[body["error"]["code"]].status == response.status_code
    return str(body["error"]["code"])


@pytest.fixture
def job(http: FlaskClient, image_file: bytes, mask_file: bytes) -> dict[str, Any]:
    return dict(submit(http, form(image_file, mask_file, seed=7)).get_json())


def finish(service: Service, data: bytes = b"pixels", networks: tuple[str, ...] = ("unet",)) -> Job:
    """What a worker does with the next job."""
    job = service.store.claim()
    assert job is not None
    results = []
    for network in networks:
        service.files.write(job.id, f"result.{network}.1", data + network.encode())
        results.append(
            {
                "network": network, "part": "image", "format": "png", "channels": 3,
                "samples": "uint8", "top": 0, "left": 0, "height": 64, "width": 64,
                "bytes": len(data) + len(network), "sha256": network * 8, "iterations": 5,
                "validation_psnr_db": None, "seconds": 1.0, "file": f"result.{network}.1",
            }
        )  # fmt: skip
    assert service.store.finish(job, results, stopped=False, notes=[])
    return job


# --- Submitting ----------------------------------------------------------------------------------


def test_a_submission_is_accepted_with_its_place(
    http: FlaskClient, service: Service, image_file: bytes, mask_file: bytes
) -> None:
    response = submit(http, form(image_file, mask_file, seed=7, network="both", preset="fast"))
    assert response.status_code == 202
    job = response.get_json()
    assert response.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert job["state"] == "queued"
    assert (job["parameters"]["seed"], job["parameters"]["network"]) == (7, "both")
    assert service.files.path(job["id"], "image").read_bytes() == image_file
    assert service.files.path(job["id"], "mask").read_bytes() == mask_file
    assert list(service.settings.incoming_dir.iterdir()) == []
    assert http.get(response.headers["Location"]).get_json() == job


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"seed": "-1"}, "parameter_invalid"),
        ({"seed": "many"}, "parameter_invalid"),
        ({"network": "vgg"}, "parameter_invalid"),
        ({"colour": "red"}, "parameter_invalid"),
        ({"iterations": "0"}, "parameter_invalid"),
        ({"lease_s": "2"}, "parameter_invalid"),
        ({"width": "3"}, "parameter_invalid"),
        ({"width": 8, "height": 8, "channels": 3, "samples": "uint8"}, "parameter_invalid"),
        (
            {"width": 100_000, "height": 100_000, "channels": 4, "samples": "float32"},
            "image_too_large",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    http: FlaskClient, service: Service, image_file: bytes, fields: dict[str, Any], code: str
) -> None:
    response = submit(http, form(image_file, **fields))
    assert code_of(response) == code
    assert service.store.ids_with_pixels() == set()
    assert list(service.settings.incoming_dir.iterdir()) == []
    assert list(service.files.folder.iterdir()) == []


@pytest.mark.parametrize("texture", [0, 0.3, 1])
def test_a_job_shows_how_much_texture_it_is_given(
    http: FlaskClient, service: Service, image_file: bytes, texture: float
) -> None:
    job = submit(http, form(image_file, texture=texture)).get_json()
    assert job["parameters"]["texture"] == texture
    assert service.store.get(job["id"]).parameters.settings.texture == texture


@pytest.mark.parametrize(
    ("texture", "said"),
    [
        ("1.01", "texture: Must be greater than or equal to 0 and less than or equal to 1."),
        ("-0.1", "texture: Must be greater than or equal to 0 and less than or equal to 1."),
        ("nan", "texture: Special numeric values (nan or infinity) are not permitted."),
        ("rough", "texture: Not a valid number."),
    ],
)
def test_a_texture_that_makes_no_sense_is_refused_in_words(
    http: FlaskClient, image_file: bytes, texture: str, said: str
) -> None:
    response = submit(http, form(image_file, texture=texture))
    assert code_of(response) == "parameter_invalid"
    assert response.get_json()["error"]["message"] == said


def test_texture_is_the_engine_s_own_unless_told(http: FlaskClient, job: dict[str, Any]) -> None:
    assert job["parameters"]["texture"] == Settings().texture
    described = http.get("/openapi.json").get_json()["components"]["schemas"]
    for name in ("RestoreIn", "SubmitIn"):
        texture = described[name]["properties"]["texture"]
        assert (texture["minimum"], texture["maximum"]) == (0, 1)
        assert texture["default"] == Settings().texture
    assert "texture" in described["ParametersOut"]["required"]


def test_a_form_without_an_image_is_refused(http: FlaskClient) -> None:
    assert code_of(http.post("/v1/jobs", data={"seed": (io.BytesIO(), "s")})) == "parameter_invalid"


@pytest.mark.parametrize("data", [b"", b"GIF89a...", b"\x00" * 100, b"<svg/>"])
def test_other_formats_are_refused_before_anything_decodes_them(
    http: FlaskClient, data: bytes, image_file: bytes
) -> None:
    assert code_of(submit(http, form(data))) == "image_unreadable"
    assert code_of(submit(http, form(image_file, data))) == "image_unreadable"


def test_raw_samples_are_measured(http: FlaskClient) -> None:
    shape = {"width": 8, "height": 4, "channels": 3, "samples": "uint16"}
    assert submit(http, form(bytes(192), **shape)).status_code == 202
    assert code_of(submit(http, form(bytes(191), **shape))) == "parameter_invalid"
    with_mask = {**shape, "mask_samples": "uint8"}
    assert submit(http, form(bytes(192), bytes(32), **with_mask)).status_code == 202
    assert code_of(submit(http, form(bytes(192), bytes(33), **with_mask))) == "parameter_invalid"


@pytest.mark.parametrize("line_end", [b"\r", b"\n", b"\r\n", b"\r\n-"])
def test_any_samples_may_be_sent_in_any_number(
    http: FlaskClient, service: Service, line_end: bytes
) -> None:
    """Those, too, that look like the beginning of a boundary wherever a read may end."""
    pixels = (line_end * 200_000)[:200_000]
    shape = {"width": 500, "height": 400, "channels": 1, "samples": "uint8"}
    response = submit(http, form(pixels, pixels, mask_samples="uint8", **shape))
    assert response.status_code == 202, response.text
    for name in ("image", "mask"):
        assert service.files.path(response.get_json()["id"], name).read_bytes() == pixels


def test_a_repeated_submission_is_the_same_job(
    http: FlaskClient, service: Service, image_file: bytes
) -> None:
    first = submit(http, form(image_file, seed=1), key="k")
    again = submit(http, form(image_file, seed=1), key="k")
    assert again.status_code == 202
    assert again.headers["Location"] == first.headers["Location"]
    assert code_of(submit(http, form(image_file, seed=2), key="k")) == "key_reused"
    assert code_of(submit(http, form(image_file + b"\0", seed=1), key="k")) == "key_reused"
    assert len(service.store.ids_with_pixels()) == 1
    assert len(list(service.files.folder.iterdir())) == 1


def test_a_submission_sent_many_times_at_once_is_one_job(
    http: FlaskClient, service: Service, image_file: bytes
) -> None:
    answers: list[str] = []

    def send() -> None:
        answers.append(submit(http, form(image_file), key="k").headers["Location"])

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert len(set(answers)) == 1
    assert len(list(service.files.folder.iterdir())) == 1


def test_a_full_queue_says_when_to_come_back(
    make_service: Callable[..., Service],
    http_of: Callable[[Service], FlaskClient],
    image_file: bytes,
) -> None:
    service = make_service(max_queued=1)
    http = http_of(service)
    assert submit(http, form(image_file)).status_code == 202
    refused = submit(http, form(image_file))
    assert code_of(refused) == "queue_full"
    assert int(refused.headers["Retry-After"]) > 0
    assert len(list(service.files.folder.iterdir())) == 1


def test_a_disk_without_room_takes_no_job(
    make_service: Callable[..., Service],
    http_of: Callable[[Service], FlaskClient],
    image_file: bytes,
) -> None:
    service = make_service(reserve_bytes=2**62)
    http = http_of(service)
    assert code_of(submit(http, form(image_file))) == "disk_full"
    health = http.get("/v1/health").get_json()
    assert (health["status"], health["problems"][0]["code"]) == ("degraded", "disk_full")


# --- Looking, stopping, cancelling ---------------------------------------------------------------


def test_jobs_are_listed_latest_first(
    http: FlaskClient, service: Service, image_file: bytes
) -> None:
    ids = [submit(http, form(image_file)).get_json()["id"] for _ in range(3)]
    finish(service)
    listed = http.get("/v1/jobs").get_json()["jobs"]
    assert [job["id"] for job in listed] == ids[::-1]
    queued = http.get("/v1/jobs?state=queued&limit=1").get_json()["jobs"]
    assert [job["id"] for job in queued] == ids[-1:]
    assert code_of(http.get("/v1/jobs?state=lost")) == "parameter_invalid"


def test_a_queued_job_is_cancelled_then_forgotten(
    http: FlaskClient, service: Service, job: dict[str, Any]
) -> None:
    response = http.delete(job["url"])
    assert (response.status_code, response.get_json()["state"]) == (202, "cancelled")
    assert list(service.files.folder.iterdir()) == []
    assert http.get(job["url"]).get_json()["error"]["code"] == "cancelled"
    assert code_of(http.get(job["url"] + "/result")) == "no_result"
    assert http.delete(job["url"]).status_code == 204
    assert code_of(http.delete(job["url"])) == "job_unknown"
    assert code_of(http.get(job["url"])) == "job_unknown"


def test_a_job_that_ends_while_it_is_being_deleted_is_forgotten(
    http: FlaskClient, service: Service, job: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never is it done, and without its pixels."""
    cancel = service.store.cancel

    def finish_first(*arguments: Any) -> Job:
        finish(service)
        return cancel(*arguments)

    monkeypatch.setattr(service.store, "cancel", finish_first)
    assert http.delete(job["url"]).status_code == 204
    assert code_of(http.get(job["url"])) == "job_unknown"
    assert list(service.files.folder.iterdir()) == []


def test_only_a_running_job_can_be_stopped(
    http: FlaskClient, service: Service, job: dict[str, Any]
) -> None:
    assert code_of(http.post(job["url"] + "/stop")) == "not_running"
    service.store.claim()
    response = http.post(job["url"] + "/stop")
    assert (response.status_code, response.get_json()["stopping"]) == (202, True)


def test_a_lease_is_renewed(http: FlaskClient, image_file: bytes) -> None:
    job = submit(http, form(image_file, lease_s=60)).get_json()
    time.sleep(0.01)
    renewed = http.post(job["url"] + "/lease").get_json()
    assert renewed["lease_until"] > job["lease_until"]


# --- Results and previews ------------------------------------------------------------------------


def test_a_result_is_fetched_whole_or_in_part(
    http: FlaskClient, service: Service, job: dict[str, Any]
) -> None:
    early = http.get(job["url"] + "/result")
    assert code_of(early) == "result_not_ready"
    assert early.headers["Retry-After"]
    finish(service)
    response = http.get(job["url"] + "/result")
    assert (response.status_code, response.data) == (200, b"pixelsunet")
    assert response.mimetype == "image/png"
    assert response.headers["Dip-Width"] == "64"
    assert response.headers["Dip-Network"] == "unet"
    etag = {"If-None-Match": response.headers["ETag"]}
    assert http.get(job["url"] + "/result", headers=etag).status_code == 304
    part = http.get(job["url"] + "/result", headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.data) == (206, b"xel")
    beyond = http.get(job["url"] + "/result", headers={"Range": "bytes=100-"})
    assert code_of(beyond) == "range_refused"
    assert http.head(job["url"] + "/result").headers["Content-Length"] == "10"


def test_both_results_are_there_to_compare(
    http: FlaskClient, service: Service, image_file: bytes
) -> None:
    job = submit(http, form(image_file, network="both")).get_json()
    finish(service, networks=("unet", "segnet"))
    for result in http.get(job["url"]).get_json()["results"]:
        assert http.get(result["url"]).data == b"pixels" + result["network"].encode()


def test_a_network_that_was_not_fitted_has_no_result(
    http: FlaskClient, service: Service, job: dict[str, Any]
) -> None:
    finish(service)
    assert code_of(http.get(job["url"] + "/result?network=segnet")) == "no_result"
    assert code_of(http.get(job["url"] + "/result?network=../unet")) == "parameter_invalid"


def test_the_latest_preview_is_fetched(
    http: FlaskClient, service: Service, job: dict[str, Any]
) -> None:
    assert code_of(http.get(job["url"] + "/preview")) == "preview_missing"
    taken = service.store.claim()
    assert taken is not None
    service.files.write(taken.id, "preview.1.1", b"jpeg")
    place = {"top": 1, "left": 2, "height": 3, "width": 4}
    shown = {**place, "number": 1, "network": "unet", "iteration": 9, "file": "preview.1.1"}
    service.store.note_preview(taken, shown)
    response = http.get(job["url"] + "/preview")
    assert (response.data, response.mimetype) == (b"jpeg", "image/jpeg")
    assert [response.headers[f"Dip-{name}"] for name in ("Top", "Left", "Iteration")] == [
        "1", "2", "9",
    ]  # fmt: skip
    service.files.remove(taken.id)
    assert code_of(http.get(job["url"] + "/preview")) == "preview_missing"


# --- Events --------------------------------------------------------------------------------------


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
    http: FlaskClient, service: Service, job: dict[str, Any]
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
    monkeypatch.setattr("server.http.routes.events._LOOK_EVERY_S", 600)
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


# --- All in one call -----------------------------------------------------------------------------


def test_one_call_returns_the_result(
    http: FlaskClient, service: Service, image_file: bytes, mask_file: bytes
) -> None:
    service.notifier.start()
    threading.Timer(0.1, finish, [service]).start()
    response = http.post("/v1/restore", data=form(image_file, mask_file))
    assert (response.status_code, response.data) == (200, b"pixelsunet")
    assert http.get(response.headers["Location"]).get_json()["state"] == "done"


def test_one_call_says_why_a_job_failed(
    http: FlaskClient, service: Service, image_file: bytes
) -> None:
    from server.errors import ServiceError

    def fail() -> None:
        while (job := service.store.claim()) is None:
            time.sleep(0.02)
        service.store.fail(job, ServiceError("mask_empty", "Nothing is marked.", "Paint it."))

    threading.Thread(target=fail, daemon=True).start()
    response = http.post("/v1/restore", data=form(image_file))
    assert code_of(response) == "mask_empty"
    assert response.get_json()["error"]["hint"] == "Paint it."


def test_one_call_takes_one_network(http: FlaskClient, image_file: bytes) -> None:
    response = http.post("/v1/restore", data=form(image_file, network="both"))
    assert code_of(response) == "parameter_invalid"


# --- The rest ------------------------------------------------------------------------------------


def test_capabilities_say_what_may_be_asked(http: FlaskClient, service: Service) -> None:
    service.store.set_status("worker", {"pid": 1, "devices": ["cpu"], "versions": {"torch": "2"}})
    answer = http.get("/v1/capabilities").get_json()
    assert set(answer["networks"]) == {"unet", "segnet"}
    assert answer["limits"]["pixels"] == service.settings.max_pixels
    assert answer["devices"] == ["cpu"]
    assert answer["versions"]["torch"] == "2"


@pytest.mark.parametrize("cluster", [None, ClusterSettings(address="tcp://127.0.0.1:8786")])
def test_capabilities_say_whether_photos_go_to_other_machines(
    make_service: Callable[..., Service],
    http_of: Callable[[Service], FlaskClient],
    cluster: ClusterSettings | None,
) -> None:
    answer = http_of(make_service(cluster=cluster)).get("/v1/capabilities").get_json()
    assert answer["cluster"] is (cluster is not None)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/v1/nothing", "not_found"),
        ("PUT", "/v1/jobs", "method_not_allowed"),
        ("POST", "/v1/jobs/x/result", "method_not_allowed"),
        ("GET", "/v1/jobs/x", "job_unknown"),
        ("POST", "/v1/jobs", "content_type_refused"),
        ("POST", "/v1/restore", "content_type_refused"),
        ("GET", "/v1/jobs?limit=0", "parameter_invalid"),
        ("GET", "/static/nothing.js", "not_found"),
    ],
)
def test_every_refusal_has_the_one_body(
    http: FlaskClient, method: str, path: str, code: str
) -> None:
    response = http.open(path, method=method)
    assert code_of(response) == code
    if code == "method_not_allowed":
        assert response.headers["Allow"]


def test_a_fault_is_logged_and_not_explained_to_strangers(
    http: FlaskClient, service: Service, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def broken(job_id: str) -> None:
        raise RuntimeError("a secret path")

    monkeypatch.setattr(service.store, "get", broken)
    response = http.get("/v1/jobs/x")
    assert code_of(response) == "internal"
    assert "secret" not in response.text
    assert "a secret path" in caplog.text


def test_the_page_is_public_and_brings_all_it_needs(http: FlaskClient) -> None:
    del http.environ_base["HTTP_AUTHORIZATION"]
    response = http.get("/")
    assert response.status_code == 200
    assert "http://" not in response.text.replace("http://127.0.0.1:8777", "")
    style = re.search(r'href="(/static/[^"]+/page.css)"', response.text)
    assert style is not None
    assert http.get(style[1]).mimetype == "text/css"


def test_the_description_covers_every_path_with_its_errors(http: FlaskClient) -> None:
    spec = http.get("/openapi.json").get_json()
    assert spec["security"] == [{"bearer": []}]
    paths = {(method, path) for path, each in spec["paths"].items() for method in each}
    assert paths == {
        ("get", "/v1/health"), ("get", "/v1/capabilities"), ("post", "/v1/launch"),
        ("post", "/v1/jobs"), ("get", "/v1/jobs"), ("get", "/v1/jobs/{job_id}"),
        ("delete", "/v1/jobs/{job_id}"), ("get", "/v1/jobs/{job_id}/events"),
        ("get", "/v1/jobs/{job_id}/preview"), ("get", "/v1/jobs/{job_id}/result"),
        ("post", "/v1/jobs/{job_id}/stop"), ("post", "/v1/jobs/{job_id}/lease"),
        ("post", "/v1/restore"), ("post", "/v1/display"), ("get", "/v1/example"),
        ("get", "/v1/jobs/{job_id}/display"), ("get", "/v1/jobs/{job_id}/input"),
    }  # fmt: skip
    for path, operations in spec["paths"].items():
        for operation in operations.values():
            assert {"401", "403"} <= set(operation["responses"]), path
