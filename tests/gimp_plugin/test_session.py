"""A job from pixels to pixels, at a real service with a real worker."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from notes import Notes
from service import Service, Settings
from session import (
    Cancelled,
    Details,
    JobRequest,
    Preview,
    Progress,
    Result,
    Session,
    progress_from,
    remarks_on,
)

from dip.config import Settings as EngineSettings
from dip.filling.rims import mind_rims
from dip.notes import Note, joined, to_json
from dip.regions.damaged_image import DamagedImage
from server.client import ClientError, Event
from server.client.errors import Unreachable
from server.settings import ServerSettings


def request_for(**parameters: Any) -> JobRequest:
    rows, columns = np.mgrid[:64, :72]
    photo = np.stack([3 * columns, 4 * rows, 255 - 3 * columns], -1).clip(0, 255).astype(np.uint8)
    mask = np.zeros((64, 72), dtype=np.uint8)
    mask[30:36, 20:50] = 255
    return JobRequest(
        width=72,
        height=64,
        channels=3,
        samples="uint8",
        pixels=photo.tobytes(),
        mask=mask.tobytes(),
        result="fill",
        parameters={"preset": "fast", "iterations": 4, "threads": 1, **parameters},
    )


def jobs(shared_service: Service) -> list[dict[str, Any]]:
    """The jobs of the service, which may not have been started yet."""
    try:
        with shared_service.running() as client:
            return client.jobs()
    except Unreachable:
        return []


def wait_while_running(shared_service: Service) -> None:
    ends = time.monotonic() + 300
    while jobs(shared_service)[0]["state"] == "running":
        assert time.monotonic() < ends
        time.sleep(0.1)


def test_the_fill_of_the_sent_pixels_comes_back(shared_service: Service) -> None:
    events = list(Session(shared_service, request_for()).run())
    (filled,) = (each for each in events if isinstance(each, Result))
    assert (filled.left, filled.top, filled.width, filled.height) == (20, 30, 30, 6)
    assert filled.network == "U-Net"
    fill = np.frombuffer(filled.pixels, np.uint8).reshape(6, 30, 4)
    assert (fill[:, :, 3] == 255).all()
    preview = next(each for each in events if isinstance(each, Preview))
    assert preview.jpeg.startswith(b"\xff\xd8")
    assert any(isinstance(each, Progress) and each.fraction == 1 for each in events)
    assert jobs(shared_service) == []  # the service keeps nothing of the picture


def test_both_networks_come_one_after_the_other(shared_service: Service) -> None:
    session = Session(shared_service, request_for(network="both"))
    names = [each.network for each in session.run() if isinstance(each, Result)]
    assert names == ["U-Net", "SegNet"]


def test_the_texture_is_submitted(shared_service: Service) -> None:
    session = Session(shared_service, request_for(texture=0.25, iterations=100_000))
    for event in session.run():
        if isinstance(event, Preview):
            assert jobs(shared_service)[0]["parameters"]["texture"] == 0.25
            session.stop()


def test_stop_keeps_the_best_result_so_far(shared_service: Service) -> None:
    session = Session(shared_service, request_for(iterations=100_000))
    results = []
    for event in session.run():
        if isinstance(event, Preview):
            session.stop()
        elif isinstance(event, Result):
            results.append(event)
    assert len(results) == 1
    assert [re.sub(r"\d+ ?%", "N %", remark) for remark in session.remarks] == [
        "Stopped at N % of the work. All damage is filled, the part that was not reached more "
        "simply, from its rim."
    ]


def test_damage_that_the_selection_missed_is_remarked() -> None:
    photo = np.random.default_rng(0).normal(90, 3, (120, 120, 3)).astype(np.uint8)
    photo[40:80, 40:80] = 250
    mask = np.zeros(photo.shape[:2], dtype=np.uint8)
    mask[43:77, 43:77] = 255
    rim = mind_rims(DamagedImage(photo, mask), EngineSettings())

    def remarks(*notes: Note) -> list[str]:
        return remarks_on({"stopped": False, "coded_notes": to_json(notes), "progress": None})

    assert remarks(*rim, Note("time_over")) == [
        "Damage is left around the selection, up to 4 px wide. Undo, and restore again with "
        "“Grow it over damage found at its rim” switched on.",  # at its corners
        "The time is over: not everything was fitted.",
    ]
    assert remarks(Note("run", run=2, runs=6)) == []


def test_cancel_ends_the_job(shared_service: Service) -> None:
    session = Session(shared_service, request_for(iterations=100_000))
    stream = session.run()
    assert any(isinstance(event, Preview) for event in stream)
    session.cancel()
    with pytest.raises(Cancelled):
        list(stream)
    session.close()
    wait_while_running(shared_service)
    assert jobs(shared_service)[0]["state"] == "cancelled"


def test_a_session_cancelled_before_its_start_submits_no_job(shared_service: Service) -> None:
    session = Session(shared_service, request_for())
    session.cancel()
    before = [job["id"] for job in jobs(shared_service)]
    with pytest.raises(Cancelled):
        list(session.run())
    assert [job["id"] for job in jobs(shared_service)] == before


@pytest.mark.slow
def test_a_killed_service_is_started_again_and_the_job_goes_on(shared_service: Service) -> None:
    session = Session(shared_service, request_for(iterations=150))
    texts, killed, results = [], False, []
    for event in session.run():
        if isinstance(event, Progress):
            texts.append(event.text)
            if event.fraction and not killed:
                announced = Path(os.environ["DIP_DATA_DIR"], "server.json").read_text()
                os.kill(json.loads(announced)["pid"], signal.SIGKILL)
                killed = True
        elif isinstance(event, Result):
            results.append(event)
    assert killed
    assert len(results) == 1
    assert "The restoration service has stopped. Starting it again…" in texts


def test_a_refusal_of_the_service_is_passed_on(shared_service: Service) -> None:
    nothing = dataclasses.replace(request_for(), mask=bytes(72 * 64))
    with pytest.raises(ClientError, match="Nothing is marked"):
        list(Session(shared_service, nothing).run())
    with pytest.raises(ClientError, match="preset"):
        list(Session(shared_service, request_for(preset="superb")).run())


def test_a_full_disk_is_reported_before_the_fit(
    data_dir: Path, dip_command: tuple[str, ...]
) -> None:
    line = (
        "import sys; from server.commands.serve import serve; "
        "from server.settings import ServerSettings; "
        "serve(ServerSettings.from_json(sys.argv[1]))"
    )
    full = ServerSettings(data_dir=data_dir, port=0, reserve_bytes=10**18).as_json()
    command = (*dip_command[: dip_command.index(sys.executable)], sys.executable, "-c", line, full)
    with pytest.raises(ClientError, match="MB of free space"):
        list(Session(Service(Settings(command=command)), request_for()).run())


@pytest.mark.slow
def test_an_abandoned_session_ends_with_its_lease(
    shared_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("session.LEASE_S", 5.0)
    stream = Session(shared_service, request_for(iterations=1_000_000)).run()
    for event in stream:
        if isinstance(event, Progress) and event.fraction:
            break  # as if killed
    wait_while_running(shared_service)
    assert jobs(shared_service)[0]["error"]["code"] == "lease_expired"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"state": "queued"}, Progress("Waiting in the queue…")),
        ({"state": "running"}, Progress("Getting ready…")),
        (
            {
                "network": "unet", "iteration": 0, "iterations": 9, "region": 0, "regions": 3,
                "fraction": 0.0, "remaining_s": None, "loss": None, "validation_psnr_db": None,
                "coded_note": Note("spots_fitted", fitted=2, count=8).to_json(),
            },
            Progress(
                "Restoring", 0.0, None, Details("U-Net", 0, 9, None, None),
                Note("spots_fitted", fitted=2, count=8).to_json(),
            ),
        ),
        (
            {
                "network": "segnet", "iteration": 1, "iterations": 9, "region": 1, "regions": 3,
                "fraction": 0.1, "remaining_s": 900.0, "loss": None, "validation_psnr_db": None,
            },
            Progress("Restoring", 0.1, None, Details("SegNet", 1, 9, None, None)),
        ),
        (
            {
                "network": "unet", "iteration": 50, "iterations": 90, "region": 0, "regions": 1,
                "fraction": 0.5, "remaining_s": 9.0, "loss": 0.1, "validation_psnr_db": 31.5,
            },
            Progress("Restoring", 0.5, 9.0, Details("U-Net", 50, 90, 0.1, 31.5)),
        ),
    ],
)  # fmt: skip
def test_progress_is_told_in_words(data: dict[str, Any], expected: Progress) -> None:
    assert progress_from(Event(1, "progress", data)) == expected


def test_notes_are_told_in_sentences_of_which_the_technical_ones_are_details() -> None:
    notes = Notes()
    first, second = Note("run", run=1, runs=3), Note("run", run=2, runs=3)
    for note in (
        joined([first, Note("time_over")]),
        second,
        Note("rim_damaged", pixels=1234, px=2),
    ):
        assert note is not None
        notes.add(note.to_json())
    notes.add({"code": "of a newer service", "values": {}, "message": "something new"})
    assert notes.technical == [f"R{second[1:]}."]
    assert notes.plain == [
        "The time is over: not everything was fitted.",
        "Damage is left around the selection, up to 2 px wide. Undo, and restore again with "
        "“Grow it over damage found at its rim” switched on.",
        "Something new.",
    ]
