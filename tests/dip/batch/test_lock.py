"""One batch at a time in one folder."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dip.batch.lock import NAME, STALE_S, FolderLock, _began
from dip.errors import OutputError


def test_a_second_batch_is_refused_and_the_first_one_named(tmp_path: Path) -> None:
    first = FolderLock(tmp_path)
    first.acquire()
    with pytest.raises(OutputError, match=f"process {os.getpid()} on {platform.node()}"):
        FolderLock(tmp_path).acquire()
    first.release()
    second = FolderLock(tmp_path)
    second.acquire()
    assert second.stale == ""
    second.release()


def test_the_lock_of_a_killed_batch_is_recognised(tmp_path: Path) -> None:
    holding = (
        "import sys, time; from pathlib import Path; from dip.batch.lock import FolderLock;"
        "FolderLock(Path(sys.argv[1])).acquire(); print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", holding, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match=f"process {other.pid}"):
            FolderLock(tmp_path).acquire()
        other.kill()
        other.wait()
    lock = FolderLock(tmp_path)
    lock.acquire()
    assert f"process {other.pid}" in lock.stale
    lock.release()


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that knows none."""

    def refuse(self: object, timeout_s: float = 0.0) -> bool:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("dip.batch.lock.LockFile.acquire", refuse)


@pytest.mark.usefixtures("without_locks")
def test_without_file_locks_the_process_decides(tmp_path: Path) -> None:
    began = _began(os.getppid())
    alive = {"pid": os.getppid(), "host": platform.node(), "began": began}
    (tmp_path / NAME).write_text(json.dumps(alive))
    with pytest.raises(OutputError, match=f"process {os.getppid()}"):
        FolderLock(tmp_path).acquire()
    # The same number, given to another process since.
    (tmp_path / NAME).write_text(json.dumps({**alive, "began": began and began - 100}))
    lock = FolderLock(tmp_path)
    lock.acquire()
    assert lock.stale
    lock.release()


@pytest.mark.parametrize("kind", ["with locks", "without"])
def test_a_batch_on_another_machine_holds_the_lock_while_it_renews_the_file(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    if kind == "without":
        request.getfixturevalue("without_locks")
    path = tmp_path / NAME
    path.write_text(json.dumps({"pid": 1, "host": "elsewhere", "began": 0}))
    with pytest.raises(OutputError, match="process 1 on elsewhere"):
        FolderLock(tmp_path).acquire()
    long_ago = time.time() - 2 * STALE_S
    os.utime(path, (long_ago, long_ago))
    lock = FolderLock(tmp_path)
    lock.acquire()
    assert lock.stale
    lock.release()
    assert [each.name for each in tmp_path.iterdir()] == [NAME]


def test_the_file_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dip.batch.lock.RENEW_S", 0.05)
    lock = FolderLock(tmp_path)
    lock.acquire()
    os.utime(tmp_path / NAME, (1, 1))
    ends = time.monotonic() + 300
    while (tmp_path / NAME).stat().st_mtime < 100:
        assert time.monotonic() < ends
        time.sleep(0.02)
    lock.release()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written to"):
        FolderLock(tmp_path / "none").acquire()
