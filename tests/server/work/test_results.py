"""Results of the service keep what their photos had, and are not thrown away."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from exiftool import tags_of
from flask.testing import FlaskClient
from tagged_photos import Account, make

from dip.errors import OutputError
from dip.image_io import decode_photo, encode_photo
from server.http.context import Service
from server.jobs.job import Job, State
from server.work import codec
from server.work.worker import Worker

Restore = Callable[..., Job]


@pytest.fixture
def restore(service: Service, http: FlaskClient) -> Restore:
    """Submit a photo and work on it, in this process."""
    worker = Worker(service.store, service.files, service.settings.max_pixels)

    def restore(image: bytes, mask: bytes, form: str = "auto") -> Job:
        data = {"preset": "fast", "iterations": "2", "format": form}
        files = {"image": (io.BytesIO(image), "i"), "mask": (io.BytesIO(mask), "m")}
        assert http.post("/v1/jobs", data=data | files).status_code == 202
        job = service.store.claim()
        assert job is not None
        worker.work(job)
        return service.store.get(job.id)

    return restore


@pytest.mark.slow
def test_no_tag_is_lost_silently(restore: Restore, http: FlaskClient, tmp_path: Path) -> None:
    made, account = make(tmp_path), Account()
    mask = np.zeros((48, 64), np.uint8)
    mask[10:20, 10:20] = 255
    pairs = [("pages", "auto"), ("pages", "png"), ("jpeg", "webp"), ("png_uint8", "tiff")]
    for name, asked in pairs:
        job = restore(made[name].read_bytes(), encode_photo(mask, "png"), asked)
        assert job.state is State.DONE, job.error
        response = http.get(f"/v1/jobs/{job.id}/result")
        result = tmp_path / f"{name}_as_{asked}"
        result.write_bytes(response.data)
        before, after = tags_of(made[name], result)
        account.add(result.name, before, after, job.notes, same=asked == "auto")
        assert (
            response.headers["Dip-Notes"]
            == "; ".join(job.notes).encode("ascii", "replace").decode()
        )
    assert not account.silent, "\n".join(account.silent)
    assert account.tried > 300


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
    assert decode_photo(data).pixels.shape == photo.shape
    assert any("The result is a TIFF file without metadata" in note for note in job.notes)
