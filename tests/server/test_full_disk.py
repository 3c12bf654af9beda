"""A disk without a free byte: jobs can be deleted and cancelled, and end with their reason."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from dip.image_io import encode_photo
from server.client import Client, Refused
from server.jobs.reserve import RESERVE_BYTES, DiskReserve

MB = 1_000_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(folder)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(mounting).returncode:
        pytest.skip("only root of a Linux machine makes a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill_up(folder: Path, *, leave_bytes: int = 0) -> None:
    with (folder / "filler").open("ab", buffering=0) as filler, contextlib.suppress(OSError):
        while (free_bytes := shutil.disk_usage(folder).free) > leave_bytes or not leave_bytes:
            filler.write(bytes(max(4096, (free_bytes - leave_bytes) // 4096 // 2 * 4096)))
    assert leave_bytes or os.statvfs(folder).f_bavail == 0


def noise(side: int, seed: int) -> bytes:
    """A picture that cannot be compressed."""
    return encode_photo(
        np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8), "png"
    )


@pytest.mark.slow
def test_a_full_disk_can_be_relieved(
    start_service: Callable[..., Any],
    small_disk: Path,
    image_file: bytes,
    mask_file: bytes,
    until: Any,
) -> None:
    service = start_service(small_disk / "data", reserve_bytes=MB)
    reserve = service.settings.data_dir / "reserve"
    with service.client() as client:
        until(reserve.exists)
        running = submit_large(client)
        waiting = [client.submit(noise(700, number))["id"] for number in range(3)]
        until(lambda: client.job(running)["progress"])
        fill_up(small_disk)

        # Everything is said and nothing has ended.
        assert client.health()["problems"][0]["code"] == "disk_full"
        with pytest.raises(Refused) as caught:
            client.submit(image_file)
        assert (caught.value.status, caught.value.code) == (507, "disk_full")
        assert client.job(running)["state"] == "running"

        # A queued job is cancelled, and then forgotten.
        client.delete(waiting[0])
        assert client.job(waiting[0])["state"] == "cancelled"
        client.delete(waiting[0])
        assert {job["id"] for job in client.jobs()} == {running, *waiting[1:]}

        # Even where the reserve and all that was freed are used up again.
        fill_up(small_disk)
        client.delete(waiting[1])
        assert client.job(waiting[1])["state"] == "cancelled"
        fill_up(small_disk)

        # A job whose result has no room fails, and says why. Its worker goes on.
        worker = service.workers()[0].pid
        (small_disk / "filler").unlink()
        until(reserve.exists)
        fill_up(small_disk)
        client.stop(running)
        until(lambda: client.job(running)["state"] not in ("running", "queued"), 120)
        assert client.job(running)["state"] == "failed"
        assert client.job(running)["error"]["code"] == "disk_full"
        assert [each.pid for each in service.workers()] == [worker]

        # With space everything is as before; the reserve is made again.
        (small_disk / "filler").unlink()
        client.delete(waiting[2])
        client.delete(running)
        done = client.submit(image_file, mask_file, preset="fast", iterations=1)
        assert client.wait(done["id"])["attempts"] == 1
        until(reserve.exists)
        assert client.health()["status"] == "ok"
    assert service.stop() == 0


def submit_large(client: Client) -> str:
    """A long job whose result, 36 MB, is larger than the reserve."""
    pixels = np.zeros((3000, 4000, 3), np.uint8)
    mask = np.zeros((3000, 4000), np.uint8)
    mask[100:104, 100:140] = 255
    shape = {"width": 4000, "height": 3000, "channels": 3, "samples": "uint8"}
    job = client.submit(
        pixels.data.cast("B"),
        mask.data.cast("B"),
        mask_samples="uint8",
        preset="fast",
        iterations=100_000,
        **shape,
    )
    return str(job["id"])


@pytest.mark.slow
@pytest.mark.exhaustive
def test_a_full_disk_can_be_relieved_of_detections(
    start_service: Callable[..., Any], small_disk: Path, image_file: bytes, until: Any
) -> None:
    service = start_service(small_disk / "data", reserve_bytes=MB)
    filler, reserve = small_disk / "filler", service.settings.data_dir / "reserve"

    def delete(job_id: str) -> int:
        address = f"{service.url}/v1/detections/{job_id}"
        return requests.delete(address, headers=service.headers, timeout=60).status_code

    with service.client() as client:
        until(reserve.exists)
        done = client.detect(image_file)["id"]
        client.wait(done)
        fill_up(small_disk, leave_bytes=10 * MB)
        running = client.detect(noise(700, 0))["id"]
        until(lambda: client.detection(running)["state"] == "running")
        fill_up(small_disk)

        # What cannot be made is refused with the reason.
        for ask in (
            lambda: client.detect(image_file),
            lambda: client.levels(running, quick=True),
            lambda: client.marks(done),
        ):
            with pytest.raises(Refused) as caught:
                ask()
            assert (caught.value.status, caught.value.code) == (507, "disk_full")
        assert client.levels(done).data.startswith(b"\x89PNG")

        # A detection whose result has no room fails, and says why. Its worker goes on.
        worker = service.workers()[0].pid
        until(lambda: client.detection(running)["state"] != "running", 120)
        assert client.detection(running)["error"]["code"] == "disk_full"
        filler.unlink()
        until(reserve.exists)
        assert client.marks(done).data.startswith(b"\x89PNG")
        assert [each.pid for each in service.workers()] == [worker]

        # Detections that wait or run are cancelled, and then forgotten.
        fill_up(small_disk, leave_bytes=10 * MB)
        running = client.detect(noise(700, 1))["id"]
        waiting = [client.detect(noise(700, number))["id"] for number in (2, 3)]
        until(lambda: client.detection(running)["state"] == "running")
        fill_up(small_disk)
        assert [delete(waiting[0]) for _ in range(3)] == [202, 204, 404]
        fill_up(small_disk)  # even where the reserve and all that was freed are used up again
        assert delete(waiting[1]) == 202
        assert delete(running) == 202
        filler.unlink()
        client.wait(client.detect(image_file)["id"])
        until(reserve.exists)
    assert service.stop() == 0


@pytest.mark.slow
def test_a_service_starts_on_a_full_disk(
    start_service: Callable[..., Any], small_disk: Path, image_file: bytes, until: Any
) -> None:
    service = start_service(small_disk / "data", reserve_bytes=MB)
    with service.client() as client:
        until((service.settings.data_dir / "reserve").exists)
        job = client.submit(noise(700, 0))["id"]
    service.kill()
    fill_up(small_disk)
    service.start()
    with service.client() as client:
        client.delete(job)
        client.delete(job)
        assert client.jobs() == []
    assert service.stop() == 0


def test_a_reserve_leaves_space_to_others(tmp_path: Path) -> None:
    reserve = DiskReserve(tmp_path / "reserve")
    reserve.make(10**18)  # as much must be free beside it
    assert list(tmp_path.iterdir()) == []
    reserve.make(0)
    reserve.make(0)
    assert [path.stat().st_size for path in tmp_path.iterdir()] == [RESERVE_BYTES]
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= RESERVE_BYTES  # no hole
    reserve.give_up_if_full()
    assert (tmp_path / "reserve").exists()
    reserve.give_up()
    reserve.give_up()
    assert list(tmp_path.iterdir()) == []
