"""One job from pixels to pixels, at a real service with a real worker."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from service import Service, Settings
from session import Cancelled, Filled, JobRequest, Preview, Progress, Session, _progress_from

from server.client import Client, ClientError, Event
from server.settings import ServerSettings


def order(**parameters: Any) -> JobRequest:
    rows, columns = np.mgrid[:64, :72]
    photo = np.stack([3 * columns, 4 * rows, 255 - 3 * columns], -1).clip(0, 255).astype(np.uint8)
    damage = np.zeros((64, 72), dtype=np.uint8)
    damage[30:36, 20:50] = 255
    return JobRequest(
        width=72,
        height=64,
        channels=3,
        samples="uint8",
        pixels=photo.tobytes(),
        damage=damage.tobytes(),
        result="fill",
        parameters={"preset": "fast", "iterations": 4, "threads": 1, **parameters},
    )


def jobs(finder: Service) -> list[dict[str, Any]]:
    with finder.running() as client:
        return client.jobs()


def wait_while_running(finder: Service) -> None:
    ends = time.monotonic() + 300
    while jobs(finder)[0]["state"] == "running":
        assert time.monotonic() < ends
        time.sleep(0.1)


def test_pixels_go_in_and_the_fill_comes_out(finder: Service) -> None:
    happenings = list(Session(finder, order()).run())
    (filled,) = (each for each in happenings if isinstance(each, Filled))
    assert (filled.left, filled.top, filled.width, filled.height) == (20, 30, 30, 6)
    assert filled.network == "U-Net"
    fill = np.frombuffer(filled.pixels, np.uint8).reshape(6, 30, 4)
    assert (fill[:, :, 3] == 255).all()
    preview = next(each for each in happenings if isinstance(each, Preview))
    assert preview.jpeg.startswith(b"\xff\xd8")
    assert any(isinstance(each, Progress) and each.fraction == 1 for each in happenings)
    assert jobs(finder) == []  # nothing of the picture stays there


def test_both_networks_come_one_after_the_other(finder: Service) -> None:
    session = Session(finder, order(network="both"))
    names = [each.network for each in session.run() if isinstance(each, Filled)]
    assert names == ["U-Net", "SegNet"]


def test_texture_goes_along(finder: Service) -> None:
    session = Session(finder, order(texture=0.25, iterations=100_000))
    for happening in session.run():
        if isinstance(happening, Preview):
            assert jobs(finder)[0]["parameters"]["texture"] == 0.25
            session.stop()
        elif isinstance(happening, Progress):
            assert "older" not in happening.text


def test_a_service_that_knows_no_texture_is_used_and_named_as_older(
    finder: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = Client.submit

    def submit_to_older(client: Client, *files: Any, texture: float, **known: Any) -> Any:
        job = submit(client, *files, **known)
        del job["parameters"]["texture"]
        return job

    monkeypatch.setattr(Client, "submit", submit_to_older)
    happenings = list(Session(finder, order(texture=0.25)).run())
    assert any(isinstance(each, Filled) for each in happenings)
    texts = [each.text for each in happenings if isinstance(each, Progress)]
    assert texts[-1] == "U-Net (an older service, without texture)"


def test_stop_keeps_what_is_there(finder: Service) -> None:
    session = Session(finder, order(iterations=100_000))
    results = []
    for happening in session.run():
        if isinstance(happening, Preview):
            session.stop()
        elif isinstance(happening, Filled):
            results.append(happening)
    assert len(results) == 1


def test_cancel_ends_the_job(finder: Service) -> None:
    session = Session(finder, order(iterations=100_000))
    stream = session.run()
    assert any(isinstance(happening, Preview) for happening in stream)
    session.cancel()
    with pytest.raises(Cancelled):
        list(stream)
    session.close()
    wait_while_running(finder)
    assert jobs(finder)[0]["state"] == "cancelled"


def test_cancelled_before_the_start_there_is_no_job(finder: Service) -> None:
    session = Session(finder, order())
    session.cancel()
    before = [job["id"] for job in jobs(finder)]
    with pytest.raises(Cancelled):
        list(session.run())
    assert [job["id"] for job in jobs(finder)] == before


@pytest.mark.slow
def test_a_killed_service_is_started_again_and_the_job_goes_on(finder: Service) -> None:
    session = Session(finder, order(iterations=150))
    texts, killed, results = [], False, []
    for happening in session.run():
        if isinstance(happening, Progress):
            texts.append(happening.text)
            if happening.fraction and not killed:
                announced = Path(os.environ["DIP_DATA_DIR"], "server.json").read_text()
                os.kill(json.loads(announced)["pid"], signal.SIGKILL)
                killed = True
        elif isinstance(happening, Filled):
            results.append(happening)
    assert killed
    assert len(results) == 1
    assert "The restoration service is gone; starting it again…" in texts


def test_what_the_service_refuses_is_for_the_user_to_read(finder: Service) -> None:
    nothing = dataclasses.replace(order(), damage=bytes(72 * 64))
    with pytest.raises(ClientError, match="Nothing is marked"):
        list(Session(finder, nothing).run())
    with pytest.raises(ClientError, match="preset"):
        list(Session(finder, order(preset="superb")).run())


def test_a_full_disk_is_said_before_anything_is_done(
    data_dir: Path, dip_command: tuple[str, ...]
) -> None:
    line = (
        "import sys; from server.commands.serve import serve; "
        "from server.settings import ServerSettings; "
        "serve(ServerSettings.from_json(sys.argv[1]))"
    )
    full = ServerSettings(data_dir=data_dir, port=0, reserve_bytes=10**18).as_json()
    command = (*dip_command[: dip_command.index(sys.executable)], sys.executable, "-c", line, full)
    with pytest.raises(ClientError, match="MB are free on the disk"):
        list(Session(Service(Settings(command=command)), order()).run())


@pytest.mark.slow
def test_a_session_that_nobody_reads_any_more_ends_with_its_lease(
    finder: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("session.LEASE_S", 5.0)
    stream = Session(finder, order(iterations=1_000_000)).run()
    for happening in stream:
        if isinstance(happening, Progress) and happening.fraction:
            break  # as if killed
    wait_while_running(finder)
    assert jobs(finder)[0]["error"]["code"] == "lease_expired"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"state": "queued"}, Progress("Waiting for its turn…")),
        (
            {
                "network": "segnet", "iteration": 1, "region": 1, "regions": 3, "fraction": 0.1,
                "remaining_s": 900.0, "validation_psnr_db": None,
            },
            Progress("SegNet, part 2 of 3", 0.1, None, None),
        ),
        (
            {
                "network": "unet", "iteration": 50, "region": 0, "regions": 1, "fraction": 0.5,
                "remaining_s": 9.0, "validation_psnr_db": 31.5,
            },
            Progress("U-Net", 0.5, 9.0, 31.5),
        ),
    ],
)  # fmt: skip
def test_progress_is_in_words(data: dict[str, Any], expected: Progress) -> None:
    assert _progress_from(Event(1, "progress", data)) == expected
