"""Pictures for a browser, decoded in a separate process; the files of the page."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image, ImageCms, ImageOps

from dip.config import Settings
from dip.image_io import Metadata, Photo, encode_photo
from server.errors import ServiceError
from server.http.context import Service
from server.http.static_files import Assets
from server.jobs.parameters import JobParameters, RawImage
from server.rendering import displays

Show = Callable[..., Any]
CHROMIUM_ACCEPTS = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;"
    "q=0.8,application/signed-exchange;v=b3;q=0.7"
)


@pytest.fixture
def show(http: FlaskClient) -> Show:
    def post(data: bytes, **fields: Any) -> Any:
        form = {"image": (io.BytesIO(data), "image"), **fields}
        return http.post("/v1/display", data=form, content_type="multipart/form-data")

    return post


def pixels_of(response: Any) -> np.ndarray:
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(io.BytesIO(response.data)))


@pytest.mark.parametrize("samples", ["uint8", "uint16", "float32"])
def test_a_photo_of_any_depth_is_shown_as_jpeg(show: Show, photo: Any, samples: str) -> None:
    full = {"uint8": 1, "uint16": 257, "float32": 1 / 255}[samples]
    response = show(encode_photo((photo.astype(float) * full).astype(samples), "tiff"))
    assert response.mimetype == "image/jpeg"
    assert np.abs(pixels_of(response).astype(int) - photo).mean() < 2
    headers = {name: response.headers[f"Dip-{name}"] for name in ("Width", "Samples", "Format")}
    assert headers == {"Width": "64", "Samples": samples, "Format": "tiff"}


def test_transparency_is_shown_too(show: Show, photo: Any) -> None:
    alpha = np.full((64, 64, 1), 65535, dtype=np.uint16)
    alpha[:8] = 0
    deep = np.concatenate([photo.astype(np.uint16) * 257, alpha], axis=2)
    shown = pixels_of(show(encode_photo(deep, "tiff")))
    assert np.array_equal(shown[:, :, 3], alpha[:, :, 0] >> 8)
    assert np.array_equal(shown[8:, :, :3], photo[8:])


def test_colours_are_those_of_the_profile(show: Show) -> None:
    """Lab is an absolute colour space, so the expected sRGB values are exact."""
    swapped = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = np.full((16, 16, 3), (200, 60, 20), dtype=np.uint8)
    like = Photo(pixels=plain, format="tiff", metadata=Metadata(icc=swapped))
    same = pixels_of(show(encode_photo(plain, "tiff", like=like)))
    assert np.abs(same.astype(int) - plain).max() <= 4
    # A profile without colours: gray is shown as gray, by its own curve or as it is.
    gray = np.full((16, 16), 128, dtype=np.uint8)
    like = Photo(pixels=gray, format="tiff", metadata=Metadata(icc=swapped))
    assert np.ptp(pixels_of(show(encode_photo(gray, "tiff", like=like)))) <= 1


def test_a_mask_is_shown_exactly_as_a_job_takes_it(show: Show) -> None:
    mask = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    shown = pixels_of(show(encode_photo(mask, "png"), kind="mask"))
    assert np.array_equal(shown, np.rint(mask / 257).astype(np.uint8))
    colours = np.zeros((64, 64, 3), dtype=np.uint8)
    colours[:, :, 0] = 255
    refused = show(encode_photo(colours, "png"), kind="mask")
    assert refused.status_code == 422
    assert refused.get_json()["error"]["code"] == "mask_invalid"
    assert "colours" in refused.get_json()["error"]["message"]


def test_it_is_made_smaller_where_that_is_asked_for(show: Show, image_file: bytes) -> None:
    response = show(image_file, side="32")
    assert pixels_of(response).shape == (32, 32, 3)
    assert response.headers["Dip-Width"] == "64"
    assert pixels_of(show(image_file, side="320")).shape == (64, 64, 3)


def test_what_cannot_be_decoded_is_refused_with_the_reason(
    make_service: Callable[..., Service],
    http_of: Callable[[Service], FlaskClient],
    image_file: bytes,
) -> None:
    http = http_of(make_service(max_pixels=1000))
    for data, code in (
        (b"GIF89a", "image_unreadable"),
        (image_file[:40], "image_unreadable"),
        (image_file, "image_too_large"),
    ):
        answer = http.post("/v1/display", data={"image": (io.BytesIO(data), "image")})
        assert answer.get_json()["error"]["code"] == code
    assert http.post("/v1/display", data=b"x").get_json()["error"]["code"] == "content_type_refused"


MEASURE = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, "-m", "server.rendering.viewer", sys.argv[1]], check=True)
print()
print(1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is that of Linux")
@pytest.mark.parametrize(
    ("kind", "side", "error"),
    [
        ("photo", 640, None),
        ("photo", None, None),
        ("mask", 640, "image_too_large"),
        ("levels", None, "image_too_large"),
    ],
)
def test_a_deep_picture_of_190_megapixels_takes_little_memory(
    deep_bomb: Path, tmp_path: Path, kind: str, side: int | None, error: str | None
) -> None:
    """1.5 GB decoded: converted and reduced row by row, or refused."""
    target = tmp_path / "shown"
    request = {"kind": kind, "source": str(deep_bomb), "target": str(target), "side": side}
    request |= {"raw": None, "page": None}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, json.dumps({**request, "max_pixels": 200_000_000})],
        capture_output=True,
        text=True,
        check=True,
    )
    answer, peak = done.stdout.splitlines()
    print(f"{kind}, {side} px: {int(peak) / 1e6:.0f} MB")
    assert int(peak) < 500_000_000
    if error is None:
        assert json.loads(answer)["width"] == 13_780
        assert target.stat().st_size > 0
    else:
        assert json.loads(answer)["error"]["code"] == error
        name = "mask" if kind == "mask" else "image"
        message = f"{name}: The image has 13780×13780"
        assert json.loads(answer)["error"]["message"].startswith(message)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("side", [None, "24"])
def test_a_photo_is_shown_upright(
    show: Show, photo: Any, orientation: int, side: str | None
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(photo[:48])  # wider than high
    file = io.BytesIO()
    stored.save(file, "TIFF", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(file))
    response = show(file.getvalue(), **({} if side is None else {"side": side}))
    size = int(response.headers["Dip-Width"]), int(response.headers["Dip-Height"])
    assert size == upright.size
    shown = pixels_of(response).astype(int)
    if side is not None:
        upright.thumbnail((24, 24))
    assert shown.shape == (upright.height, upright.width, 3)
    assert np.abs(shown - np.asarray(upright)).mean() < 4


def test_samples_that_are_no_number_are_shown_as_black(show: Show, photo: Any) -> None:
    broken = photo.astype(np.float32) / 255
    broken[:8] = np.nan
    broken[8:16] = np.inf
    shown = pixels_of(show(encode_photo(broken, "tiff")))
    assert shown[:7].max() < 20
    assert shown[9:15].min() > 235


def test_nothing_of_it_is_kept(show: Show, service: Service, image_file: bytes) -> None:
    show(image_file)
    show(image_file[:40])
    assert list(service.settings.incoming_dir.iterdir()) == []


def test_a_decoder_that_crashes_or_hangs_costs_one_picture(
    show: Show, image_file: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "server" / "rendering"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").touch()
    monkeypatch.setattr(displays, "CHECKOUT", tmp_path)
    fault = f"import os; os.kill(os.getpid(), {signal.SIGSEGV.value})"
    (package / "viewer.py").write_text(fault)
    answer = show(image_file)
    assert answer.status_code == 415
    assert "was killed by SIGSEGV" in answer.get_json()["error"]["message"]
    (package / "viewer.py").write_text("import time; time.sleep(600)")
    with pytest.raises(ServiceError, match="not decoded within 1 s"):
        displays.make_display("photo", None, folder=tmp_path, max_pixels=1, timeout_s=1)
    (package / "viewer.py").write_text("raise RuntimeError")
    assert "ended with status 1" in show(image_file).get_json()["error"]["message"]


def test_no_decoder_is_ever_loaded_into_the_service() -> None:
    code = (
        "import sys; from server.http.app import create_app; import server.commands.serve;"
        "sys.exit(bool({'pyvips', 'PIL', 'torch'} & set(sys.modules)))"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0


# --- Of jobs -------------------------------------------------------------------------------------


@pytest.fixture
def finished(service: Service, image_file: bytes, mask_file: bytes, photo: Any) -> str:
    """The id of a job with an image, a mask and a result of 16 bits."""
    return finish_job(service, image_file, mask_file, photo)


def finish_job(service: Service, image: bytes, mask: bytes, photo: Any, **more: Any) -> str:
    job_id = "1" * 32
    (service.files.folder / job_id).mkdir()
    service.files.write(job_id, "image", image)
    service.files.write(job_id, "mask", mask)
    parameters = JobParameters(settings=Settings(), has_mask=True, **more)
    service.store.add(job_id, parameters)
    job = service.store.claim()
    assert job is not None
    data = encode_photo((255 - photo).astype(np.uint16) * 257, "tiff")
    service.files.write(job_id, "result.unet.1", data)
    about = {
        "network": "unet", "format": more.get("format", "tiff"), "file": "result.unet.1",
        "bytes": len(data), "top": 0, "left": 0, "height": 64, "width": 64, "part": "image",
        "channels": 3, "samples": "uint16", "sha256": "0" * 64, "iterations": 1,
        "validation_psnr_db": None, "seconds": 0.1,
    }  # fmt: skip
    service.store.finish(job, [about], stopped=False, notes=[])
    return job_id


def test_what_a_job_was_given_and_what_came_of_it_is_shown(
    http: FlaskClient, finished: str, photo: Any, mask: Any
) -> None:
    path = f"/v1/jobs/{finished}/display"
    result = pixels_of(http.get(path)).astype(int)
    assert np.abs(result - (255 - photo.astype(int))).mean() < 2
    assert np.abs(pixels_of(http.get(path + "?of=image")).astype(int) - photo).mean() < 2
    assert np.array_equal(pixels_of(http.get(path + "?of=mask")), mask)
    assert pixels_of(http.get(path + "?side=16")).shape == (16, 16, 3)
    assert http.get(path + "?network=segnet").get_json()["error"]["code"] == "no_result"


def test_it_is_made_once_and_goes_with_the_job(
    http: FlaskClient, service: Service, finished: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/v1/jobs/{finished}/display?side=32"
    before = service.store.get(finished).bytes
    first = http.get(path)
    assert service.store.get(finished).bytes == before + len(first.data)
    monkeypatch.setattr("server.http.routes.displays.make_display", None)
    again = http.get(path)
    assert again.data == first.data
    assert again.headers["Dip-Samples"] == "uint16"
    http.delete(f"/v1/jobs/{finished}")
    assert not (service.files.folder / finished).exists()
    assert http.get(path).get_json()["error"]["code"] == "job_unknown"


def test_a_job_that_is_deleted_while_it_is_drawn_is_unknown(
    http: FlaskClient, service: Service, finished: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    note_bytes = service.store.note_bytes

    def note_and_delete(job_id: str, size: int) -> None:
        note_bytes(job_id, size)
        http.delete(f"/v1/jobs/{job_id}")

    monkeypatch.setattr(service.store, "note_bytes", note_and_delete)
    response = http.get(f"/v1/jobs/{finished}/display?side=32")
    assert response.get_json()["error"]["code"] == "job_unknown"


def test_what_was_submitted_comes_back_as_it_was(
    http: FlaskClient, finished: str, image_file: bytes, mask_file: bytes
) -> None:
    path = f"/v1/jobs/{finished}/input"
    assert http.get(path).data == image_file
    assert http.get(path + "?of=mask").data == mask_file


def test_a_job_without_such_a_picture_says_so(
    http: FlaskClient, service: Service, photo: Any
) -> None:
    raw = RawImage(width=64, height=64, channels=3, samples="uint8")
    job_id = finish_job(service, photo.tobytes(), b"", photo, raw=raw, mask_samples="uint8",
                        format="raw")  # fmt: skip
    for query in ("of=image", "of=mask", "of=result"):
        answer = http.get(f"/v1/jobs/{job_id}/display?{query}")
        assert answer.get_json()["error"]["code"] == "no_result", query
    waiting = service.store.add("2" * 32, JobParameters(settings=Settings()))
    for query, code in (("of=result", "result_not_ready"), ("of=mask", "no_result")):
        answer = http.get(f"/v1/jobs/{waiting.id}/display?{query}")
        assert answer.get_json()["error"]["code"] == code
    answer = http.get(f"/v1/jobs/{waiting.id}/display?of=image")  # its pixels are gone
    assert answer.get_json()["error"]["code"] == "job_unknown"


def test_nothing_is_counted_for_a_job_that_was_cancelled(service: Service) -> None:
    job = service.store.add("3" * 32, JobParameters(settings=Settings()), size=10)
    service.store.note_bytes(job.id, 5)
    assert service.store.get(job.id).bytes == 15
    service.store.cancel(job.id)
    service.store.note_bytes(job.id, 5)
    assert service.store.get(job.id).bytes == 0


def test_an_example_is_made_here(http: FlaskClient) -> None:
    assert pixels_of(http.get("/v1/example")).shape == (512, 512, 3)


def test_more_than_a_few_at_once_are_told_to_wait(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(displays, "_QUEUE_TIMEOUT_S", 0.1)
    taken = [displays._slots.acquire(blocking=False) for _ in range(displays._MAX_PROCESSES)]
    try:
        with pytest.raises(ServiceError, match="Too many pictures") as caught:
            displays.make_display("example", None, folder=tmp_path, max_pixels=1)
        assert caught.value.status == 503
    finally:
        for _ in filter(None, taken):
            displays._slots.release()


# --- The files of the page -----------------------------------------------------------------------


def test_files_of_the_page_are_kept_for_good_under_an_address_that_changes(
    http: FlaskClient,
) -> None:
    del http.environ_base["HTTP_AUTHORIZATION"]
    page = http.get("/")
    assert page.headers["Cache-Control"] == "no-store"
    addresses = set(re.findall(r'(?:href|src)="(/[^"#]+)"', page.text))
    assert {each.rpartition("/")[2] for each in addresses} >= {"app.js", "page.css", "icon.svg"}
    for address in addresses:
        response = http.get(address)
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    old = re.sub("/static/[0-9a-f]{16}", "/static/" + "0" * 16, address)
    assert http.get(old).get_json()["error"]["code"] == "not_found"


def test_the_version_changes_with_any_byte(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<script src={{assets}}/app.js>")
    (tmp_path / "app.js").write_text("1")
    before = Assets.read(tmp_path)
    assert f"/static/{before.version}/app.js" in before.page.decode()
    (tmp_path / "app.js").write_text("2")
    assert Assets.read(tmp_path).version != before.version
    assert dataclasses.replace(before).files["app.js"].data == b"1"


def test_files_in_folders_are_served_by_their_path(tmp_path: Path, http: FlaskClient) -> None:
    (tmp_path / "view").mkdir()
    (tmp_path / "view" / "stage.js").write_text("1")
    (tmp_path / "view" / "notes.txt").write_text("private")
    (tmp_path / "index.html").write_text("")
    assert list(Assets.read(tmp_path).files) == ["view/stage.js"]
    folder = re.search(r'"(/static/[0-9a-f]{16})/app.js"', http.get("/").text)
    assert folder is not None
    assert http.get(f"{folder[1]}/view/stage.js").mimetype == "text/javascript"
    assert http.get(f"{folder[1]}/view").status_code == 404


def test_the_page_holds_no_script_and_no_style_of_its_own(http: FlaskClient) -> None:
    text = http.get("/").text
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text)
    assert re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL) == [""]


def test_a_person_with_a_spent_link_sees_the_page(http: FlaskClient) -> None:
    del http.environ_base["HTTP_AUTHORIZATION"]
    response = http.get("/launch?code=spent", headers={"Accept": CHROMIUM_ACCEPTS})
    assert response.status_code == 401
    assert "<!doctype html>" in response.text
    assert "Set-Cookie" not in response.headers
