"""Reports of a job's progress to the store."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dip.config import Settings
from dip.restore import Restoration
from server.http.context import Service
from server.work import codec
from server.work.progress_reporter import Abandoned, Reporter, _reduced


def test_a_reporter_of_a_dead_attempt_gives_up(
    service: Service, submit: Callable[..., str], image_file: bytes
) -> None:
    submit(image_file)
    ghost = service.store.claim()
    assert ghost is not None
    service.store.release_running("It died.")
    with pytest.raises(Abandoned):
        Reporter(ghost, service.store, service.files).note(_step())


def _step(iteration: int = 1, iterations: int = 1) -> Any:
    from dip.step import Step

    return Step(
        iteration=iteration, iterations=iterations, region=0, regions=1,
        fraction=iteration / iterations, loss=float("nan"), validation_psnr_db=None, note=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "left_s"), [({}, 27), ({"network": "both"}, 57), ({"time_s": 20}, 7)]
)
def test_the_time_left_is_predicted_without_the_first_fill(
    service: Service, submit: Callable[..., str], image_file: bytes, photo: np.ndarray,
    mask: np.ndarray, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], left_s: float,
) -> None:  # fmt: skip
    clock = [0.0]
    monkeypatch.setattr(
        "server.work.progress_reporter.time",
        SimpleNamespace(monotonic=lambda: clock[0], time=lambda: 0),
    )
    job_id = submit(image_file, **fields)
    job = service.store.claim()
    assert job is not None
    reporter = Reporter(job, service.store, service.files)
    like = codec.Photo(pixels=photo, format="png", metadata=codec.image_io.Metadata())
    reporter.begin("unet", Restoration(photo, mask, Settings(preset="fast")), like)
    told = []
    for iteration, now in ((0, 10.0), (10, 13.0)):  # ten seconds for the first fill
        clock[0] = now
        reporter.note(_step(iteration, 100))
        told.append((service.store.get(job_id).progress or {})["remaining_s"])
    assert told == [None, left_s]


def test_large_previews_are_shown_reduced() -> None:
    levels = np.arange(7 * 9 * 3, dtype=np.uint8).reshape(7, 9, 3)
    assert _reduced(levels, 1) is levels
    small = _reduced(levels, 2)
    assert small.shape == (3, 4, 3)
    assert small[0, 0, 0] == int(np.mean([0, 3, 27, 30]))
