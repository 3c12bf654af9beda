"""Submissions over HTTP, without a worker."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
from api_requests import code_of, form, submit
from flask.testing import FlaskClient

from dip.config import Settings
from dip.image_io import Limits
from server.http.context import Service
from server.jobs.parameters import MAX_DECODED_BYTES


def test_a_submission_is_accepted_with_its_place(
    http: FlaskClient,
    service: Service,
    image_file: bytes,
    mask_file: bytes,
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
    http: FlaskClient,
    service: Service,
    image_file: bytes,
    fields: dict[str, Any],
    code: str,
) -> None:
    response = submit(http, form(image_file, **fields))
    assert code_of(response) == code
    assert service.store.ids_with_pixels() == set()
    assert list(service.settings.incoming_dir.iterdir()) == []
    assert list(service.files.folder.iterdir()) == []


def test_raw_samples_have_the_limit_of_decoded_files(http: FlaskClient) -> None:
    assert Limits().memory == MAX_DECODED_BYTES
    deep = form(b"", width=13_780, height=13_780, channels=4, samples="uint16")
    refused = submit(http, deep)
    assert code_of(refused) == "image_too_large"
    assert "1.5 GB" in refused.get_json()["error"]["message"]


@pytest.mark.parametrize("texture", [0, 0.3, 1])
def test_a_job_shows_how_much_texture_it_is_given(
    http: FlaskClient,
    service: Service,
    image_file: bytes,
    texture: float,
) -> None:
    job = submit(http, form(image_file, texture=texture)).get_json()
    assert job["parameters"]["texture"] == texture
    assert service.store.get(job["id"]).parameters.settings.texture == texture


@pytest.mark.parametrize(
    ("texture", "said"),
    [
        ("1.01", "texture: Must be greater than or equal to 0 and less than or equal to 1."),
        ("-0.1", "texture: Must be greater than or equal to 0 and less than or equal to 1."),
        ("nan", "texture: Not a valid number."),
        ("rough", "texture: Not a valid number."),
    ],
)
def test_a_texture_that_makes_no_sense_is_refused_in_words(
    http: FlaskClient,
    image_file: bytes,
    texture: str,
    said: str,
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


def test_a_time_limit_is_kept_and_without_one_there_is_none(
    http: FlaskClient, service: Service, image_file: bytes
) -> None:
    job = submit(http, form(image_file, time_s=90.5)).get_json()
    assert job["parameters"]["time_s"] == 90.5
    assert service.store.get(job["id"]).parameters.settings.time_s == 90.5
    unlimited = submit(http, form(image_file)).get_json()
    assert unlimited["parameters"]["time_s"] is None
    refused = submit(http, form(image_file, time_s=0))
    assert code_of(refused) == "parameter_invalid"
    assert refused.get_json()["error"]["message"].startswith("time_s: Must be greater than")


@pytest.mark.parametrize(("grow", "kept"), [("2", 2), ("auto", "auto"), (None, 0)])
def test_a_mask_grows_as_asked(
    http: FlaskClient, image_file: bytes, grow: str | None, kept: int | str
) -> None:
    chosen = {} if grow is None else {"grow": grow}
    assert submit(http, form(image_file, **chosen)).get_json()["parameters"]["grow"] == kept


@pytest.mark.parametrize("grow", ["-1", "2.5", "101", "much"])
def test_a_growth_that_is_none_is_refused(http: FlaskClient, image_file: bytes, grow: str) -> None:
    response = submit(http, form(image_file, grow=grow))
    assert code_of(response) == "parameter_invalid"
    message = "grow: Must be a whole number from 0 to 100, or auto."
    assert response.get_json()["error"]["message"] == message


def test_a_form_without_an_image_is_refused(http: FlaskClient) -> None:
    assert code_of(http.post("/v1/jobs", data={"seed": (io.BytesIO(), "s")})) == "parameter_invalid"


@pytest.mark.parametrize("data", [b"", b"GIF89a...", b"\x00" * 100, b"<svg/>"])
def test_other_formats_are_refused_before_anything_decodes_them(
    http: FlaskClient,
    data: bytes,
    image_file: bytes,
) -> None:
    assert code_of(submit(http, form(data))) == "image_unreadable"
    assert code_of(submit(http, form(image_file, data))) == "image_unreadable"


def test_raw_samples_are_measured(
    http: FlaskClient,
) -> None:
    shape = {"width": 8, "height": 4, "channels": 3, "samples": "uint16"}
    assert submit(http, form(bytes(192), **shape)).status_code == 202
    assert code_of(submit(http, form(bytes(191), **shape))) == "parameter_invalid"
    with_mask = {**shape, "mask_samples": "uint8"}
    assert submit(http, form(bytes(192), bytes(32), **with_mask)).status_code == 202
    assert code_of(submit(http, form(bytes(192), bytes(33), **with_mask))) == "parameter_invalid"


@pytest.mark.parametrize("line_end", [b"\r", b"\n", b"\r\n", b"\r\n-"])
def test_any_samples_may_be_sent_in_any_number(
    http: FlaskClient,
    service: Service,
    line_end: bytes,
) -> None:
    """Those, too, that look like the beginning of a boundary wherever a read may end."""
    pixels = (line_end * 200_000)[:200_000]
    shape = {"width": 500, "height": 400, "channels": 1, "samples": "uint8"}
    response = submit(http, form(pixels, pixels, mask_samples="uint8", **shape))
    assert response.status_code == 202, response.text
    for name in ("image", "mask"):
        assert service.files.path(response.get_json()["id"], name).read_bytes() == pixels


def test_a_repeated_submission_is_the_same_job(
    http: FlaskClient,
    service: Service,
    image_file: bytes,
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
    http: FlaskClient,
    service: Service,
    image_file: bytes,
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


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("Großmutter 写真.tif", "Großmutter 写真.tif"),
        ("../../etc/passwd", "passwd"),
        ("..", ""),
        ("image", ""),
        ("a\u202eb\x07.png", "ab.png"),
        (300 * "x", 255 * "x"),
    ],
)
def test_a_job_has_the_name_of_its_photo(
    http: FlaskClient, image_file: bytes, mask_file: bytes, sent: str, shown: str
) -> None:
    data = {"image": (io.BytesIO(image_file), sent), "mask": (io.BytesIO(mask_file), "mask.png")}
    job = http.post("/v1/jobs", data=data).get_json()
    assert job["photo"] == shown
    assert http.get(f"/v1/jobs/{job['id']}").get_json()["photo"] == shown
