"""Finding damage over HTTP: a first answer at once, the full one from a worker."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from api_requests import code_of, form, submit
from flask.testing import FlaskClient
from infrared_scans import KINDS as INFRARED

from dip.detection import KINDS, NAMES, DamageMap, detect
from dip.image_io import encode_photo, read_photo
from server.http.context import Service
from server.http.detection_schemas import MarksQuery
from server.http.users import Users
from server.jobs.job import State
from server.work.worker import Worker


@pytest.fixture(scope="module")
def scan() -> np.ndarray:
    """Soft noise with bright dust and a scratch, (96, 128, 3) uint8."""
    random = np.random.default_rng(3)
    scan = np.full((96, 128, 3), 90.0) + random.normal(0, 2, (96, 128, 1))
    scan[::, ::, 0] += np.arange(128) / 4
    for top, left in ((20, 30), (40, 90), (70, 50), (80, 110)):
        scan[top : top + 3, left : left + 3] = 235
    scan[10:85, 64:66] = 230
    return scan.astype(np.uint8)


@pytest.fixture(scope="module")
def scan_file(scan: np.ndarray) -> bytes:
    return encode_photo(scan, "png")


def find(http: FlaskClient, image: bytes, **fields: Any) -> dict[str, Any]:
    response = http.post("/v1/detections", data=form(image, **fields))
    assert response.status_code == 202, response.text
    found = dict(response.get_json())
    assert response.headers["Location"] == found["url"] == f"/v1/detections/{found['id']}"
    return found


def work(service: Service) -> None:
    job = service.store.claim()
    assert job is not None
    Worker(service.store, service.files, service.settings.max_pixels).work(job)


def test_all_kinds_of_the_engine_can_be_asked_for() -> None:
    (pattern,) = MarksQuery().fields["kinds"].validators
    assert pattern(",".join(NAMES))  # type: ignore[operator]


def test_the_first_answer_needs_no_worker(
    http: FlaskClient, scan: np.ndarray, scan_file: bytes
) -> None:
    found = find(http, scan_file)
    assert (found["state"], found["found"]) == ("queued", None)
    assert code_of(http.get(found["levels_url"])) == "result_not_ready"
    levels = http.get(found["levels_url"] + "?quick=true")
    expected = detect(scan, quick=True)
    assert levels.data == expected.to_png()
    assert expected.mask()[21, 31]
    query = "?quick=true&sensitivity=0.8&kinds=bright-specks,scratches&largest=40"
    marks = http.get(found["mask_url"] + query)
    assert marks.mimetype == "image/png"
    np.testing.assert_array_equal(
        read_photo(marks.data).pixels > 0, expected.mask(0.8, ["bright-specks", "scratches"], 40)
    )


def test_a_worker_finds_all_of_it_and_tells_its_progress(
    http: FlaskClient, service: Service, scan: np.ndarray, scan_file: bytes
) -> None:
    found = find(http, scan_file, seed=4)
    work(service)
    done = http.get(found["url"]).get_json()
    assert done["state"] == "done", done["error"]
    expected = detect(scan, seed=4)
    assert http.get(found["levels_url"]).data == expected.to_png()
    assert done["found"] == {
        "height": 96, "width": 128, "share": pytest.approx(expected.mask().mean()),
        "marks": {kind: expected.count(kinds=[kind]) for kind in KINDS},
    }  # fmt: skip
    kinds = [event.kind for event in service.store.events_after(found["id"], 0)]
    assert kinds[-1] == "done"
    assert done["progress"]["fraction"] is not None
    assert http.get(found["mask_url"] + "?sensitivity=0").status_code == 200
    assert http.delete(found["url"]).status_code == 204
    assert code_of(http.get(found["url"])) == "job_unknown"
    assert not (service.files.folder / found["id"]).exists()


def test_raw_samples_give_the_same_as_a_file(
    http: FlaskClient, scan: np.ndarray, scan_file: bytes
) -> None:
    layout = {"width": 128, "height": 96, "channels": 3, "samples": "uint8"}
    raw, file = find(http, scan.tobytes(), **layout), find(http, scan_file)
    one, other = (http.get(each["levels_url"] + "?quick=true") for each in (raw, file))
    assert one.data == other.data


def test_a_page_of_a_tiff_is_searched(
    http: FlaskClient, service: Service, scan: np.ndarray
) -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for page in (scan[::-1], scan):
            writer.write(page, photometric="rgb", metadata=None)
    found = find(http, file.getvalue(), page=2)
    assert found["page"] == "2"
    assert http.get(found["levels_url"] + "?quick=true").data == detect(scan, quick=True).to_png()
    missing = find(http, file.getvalue(), page=3)
    answer = http.get(missing["levels_url"] + "?quick=true")
    assert (code_of(answer), "no page 3" in answer.text) == ("image_unreadable", True)
    work(service)
    assert http.get(found["levels_url"]).data == detect(scan).to_png()
    work(service)
    assert "no page 3" in http.get(missing["url"]).get_json()["error"]["message"]


@pytest.fixture(scope="module")
def infrared() -> np.ndarray:
    """The infrared plane of `scan`: its dust, and a hair that no colour shows; (96, 128) uint8."""
    plane = np.full((96, 128), 200.0) + np.random.default_rng(5).normal(0, 1, (96, 128))
    for top, left in ((20, 30), (40, 90), (70, 50), (80, 110)):
        plane[top : top + 3, left : left + 3] = 60
    plane[10:50, 100:102] = 70
    return plane.astype(np.uint8)


def with_infrared(image: bytes, plane: bytes, **fields: Any) -> dict[str, Any]:
    return {**form(image, **fields), "infrared": (io.BytesIO(plane), "photo_IR.png")}


def test_an_infrared_plane_shows_the_damage(
    http: FlaskClient, service: Service, scan: np.ndarray, scan_file: bytes, infrared: np.ndarray
) -> None:
    submission = with_infrared(scan_file, encode_photo(infrared, "png"))
    found = http.post("/v1/detections", data=submission).get_json()
    work(service)
    done = http.get(found["url"]).get_json()
    assert (done["state"], done["notes"]) == (
        "done",
        ["the damage was found in the infrared plane"],
    )
    levels = http.get(found["levels_url"]).data
    assert levels == detect(scan, infrared=infrared).to_png()
    assert DamageMap.from_png(levels).mask()[12:48, 100].all()


def test_the_plane_in_the_file_of_a_photo_is_used_unless_it_is_ignored(
    http: FlaskClient, service: Service, scan: np.ndarray, infrared: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "scan.tif"
    for kind in ("rgbi", "hdri", "dng"):
        INFRARED[kind](path, scan, infrared)
        found = find(http, path.read_bytes())
        work(service)
        expected = detect(scan, infrared=infrared).to_png()
        assert http.get(found["levels_url"]).data == expected, kind
    ignored = find(http, path.read_bytes(), ignore_infrared="true")
    work(service)
    assert http.get(ignored["levels_url"]).data == detect(scan).to_png()


def test_a_wrong_infrared_plane_is_refused(
    http: FlaskClient, service: Service, scan_file: bytes, infrared: np.ndarray
) -> None:
    plane = encode_photo(infrared, "png")
    for submission, code in (
        (with_infrared(scan_file, b"no image"), "image_unreadable"),
        (with_infrared(scan_file, plane, ignore_infrared="true"), "parameter_invalid"),
    ):
        assert code_of(http.post("/v1/detections", data=submission)) == code
    for wrong, code in (
        (encode_photo(infrared[:50], "png"), "infrared_unusable"),
        (encode_photo(np.full((96, 128), 9, np.uint8), "png"), "infrared_unusable"),
        (plane[:300], "image_unreadable"),
    ):
        found = http.post("/v1/detections", data=with_infrared(scan_file, wrong)).get_json()
        work(service)
        error = http.get(found["url"]).get_json()["error"]
        assert (error["code"], bool(error["hint"])) == (code, True)


def test_an_infrared_plane_has_the_limit_of_a_photo(
    http: FlaskClient, service: Service, scan_file: bytes, infrared: np.ndarray
) -> None:
    large = encode_photo(np.tile(infrared, (4, 4)), "png")
    found = http.post("/v1/detections", data=with_infrared(scan_file, large)).get_json()
    job = service.store.claim()
    assert job is not None
    Worker(service.store, service.files, max_pixels=20_000).work(job)
    assert http.get(found["url"]).get_json()["error"]["code"] == "image_too_large"


def test_a_submission_with_another_plane_is_another_one(
    http: FlaskClient, scan_file: bytes, infrared: np.ndarray
) -> None:
    headers = {"Idempotency-Key": "k"}
    planes = [encode_photo(each, "png") for each in (infrared, infrared, infrared[::-1])]
    first, again, other = (
        http.post("/v1/detections", data=with_infrared(scan_file, each), headers=headers)
        for each in planes
    )
    assert first.get_json()["id"] == again.get_json()["id"]
    assert code_of(other) == "key_reused"


def test_a_detection_comes_before_waiting_restorations_and_is_not_among_them(
    http: FlaskClient, service: Service, scan_file: bytes, mask_file: bytes, image_file: bytes
) -> None:
    restoration = submit(http, form(image_file, mask_file)).get_json()
    found = find(http, scan_file)
    assert found["ahead"] == 0
    assert [job["id"] for job in http.get("/v1/jobs").get_json()["jobs"]] == [restoration["id"]]
    assert code_of(http.get(f"/v1/detections/{restoration['id']}")) == "job_unknown"
    assert code_of(http.delete(f"/v1/detections/{restoration['id']}")) == "job_unknown"
    assert http.get("/v1/health").get_json()["queued"] == 2
    claimed = service.store.claim()
    assert claimed is not None
    assert claimed.id == found["id"]
    assert code_of(http.post(f"/v1/jobs/{found['id']}/stop")) == "not_running"
    assert code_of(http.get(f"/v1/jobs/{found['id']}/result")) == "result_not_ready"


def test_a_cancelled_detection_leaves_nothing(
    http: FlaskClient, service: Service, scan_file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find(http, scan_file)
    note_progress = service.store.note_progress

    def cancel_first(*args: Any, **more: Any) -> bool:
        assert http.delete(found["url"]).status_code == 202
        return note_progress(*args, **more)

    monkeypatch.setattr(service.store, "note_progress", cancel_first)
    work(service)
    assert service.store.get(found["id"]).state is State.CANCELLED
    assert not (service.files.folder / found["id"]).exists()
    assert code_of(http.get(found["levels_url"] + "?quick=true")) == "no_result"


@pytest.mark.parametrize(
    ("image", "fields", "code"),
    [
        (b"no image", {}, "image_unreadable"),
        (b"12", {"width": 2, "height": 2, "channels": 3, "samples": "uint8"}, "parameter_invalid"),
        (b"12", {"width": 90000, "height": 90000, "channels": 1, "samples": "uint8"},
         "image_too_large"),
        (b"1234", {"seed": "one"}, "parameter_invalid"),
    ],
)  # fmt: skip
def test_a_wrong_submission_is_refused(
    http: FlaskClient, image: bytes, fields: dict[str, Any], code: str
) -> None:
    assert code_of(http.post("/v1/detections", data=form(image, **fields))) == code


def test_a_photo_that_is_too_small_says_so(http: FlaskClient, service: Service) -> None:
    found = find(http, encode_photo(np.zeros((8, 8, 3), np.uint8), "png"))
    assert code_of(http.get(found["levels_url"] + "?quick=true")) == "image_too_small"
    work(service)
    assert http.get(found["url"]).get_json()["error"]["code"] == "image_too_small"
    assert code_of(http.get(found["levels_url"])) == "no_result"


@pytest.mark.parametrize(
    "query", ["sensitivity=2", "kinds=cats", "kinds=", "largest=0", "kinds=specks,,creases"]
)
def test_a_wrong_mask_is_refused(http: FlaskClient, scan_file: bytes, query: str) -> None:
    found = find(http, scan_file)
    assert code_of(http.get(f"{found['mask_url']}?{query}")) == "parameter_invalid"


def test_other_users_do_not_see_it_and_a_full_queue_is_said(
    make_service: Callable[..., Service], http_of: Callable[..., FlaskClient], scan_file: bytes
) -> None:
    service = make_service(max_queued_each=1)
    users = Users(service.settings.users_file)
    ada, bob = http_of(service), http_of(service)
    for client, name in ((ada, "ada"), (bob, "bob")):
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {users.add(name)}"
    found = find(ada, scan_file)
    for path in ("url", "levels_url", "mask_url"):
        assert code_of(bob.get(found[path])) == "job_unknown"
    assert code_of(bob.delete(found["url"])) == "job_unknown"
    assert code_of(ada.post("/v1/detections", data=form(scan_file))) == "queue_full"
    del bob.environ_base["HTTP_AUTHORIZATION"]
    assert code_of(bob.post("/v1/detections", data=form(scan_file))) == "token_required"


def test_detections_are_pruned_with_the_jobs(
    http: FlaskClient, service: Service, scan_file: bytes
) -> None:
    found = find(http, scan_file)
    work(service)
    assert service.store.get(found["id"]).bytes > len(scan_file)
    assert service.store.prune(ended_before=time.time() + 1, keep_bytes=0) == [found["id"]]


def test_the_client_follows_a_detection(
    real: Any, scan: np.ndarray, infrared: np.ndarray, tmp_path: Path
) -> None:
    """In a real service, which loads neither torch nor numpy where it answers."""
    scan = np.tile(scan, (3, 3, 1))
    scan += np.random.default_rng(0).integers(0, 8, scan.shape, dtype=np.uint8)
    photo = tmp_path / "scan.png"
    photo.write_bytes(encode_photo(scan, "png"))
    assert photo.stat().st_size > 70_000  # more than a request without a photo may have
    with real.client() as client:
        found = client.detect(photo, seed=2, lease_s=60)
        assert found["photo"] == "scan.png"
        quick = DamageMap.from_png(client.levels(found["id"], quick=True).data)
        assert quick.level.shape == scan.shape[:2]
        events = list(client.events(found["id"]))
        assert events[-1].kind == "done"
        assert client.detection(found["id"])["found"]["marks"].keys() == set(KINDS)
        levels = DamageMap.from_png(client.levels(found["id"]).data)
        np.testing.assert_array_equal(levels.level, detect(scan, seed=2).level)
        marks = read_photo(client.marks(found["id"], sensitivity=0.7).data).pixels > 0
        np.testing.assert_array_equal(marks, levels.mask(0.7))
        client.delete(found["id"])
        plane = np.tile(infrared, (3, 3))
        seen = client.detect(photo, infrared=encode_photo(plane, "png"))
        assert list(client.events(seen["id"]))[-1].kind == "done"
        notes = client.detection(seen["id"])["notes"]
        assert notes == ["the damage was found in the infrared plane"]
        levels = DamageMap.from_png(client.levels(seen["id"]).data)
        np.testing.assert_array_equal(levels.level, detect(scan, infrared=plane).level)
        client.delete(seen["id"])
