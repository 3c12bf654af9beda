"""`dip batch` that is killed, stopped, crashed, or out of disk space, and started again."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from crashing_reader import crashing_at

from dip.image_io import read_photo

Archive = Any  # see conftest.py
Run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.slow


def test_a_photo_that_crashes_the_image_library_costs_itself(
    archive: Archive, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.png", "c.png"):
        archive.put(name)
    (tmp_path / "sitecustomize.py").write_text(crashing_at("b.png"))
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        ran = run()
    assert ran.returncode == 11
    assert "dip: b.png: The process ended by SIGSEGV" in ran.stderr
    assert archive.done() == ["a.png", "c.png"]
    assert "b.png" in (archive.folder / "out/report.html").read_text()
    # It is not tried again by itself, only when asked for.
    quiet = run()
    assert quiet.returncode == 11
    assert "0 photos to restore, 2 done before, 1 failed before" in quiet.stderr
    assert run("--retry-failed").returncode == 0
    assert archive.done() == ["a.png", "b.png", "c.png"]
    assert len(archive.manifest()) == 3


def children_of(batch: subprocess.Popen[str]) -> list[psutil.Process]:
    return [each for each in psutil.Process(batch.pid).children() if is_child(each)]


def is_child(process: psutil.Process) -> bool:
    try:
        return "dip.batch.fit_worker" in process.cmdline()
    except psutil.NoSuchProcess:  # it ended just now
        return False


def wait_for_children(batch: subprocess.Popen[str]) -> list[psutil.Process]:
    ends = time.monotonic() + 300
    while not (children := children_of(batch)):
        assert time.monotonic() < ends
        time.sleep(0.05)
    return children


def test_a_fit_that_is_killed_is_tried_once_more(archive: Archive) -> None:
    archive.put("a.png")
    archive.put("b.png")
    batch = archive.start("--iterations", 30)
    children = wait_for_children(batch)
    time.sleep(3)
    children[0].kill()
    said = batch.communicate(timeout=600)[1]
    assert batch.returncode == 0, said
    assert archive.done() == ["a.png", "b.png"]


def test_a_batch_that_is_killed_again_and_again_ends_with_the_same_results(
    archive: Archive, run: Run, exhaustive: bool
) -> None:
    names = [f"{number:02}.png" for number in range(16 if exhaustive else 6)]
    for number, name in enumerate(names):
        archive.put(name, np.roll(archive.photo, number, axis=1))
    chance = random.Random(1)
    most = 5 if exhaustive else 2  # photos until the next kill
    workers = 2 if exhaustive else 1
    out = archive.folder / "out"
    kills = 0
    while len(archive.done()) < len(names) - 2:
        batch = archive.start("--workers", workers)
        goal = len(archive.done()) + chance.randint(0, most)
        ends = time.monotonic() + 300
        while len(archive.done()) < goal and batch.poll() is None:
            assert time.monotonic() < ends
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 1))
        children = children_of(batch) if batch.poll() is None else []
        batch.kill()
        batch.communicate()
        kills += batch.returncode == -signal.SIGKILL
        _, alive = psutil.wait_procs(children, timeout=120)
        assert not alive  # no child outlives the batch
        known = archive.done()
        assert len(known) == len(set(known))
        for result in out.rglob("[0-9]*.png"):
            read_photo(result)  # whole, or not there
        assert all((out / name).exists() for name in known)
    batch = archive.start("--workers", workers)
    said = batch.communicate(timeout=600)[1]
    assert batch.returncode == 0, said
    assert kills >= 2
    assert archive.done() == names
    assert len(archive.manifest()) == len(names)
    assert not list(out.rglob("*.part"))
    results = [archive.result(name) for name in names]
    shutil.rmtree(out)
    assert run().returncode == 0
    assert results == [archive.result(name) for name in names]


@pytest.mark.parametrize(
    ("number", "status"),
    [pytest.param(signal.SIGINT, 130, marks=pytest.mark.exhaustive), (signal.SIGTERM, 143)],
    ids=["Ctrl-C", "TERM"],
)
def test_a_stopped_batch_says_how_to_continue(archive: Archive, number: int, status: int) -> None:
    archive.put("a.png")
    archive.put("b.png")
    batch = archive.start("--iterations", 100_000)
    wait_for_children(batch)
    time.sleep(2)
    children = children_of(batch)
    batch.send_signal(number)
    began = time.monotonic()
    told, said = batch.communicate(timeout=600)
    assert batch.returncode == status
    assert time.monotonic() - began < 300
    assert told.endswith("report.html\n")
    assert "give the same command again to continue" in said
    assert "Traceback" not in said
    assert not psutil.wait_procs(children, timeout=120)[1]


def test_two_batches_do_not_share_a_folder(archive: Archive, run: Run) -> None:
    archive.put("a.png")
    batch = archive.start("--iterations", 100_000)
    wait_for_children(batch)
    ran = run()
    assert ran.returncode == 5
    assert f"Another batch (process {batch.pid} on " in ran.stderr
    batch.kill()
    batch.communicate()
    after = run()
    assert after.returncode == 0
    assert f"process {batch.pid}) was interrupted" in after.stderr


def fill_up(path: Path) -> None:
    with path.open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))


def test_a_full_disk_ends_a_batch_and_finished_photos_are_kept(archive: Archive, run: Run) -> None:
    for number in range(3):
        archive.put(f"{number}.png")
    out = archive.folder / "out"
    out.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(out)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(mounting).returncode:
        pytest.skip("only root of a Linux machine makes a small disk")
    try:
        fill_up(out / "filler")
        ran = run()
        assert ran.returncode == 5
        assert "Free disk space and give the same command again" in ran.stderr
        (out / "filler").unlink()
        assert run().returncode == 0
        assert archive.done() == ["0.png", "1.png", "2.png"]
    finally:
        subprocess.run(["umount", str(out)], check=True)
