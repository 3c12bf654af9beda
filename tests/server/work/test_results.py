"""Results of the service keep what their photos had, and are not thrown away."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from flask.testing import FlaskClient
from further_formats import FURTHER
from infrared_scans import KINDS
from tagged_photos import FORMATS, MATRIX_SAMPLE, Matrix, damage, with_chunks

from dip.errors import OutputError
from dip.image_io import encode_photo, find_infrared, read_photo
from server.http.context import Service
from server.jobs.job import Job, State
from server.work import codec
from server.work.worker import Worker

Restore = Callable[..., Job]


@pytest.fixture
def restore(service: Service, http: FlaskClient) -> Restore:
    """Submit a photo and work on it, in this process."""
    worker = Worker(service.store, service.files, service.settings.max_pixels)

    def restore(image: bytes, mask: bytes, form: str = "auto", **fields: str) -> Job:
        data = {"preset": "fast", "iterations": "2", "format": form} | fields
        files = {"image": (io.BytesIO(image), "i"), "mask": (io.BytesIO(mask), "m")}
        assert http.post("/v1/jobs", data=data | files).status_code == 202
        job = service.store.claim()
        assert job is not None
        worker.work(job)
        return service.store.get(job.id)

    return restore


@pytest.mark.slow
def test_http_loses_no_tag_silently(
    restore: Restore, http: FlaskClient, tmp_path: Path, exhaustive: bool
) -> None:
    matrix = Matrix(tmp_path / "photos", None if exhaustive else MATRIX_SAMPLE)
    mask = encode_photo(damage(), "png")
    for name, path in matrix.photos.items():
        for form, suffix in FORMATS.items():
            job = restore(path.read_bytes(), mask, form, iterations="1", texture="0")
            public = http.get(f"/v1/jobs/{job.id}").get_json()
            if job.state is State.FAILED:
                assert "cannot hold" in public["error"]["message"]
                assert public["progress"] is None
                matrix.refused += 1
                continue
            response = http.get(f"/v1/jobs/{job.id}/result")
            output = tmp_path / f"{name}_as{suffix}"
            output.write_bytes(response.data)
            notes = "; ".join(public["notes"]).encode("ascii", "replace").decode()
            assert response.headers.get("Dip-Notes", "") == notes
            matrix.add(name, form, output, public["notes"])
    matrix.check("HTTP")


def test_losses_are_named_before_the_work(
    restore: Restore, service: Service, monkeypatch: pytest.MonkeyPatch,
    image_file: bytes, mask_file: bytes,
) -> None:  # fmt: skip
    seen = []

    def look(job: Job) -> tuple[bool, int | None]:
        seen.append(service.store.get(job.id))
        return True, None

    monkeypatch.setattr(service.store, "wanted", look)
    image = with_chunks(image_file, (b"tEXt", b"Source\0box 7"))
    restore(image, mask_file, "webp")
    assert seen[0].progress is None
    assert seen[0].notes[0] == {
        "code": "losses", "values": {"format": "WEBP", "things": ["PNG Source"]},
        "message": "a WEBP file cannot hold PNG Source",
    }  # fmt: skip


def test_a_result_that_cannot_be_encoded_is_kept_as_tiff(
    restore: Restore, service: Service, monkeypatch: pytest.MonkeyPatch,
    image_file: bytes, mask_file: bytes, photo: np.ndarray,
) -> None:  # fmt: skip
    def fail(*arguments: object) -> bytes:
        raise OutputError("The result cannot be written as PNG: no reason.")

    monkeypatch.setattr(codec, "encode", fail)
    job = restore(image_file, mask_file)
    (result,) = job.results
    assert (job.state, result["format"]) == (State.DONE, "tiff")
    data = service.files.path(job.id, result["file"]).read_bytes()
    assert read_photo(data).pixels.shape == photo.shape
    assert [note["code"] for note in job.notes] == ["plain_tiff"]


# --- Pages ----------------------------------------------------------------------------------------


def tiff_of(*pages: np.ndarray) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for page in pages:
            writer.write(page, photometric="rgb" if page.ndim == 3 else "minisblack", metadata=None)
    return file.getvalue()


@pytest.fixture
def pages(photo: np.ndarray) -> list[np.ndarray]:
    return [photo, photo[::-1, :48].astype(np.uint16) * 257]


@pytest.fixture
def masks(mask: np.ndarray) -> list[np.ndarray]:
    return [mask, np.ascontiguousarray(mask[::-1, :48])]


@pytest.mark.parametrize(("page", "restored"), [(None, (0, 1)), ("all", (0, 1)), ("2", (1,))])
def test_the_pages_of_a_tiff_are_restored(
    restore: Restore, service: Service, pages: list[np.ndarray], masks: list[np.ndarray],
    page: str | None, restored: tuple[int, ...],
) -> None:  # fmt: skip
    asked = {} if page is None else {"page": page}
    job = restore(tiff_of(*pages), tiff_of(*masks), **asked)
    assert job.state is State.DONE, job.error
    (result,) = job.results
    assert result["iterations"] == 2 * len(restored)
    assert (result["height"], result["width"]) == pages[restored[0]].shape[:2]
    assert job.progress is not None
    assert (job.progress["page"], job.progress["fraction"]) == (2, 1)
    data = service.files.path(job.id, result["file"]).read_bytes()
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        results = [each.asarray() for each in file.pages]
    for number, (before, after) in enumerate(zip(pages, results, strict=True)):
        known = masks[number] == 0
        np.testing.assert_array_equal(after[known], before[known])
        assert (after != before).any() == (number in restored)


@pytest.mark.parametrize(
    ("fields", "seen"),
    [
        ({"page": "3"}, "no page 3"),
        ({"format": "png"}, "A PNG file cannot hold 2 pages."),
        ({"page": "all", "format": "png"}, "A PNG file cannot hold 2 pages."),
    ],
)
def test_wrong_pages_are_refused_before_the_work(
    restore: Restore, pages: list[np.ndarray], masks: list[np.ndarray],
    fields: dict[str, str], seen: str,
) -> None:  # fmt: skip
    job = restore(tiff_of(*pages), tiff_of(*masks), **fields)
    assert (job.state, job.progress) == (State.FAILED, None)
    assert seen in (job.error or {})["message"]


def test_a_page_with_an_unusable_mask_is_refused_before_any_page_is_fitted(
    restore: Restore, pages: list[np.ndarray], masks: list[np.ndarray]
) -> None:
    job = restore(tiff_of(*pages), tiff_of(masks[0], np.zeros_like(masks[1])))
    assert (job.state, job.progress) == (State.FAILED, None)
    assert (job.error or {})["code"] == "mask_empty"


def test_a_stop_fills_the_pages_that_were_not_fitted(
    restore: Restore, service: Service, pages: list[np.ndarray], masks: list[np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(service.store, "wanted", lambda job: (True, 1))
    job = restore(tiff_of(*pages), tiff_of(*masks))
    assert job.state is State.DONE
    data = service.files.path(job.id, job.results[0]["file"]).read_bytes()
    for number, before in enumerate(pages):
        after = read_photo(data, page=number).pixels
        assert (after != before)[masks[number] > 0].any(axis=-1).mean() > 0.5


def test_all_pages_that_are_fitted_are_kept_where_the_result_cannot_be_encoded(
    restore: Restore, service: Service, pages: list[np.ndarray], masks: list[np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    encode, calls = codec.encode, []

    def fail_the_second(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == 2:
            raise OutputError("The result cannot be written as TIFF: no reason.")
        return encode(*given)

    monkeypatch.setattr(codec, "encode", fail_the_second)
    job = restore(tiff_of(*pages), tiff_of(*masks))
    assert job.state is State.DONE
    data = service.files.path(job.id, job.results[0]["file"]).read_bytes()
    for number, before in enumerate(pages):
        after, known = read_photo(data, page=number).pixels, masks[number] == 0
        np.testing.assert_array_equal(after[known], before[known])
        assert (after != before).any()


@pytest.mark.parametrize(
    "fields",
    [
        {"page": "0"}, {"page": "one"}, {"page": "1\n"}, {"page": "all", "result": "fill"},
        {"page": "1", "width": "64", "height": "64", "channels": "3", "samples": "uint8"},
    ],
)  # fmt: skip
def test_a_page_that_makes_no_sense_is_refused_at_once(
    http: FlaskClient, image_file: bytes, mask_file: bytes, fields: dict[str, str]
) -> None:
    files = {"image": (io.BytesIO(image_file), "i"), "mask": (io.BytesIO(mask_file), "m")}
    answer = http.post("/v1/jobs", data=fields | files)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (422, "parameter_invalid")


@pytest.mark.parametrize("kind", ["rgbi", "hdri"])
def test_an_infrared_plane_stays(
    restore: Restore, service: Service, photo: np.ndarray, mask_file: bytes, tmp_path: Path,
    kind: str,
) -> None:  # fmt: skip
    infrared = np.random.default_rng(0).integers(0, 65536, photo.shape[:2], dtype=np.uint16)
    scan, output = tmp_path / "scan.tif", tmp_path / "result.tif"
    KINDS[kind](scan, photo.astype(np.uint16) * 257, infrared)
    job = restore(scan.read_bytes(), mask_file)
    assert job.state is State.DONE, job.error
    output.write_bytes(service.files.path(job.id, job.results[0]["file"]).read_bytes())
    found = find_infrared(output, read_photo(output))
    assert found is not None
    np.testing.assert_array_equal(found, infrared)


# --- Formats that are only read -------------------------------------------------------------------


@pytest.mark.parametrize("form", ["jp2", "heic", "avif"])
def test_formats_that_are_only_read_become_png(
    restore: Restore, service: Service, mask_file: bytes, mask: np.ndarray, form: str
) -> None:
    sent = FURTHER[form](np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    job = restore(sent, mask_file)
    assert job.state is State.DONE, job.error
    (result,) = job.results
    assert result["format"] == "png"
    data = service.files.path(job.id, result["file"]).read_bytes()
    known = mask == 0
    before, after = read_photo(sent), read_photo(data)
    np.testing.assert_array_equal(after.pixels[known], before.pixels[known])
    assert before.metadata.exif is not None
    assert after.metadata.exif == before.metadata.exif
