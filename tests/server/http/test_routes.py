"""The other paths of the API, without a worker."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from api_requests import code_of, finish, form, submit
from flask.testing import FlaskClient

from dip.cluster.options import ClusterSettings
from server.http.context import Service
from server.jobs.job import Job

# --- Looking, stopping, cancelling ---------------------------------------------------------------


def test_jobs_are_listed_latest_first(
    http: FlaskClient,
    service: Service,
    image_file: bytes,
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
    http: FlaskClient,
    service: Service,
    job: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
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


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/jobs", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("/v1/restore", {"POST", "OPTIONS"}),
        ("/v1/display", {"POST", "OPTIONS"}),
        ("/v1/health", {"GET", "HEAD", "OPTIONS"}),
        ("*", {"GET", "HEAD", "POST", "DELETE", "OPTIONS"}),
    ],
)
def test_options_names_the_methods_of_a_path(
    http: FlaskClient, path: str, methods: set[str]
) -> None:
    response = http.options(path)
    assert (response.status_code, response.data) == (200, b"")
    assert set(response.headers["Allow"].split(", ")) == methods


@pytest.mark.parametrize("number", ["١٢", "１", "1_0", " 7", "1e1", "+", "", "9" * 5000])
def test_numbers_are_ascii_digits(http: FlaskClient, image_file: bytes, number: str) -> None:
    refused = submit(http, form(image_file, seed=number))
    assert code_of(refused) == "parameter_invalid"
    assert "seed" in refused.get_json()["error"]["message"]
    assert code_of(http.get("/v1/jobs", query_string={"limit": number})) == "parameter_invalid"


def test_a_parameter_is_given_once(http: FlaskClient) -> None:
    refused = http.get("/v1/jobs?limit=1&state=done&limit=2")
    assert code_of(refused) == "parameter_invalid"
    assert "two parameters of the name 'limit'" in refused.get_json()["error"]["message"]


# --- Results and previews ------------------------------------------------------------------------


def test_a_result_is_fetched_whole_or_in_part(
    http: FlaskClient,
    service: Service,
    job: dict[str, Any],
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
    for invalid in ("bytes=x", "bytes=4-2", "lines=1-2", "bytes", "bytes=0-1,3-4", "bytes=٣-"):
        whole = http.get(job["url"] + "/result", headers={"Range": invalid})
        assert (whole.status_code, whole.data) == (200, b"pixelsunet"), invalid


def test_both_results_are_there_to_compare(
    http: FlaskClient,
    service: Service,
    image_file: bytes,
) -> None:
    job = submit(http, form(image_file, network="both")).get_json()
    finish(service, networks=("unet", "segnet"))
    for result in http.get(job["url"]).get_json()["results"]:
        assert http.get(result["url"]).data == b"pixels" + result["network"].encode()


def test_a_network_that_was_not_fitted_has_no_result(
    http: FlaskClient,
    service: Service,
    job: dict[str, Any],
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


# --- All in one call -----------------------------------------------------------------------------


def test_one_call_returns_the_result(
    http: FlaskClient,
    service: Service,
    image_file: bytes,
    mask_file: bytes,
) -> None:
    service.notifier.start()
    threading.Timer(0.1, finish, [service]).start()
    response = http.post("/v1/restore", data=form(image_file, mask_file))
    assert (response.status_code, response.data) == (200, b"pixelsunet")
    assert http.get(response.headers["Location"]).get_json()["state"] == "done"


def test_one_call_says_why_a_job_failed(
    http: FlaskClient,
    service: Service,
    image_file: bytes,
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


def test_a_fault_is_logged_and_not_explained_to_clients(
    http: FlaskClient,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    caplog: Any,
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
        ("post", "/v1/detections"), ("get", "/v1/detections/{job_id}"),
        ("delete", "/v1/detections/{job_id}"), ("get", "/v1/detections/{job_id}/levels"),
        ("get", "/v1/detections/{job_id}/mask"),
    }  # fmt: skip
    for path, operations in spec["paths"].items():
        for operation in operations.values():
            assert {"401", "403"} <= set(operation["responses"]), path
