"""The worker, in this process: real fits of a step or two, and their ends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from image_headers import png_claiming

from dip.config import Settings
from dip.errors import ImageTooLarge
from dip.image_io import encode_photo, read_photo
from dip.restore import Restoration
from server.errors import ServiceError
from server.http.context import Service
from server.jobs.job import Job, State
from server.jobs.parameters import MEDIA_TYPES, JobParameters
from server.work import codec
from server.work.progress_reporter import Reporter
from server.work.worker import Worker, _failure, work_from


@pytest.fixture
def worker(service: Service) -> Worker:
    return Worker(service.store, service.files, service.settings.max_pixels)


def work(worker: Worker, service: Service) -> Job:
    job = service.store.claim()
    assert job is not None
    worker.work(job)
    return service.store.get(job.id)


def result_of(service: Service, job: Job, place: int = 0) -> tuple[dict[str, Any], bytes]:
    result = job.results[place]
    data = service.files.path(job.id, result["file"]).read_bytes()
    assert result["bytes"] == len(data)
    assert result["sha256"] == hashlib.sha256(data).hexdigest()
    return result, data


# --- Results -------------------------------------------------------------------------------------


def test_a_result_is_what_the_engine_makes_of_the_same_input(
    worker: Worker, service: Service, submit: Callable[..., str],
    photo: np.ndarray, mask: np.ndarray, image_file: bytes, mask_file: bytes,
) -> None:  # fmt: skip
    submit(image_file, mask_file, seed=5)
    job = work(worker, service)
    assert job.state is State.DONE
    result, data = result_of(service, job)
    restoration = Restoration(photo, mask, Settings(preset="fast", iterations=2, seed=5))
    assert [step.iteration for step in restoration] == [0, 1, 2]
    np.testing.assert_array_equal(read_photo(data).pixels, restoration.result())
    assert (result["format"], result["iterations"], result["network"]) == ("png", 2, "unet")
    names = {path.name for path in (service.files.folder / job.id).iterdir()}
    assert names == {"image", "mask", result["file"], job.preview["file"]}  # type: ignore[index]


@pytest.mark.parametrize(
    ("form", "samples", "asked", "given_back"),
    [
        ("png", np.uint8, "auto", "png"),
        ("png", np.uint16, "auto", "png"),
        ("tiff", np.uint8, "auto", "tiff"),
        ("tiff", np.uint16, "auto", "tiff"),
        ("tiff", np.float32, "auto", "tiff"),
        ("webp", np.uint8, "auto", "webp"),
        ("jpeg", np.uint8, "auto", "png"),  # which loses nothing more
        ("png", np.uint8, "jpeg", "jpeg"),
        ("png", np.uint16, "tiff", "tiff"),
        ("tiff", np.uint16, "png", "png"),
        ("jpeg", np.uint8, "webp", "webp"),
        ("tiff", np.uint16, "raw", "raw"),
    ],
)
def test_every_format_goes_in_and_out(
    worker: Worker, service: Service, submit: Callable[..., str], http: FlaskClient,
    photo: np.ndarray, mask: np.ndarray, mask_file: bytes,
    form: str, samples: Any, asked: str, given_back: str,
) -> None:  # fmt: skip
    levels = photo.astype(samples)
    if samples is np.uint16:
        levels = levels * 257 - levels // 3
    elif samples is np.float32:
        levels = levels / np.float32(255)
    sent = encode_photo(levels, form)
    url = f"/v1/jobs/{submit(sent, mask_file, iterations=1, format=asked)}/result"
    assert work(worker, service).state is State.DONE
    answer = http.get(url)
    assert answer.mimetype == MEDIA_TYPES[given_back]
    assert answer.headers["Dip-Samples"] == np.dtype(samples).name
    if given_back == "raw":
        restored = np.frombuffer(answer.data, samples).reshape(photo.shape)
    else:
        restored = read_photo(answer.data).pixels
    assert restored.dtype == samples
    known = mask == 0
    if given_back == "jpeg":
        assert np.abs(restored[known].astype(int) - levels[known]).mean() < 3
    else:
        np.testing.assert_array_equal(restored[known], read_photo(sent).pixels[known])
    assert (restored[~known] != levels[~known]).any()


def test_both_networks_give_two_results_and_one_story(
    worker: Worker, service: Service, submit: Callable[..., str],
    image_file: bytes, mask_file: bytes,
) -> None:  # fmt: skip
    job_id = submit(image_file, mask_file, network="both", iterations=1)
    job = work(worker, service)
    (first, _), (second, _) = result_of(service, job, 0), result_of(service, job, 1)
    assert (first["network"], second["network"]) == ("unet", "segnet")
    kinds = [event.kind for event in service.store.events_after(job_id, 0)]
    progress = [
        json.loads(event.data)
        for event in service.store.events_after(job_id, 0)
        if event.kind == "progress" and "fraction" in event.data
    ]
    assert {each["network"] for each in progress} == {"unet", "segnet"}
    fractions = [each["fraction"] for each in progress]
    assert fractions == sorted(fractions)
    assert "preview" in kinds
    assert kinds[-1] == "done"
    assert job.progress is not None
    assert job.progress["fraction"] == 1


@pytest.mark.parametrize("confirmed", [False, True])
def test_a_mask_that_may_be_inverted_must_be_confirmed(
    worker: Worker, service: Service, submit: Callable[..., str],
    image_file: bytes, mask: np.ndarray, confirmed: bool,
) -> None:  # fmt: skip
    inverted = encode_photo(np.where(mask > 0, 0, 255).astype(np.uint8), "png")
    submit(image_file, inverted, iterations=1, **({"mask_confirmed": True} if confirmed else {}))
    job = work(worker, service)
    if confirmed:
        assert job.state is State.DONE
        return
    assert job.state is State.FAILED
    assert job.error is not None
    assert job.error["code"] == "mask_may_be_inverted"
    assert "mask_confirmed=true" in job.error["hint"]


def test_jobs_from_before_masks_had_to_be_confirmed_are_not_refused() -> None:
    stored = json.loads(JobParameters(settings=Settings()).as_json())
    assert JobParameters.from_json(json.dumps(stored)).mask_confirmed is False
    del stored["mask_confirmed"]
    assert JobParameters.from_json(json.dumps(stored)).mask_confirmed is True


def test_raw_samples_come_back_raw(
    worker: Worker, service: Service, submit: Callable[..., str],
    photo: np.ndarray, mask: np.ndarray,
) -> None:  # fmt: skip
    deep = photo.astype("<u2") * 257
    raw = {"width": 64, "height": 64, "channels": 3, "samples": "uint16", "mask_samples": "uint8"}
    submit(deep.tobytes(), mask.tobytes(), **raw)
    result, data = result_of(service, work(worker, service))
    samples = np.frombuffer(data, "<u2").reshape(64, 64, 3)
    np.testing.assert_array_equal(samples[mask == 0], deep[mask == 0])
    assert not np.array_equal(samples, deep)
    assert (result["format"], result["samples"], result["channels"]) == ("raw", "uint16", 3)


def test_a_fill_laid_over_the_image_is_the_result(
    worker: Worker, service: Service, submit: Callable[..., str],
    photo: np.ndarray, mask: np.ndarray, image_file: bytes,
) -> None:  # fmt: skip
    soft = mask // 2 + mask // 4  # a feathered selection: three quarters
    submit(image_file, encode_photo(soft, "png"), result="fill")
    result, data = result_of(service, work(worker, service))
    layer = read_photo(data).pixels
    assert layer.shape == (result["height"], result["width"], 4)
    top, left = result["top"], result["left"]
    rows, columns = slice(top, top + result["height"]), slice(left, left + result["width"])
    alpha = layer[:, :, 3:] / 255
    laid_over = photo.astype(float)
    laid_over[rows, columns] = alpha * layer[:, :, :3] + (1 - alpha) * laid_over[rows, columns]
    restoration = Restoration(photo, soft, Settings(preset="fast", iterations=2))
    for _ in restoration:
        pass
    np.testing.assert_allclose(laid_over, restoration.result(), atol=1)
    inside = np.zeros((64, 64), dtype=bool)
    inside[rows, columns] = layer[:, :, 3] > 0
    np.testing.assert_array_equal(inside, soft > 0)


def test_transparent_pixels_are_filled_and_become_opaque(
    worker: Worker, service: Service, submit: Callable[..., str],
    photo: np.ndarray, mask: np.ndarray,
) -> None:  # fmt: skip
    clear = np.dstack([photo, 255 - mask])
    submit(encode_photo(clear, "tiff"))
    result, data = result_of(service, work(worker, service))
    pixels_back = read_photo(data).pixels
    assert result["format"] == "tiff"
    assert (pixels_back[:, :, 3] == 255).all()
    np.testing.assert_array_equal(pixels_back[mask == 0], clear[mask == 0])


@pytest.mark.parametrize(
    ("channels", "has_mask"), [(2, True), (4, True), (4, False)], ids=["gray", "rgba", "alpha"]
)
def test_a_layer_of_an_image_with_alpha(channels: int, has_mask: bool) -> None:
    class Fill:
        box = codec.Box(2, 3, 4, 5)
        pixels = np.full((4, 5, channels), 128, dtype=np.uint8)
        soft_mask = np.full((4, 5), 0.5, dtype=np.float32)

    image = np.zeros((10, 10, channels), dtype=np.uint8)
    photo = codec.Photo(pixels=image, format="raw", metadata=codec.image_io.Metadata())
    source = codec.Source(photo=photo, mask=image[:, :, 0] if has_mask else None)
    layer = codec.layer([Fill()], Fill.box, source)  # type: ignore[list-item]
    assert layer.shape == (4, 5, channels)
    assert (layer[:, :, :-1] == 128).all()
    assert (layer[:, :, -1] == (64 if has_mask else 128)).all()


# --- Ends of jobs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"mask": None}, "mask_empty"),
        ({"mask": np.zeros((64, 64), np.uint8)}, "mask_empty"),
        ({"mask": np.full((64, 64), 255, np.uint8)}, "too_few_known_pixels"),
        ({"mask": np.full((32, 64), 255, np.uint8)}, "mask_size_mismatch"),
        ({"image": b"\x89PNG\r\n\x1a\n" + bytes(50)}, "image_unreadable"),
        ({"image": png_claiming(50_000, 50_000)}, "image_too_large"),
        ({"format": "webp", "image": np.zeros((64, 64, 3), np.uint16)}, "output_unwritable"),
        ({"device": "mps"}, "device_unavailable"),
        ({"max_memory_mb": 64}, "not_enough_memory"),
    ],
)
def test_a_job_that_cannot_be_done_says_why(
    worker: Worker, service: Service, submit: Callable[..., str],
    image_file: bytes, mask_file: bytes, fields: dict[str, Any], code: str,
) -> None:  # fmt: skip
    files = {"image": image_file, "mask": mask_file, **fields}
    for name in ("image", "mask"):
        if isinstance(files[name], np.ndarray):
            files[name] = encode_photo(files[name], "png")
    submit(**files)
    job = work(worker, service)
    assert job.state is State.FAILED
    assert job.error is not None
    assert job.error["code"] == code
    assert job.error["hint"]
    events = service.store.events_after(job.id, 0)
    assert events[-1].kind == "error"


def test_missing_pixels_fail_their_job_only(
    worker: Worker, service: Service, submit: Callable[..., str], image_file: bytes
) -> None:
    service.files.remove(submit(image_file))
    job = work(worker, service)
    assert job.error is not None
    assert job.error["message"] == "The pixels of this job are gone."


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ImageTooLarge("Too large.", "Cut."), "image_too_large"),
        (MemoryError(), "not_enough_memory"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), "not_enough_memory"),
        (ServiceError("disk_full", "Full."), "disk_full"),
        (ZeroDivisionError("x"), "internal"),
    ],
)
def test_every_exception_has_an_error_code(error: Exception, code: str) -> None:
    assert _failure(error).code == code


def test_cancelling_and_stopping_take_effect_within_a_step(
    worker: Worker, service: Service, submit: Callable[..., str],
    image_file: bytes, mask_file: bytes, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    steps: list[int] = []
    requests: list[str] = []
    note = Reporter.note

    def note_and_interrupt(self: Reporter, step: Any) -> bool:
        steps.append(step.iteration)
        if requests[-1] == "stop":
            service.store.request_stop(self._job.id)
        else:
            service.store.cancel(self._job.id)
            service.files.remove(self._job.id)
        return note(self, step)

    monkeypatch.setattr(Reporter, "note", note_and_interrupt)
    for request, state in (("stop", State.DONE), ("cancel", State.CANCELLED)):
        requests.append(request)
        submit(image_file, mask_file, iterations=500)
        assert work(worker, service).state is state
    assert steps == [0, 0]
    stopped = service.store.jobs(State.DONE)[0]
    assert stopped.results[0]["iterations"] == 0
    _, data = result_of(service, stopped)
    filled = read_photo(data).pixels != read_photo(image_file).pixels
    assert filled.any()  # all damage was filled at first


@pytest.mark.parametrize("removed", [True, False], ids=["removed", "while it is written"])
def test_a_cancelled_job_leaves_nothing_behind(
    worker: Worker, service: Service, submit: Callable[..., str],
    image_file: bytes, mask_file: bytes, monkeypatch: pytest.MonkeyPatch, removed: bool,
) -> None:  # fmt: skip
    """Between the last step and the writing of the result, too."""
    take = codec.take

    def take_and_cancel(*args: Any, **more: Any) -> Any:
        service.store.cancel(job_id)
        if removed:  # else it failed: a file was being written into the folder
            service.files.remove(job_id)
        return take(*args, **more)

    monkeypatch.setattr(codec, "take", take_and_cancel)
    job_id = submit(image_file, mask_file, iterations=1)
    assert work(worker, service).state is State.CANCELLED
    assert list(service.files.folder.iterdir()) == []


def test_an_idle_worker_leaves(worker: Worker, service: Service) -> None:
    work_from(service.store, worker, idle_exit_s=0.1)
