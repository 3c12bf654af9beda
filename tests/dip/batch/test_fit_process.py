"""A process that fits, seen from its parent: answers, crashes, exits."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pytest

from dip.batch.fit_process import FitProcess, Task
from dip.config import Settings
from dip.errors import ProcessDied
from dip.image_io import encode_photo, read_photo
from dip.machine.child_process import CHECKOUT, ChildProcess
from dip.machine.pipe import receive, send
from dip.restore import restore

QUICK = {"iterations": 2, "threads": 1, "device": "cpu"}
Pixels = npt.NDArray[Any]


pytestmark = pytest.mark.slow  # each loads torch once more


@pytest.fixture
def process() -> Iterator[FitProcess]:
    made = FitProcess()
    yield made
    made.close()


@pytest.fixture
def task(photo: Pixels, mask: Pixels) -> Task:
    return Task(
        name="a.png",
        mask_name="m.png",
        photo=encode_photo(photo, "png"),
        mask=encode_photo(mask.astype(np.uint8) * 255, "png"),
        settings=QUICK,
    )


def at_once(needs: dict[str, Any]) -> None:
    """Admit the fit at once."""


def unheard(says: dict[str, Any]) -> None:
    """Ignore the progress."""


def test_a_fit_gives_the_same_result_as_a_restoration(
    process: FitProcess, task: Task, photo: Pixels, mask: Pixels
) -> None:
    needs: list[dict[str, Any]] = []
    outcome = process.fit(task, admit=needs.append, on_step=unheard)
    assert outcome.error is None
    restored = read_photo(outcome.data).pixels
    assert np.array_equal(restored, restore(photo, mask, Settings.from_mapping(QUICK)))
    assert outcome.figures["iterations"] == outcome.figures["planned_iterations"] == 2
    assert outcome.figures["device"].startswith("cpu")
    assert needs[0]["needs_mb"] > 100
    assert read_photo(outcome.before_after).pixels.shape[2] == 3


def test_a_bomb_is_an_outcome_and_takes_no_memory(
    process: FitProcess, task: Task, deep_bomb: Path
) -> None:
    """As a photo and as a mask; 1.5 MB that decode to 1.5 GB."""
    process.fit(task, admit=at_once, on_step=unheard)  # torch is loaded
    child, bomb = psutil.Process(process.pid), deep_bomb.read_bytes()
    before = child.memory_info().rss
    for wrong in ({"photo": bomb}, {"mask": bomb}):
        outcome = process.fit(Task(**{**task.__dict__, **wrong}), admit=at_once, on_step=unheard)
        assert outcome.error is not None
        assert outcome.error["code"] == "image_too_large"
        assert "of memory; the limit is 1.5 GB" in outcome.error["message"]
    assert child.memory_info().rss - before < 100_000_000
    assert process.read_headers([str(deep_bomb)])[0]["error"]["code"] == "image_too_large"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can limit the growth of memory")
def test_the_system_holds_a_decoder_that_takes_more_than_it_predicted(
    task: Task, deep_bomb: Path
) -> None:
    paths = os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "tests/helpers")])
    child = ChildProcess(
        "unpredicted_memory", {"PYTHONPATH": paths, "WORKER": "dip.batch.fit_worker"}
    )
    bomb, mask = deep_bomb.read_bytes(), task.blobs[1]
    try:
        for files in ((bomb, mask), (task.photo, bomb)):
            reply = child.run_task(task.content, files, admit=at_once)
            assert reply.content["error"]["code"] == "image_too_large"
            assert "needs more memory; the limit" in reply.content["error"]["message"]
        assert psutil.Process(child.pid).memory_info().rss < 1_000_000_000
        assert "done" in child.run_task(task.content, task.blobs, admit=at_once).content
    finally:
        child.close()


def test_an_unusable_photo_is_an_outcome_and_the_process_continues(
    process: FitProcess, task: Task, photo: Pixels
) -> None:
    for wrong, code in (
        ({"photo": b"no picture"}, "image_unreadable"),
        ({"mask": encode_photo(photo[:20], "png")}, "mask_invalid"),
        ({"mask": encode_photo(photo[:20, :, 0].copy(), "png")}, "mask_size_mismatch"),
        ({"mask": None}, "mask_invalid"),
        (
            {"file_format": "jpeg", "photo": encode_photo(_with_alpha(photo), "png")},
            "output_unwritable",
        ),
    ):
        given = {**task.__dict__, **wrong}
        outcome = process.fit(Task(**given), admit=at_once, on_step=unheard)
        assert outcome.error is not None
        assert outcome.error["code"] == code
    assert process.fit(task, admit=at_once, on_step=unheard).error is None


def _with_alpha(photo: Pixels) -> Pixels:
    alpha = np.full((*photo.shape[:2], 1), 255, np.uint8)
    return np.concatenate([photo, alpha], axis=2)


def test_a_time_limit_ends_a_fit_early(process: FitProcess, task: Task) -> None:
    endless = {**task.__dict__, "settings": {**QUICK, "iterations": 10**6}, "limit_s": 1.0}
    outcome = process.fit(Task(**endless), admit=at_once, on_step=unheard)
    assert 0 < outcome.figures["iterations"] < 10**5
    assert outcome.figures["planned_iterations"] == 10**6
    assert outcome.data == b""


@pytest.mark.parametrize(
    ("kill", "says"),
    [
        (lambda pid: psutil.Process(pid).kill(), "was killed"),
        (lambda pid: psutil.Process(pid).send_signal(signal.SIGSEGV), "SIGSEGV"),
    ],
    ids=["killed", "crashed"],
)
def test_a_crash_during_a_fit_is_reported(
    process: FitProcess, task: Task, kill: Callable[[int], None], says: str
) -> None:
    def admit(needs: dict[str, Any]) -> None:
        kill(process.pid)

    with pytest.raises(ProcessDied, match=says):
        process.fit(task, admit=admit, on_step=unheard)
    assert process.has_ended()


def test_a_silent_process_is_ended(
    process: FitProcess, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    process.read_headers([])  # it is there
    monkeypatch.setattr("dip.machine.child_process.STALL_S", 0.5)
    psutil.Process(process.pid).suspend()
    with pytest.raises(ProcessDied, match="no sign of life"):
        process.fit(task, admit=at_once, on_step=unheard)
    assert process.has_ended()


def test_an_idle_process_exits() -> None:
    process = ChildProcess("dip.batch.fit_worker", idle_s=0.3)
    ends = time.monotonic() + 300
    while not process.has_ended():
        assert time.monotonic() < ends
        time.sleep(0.05)
    process.close()


def test_a_process_exits_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import time; from dip.batch.fit_process import FitProcess; p = FitProcess();"
        "p.read_headers([]); print(p.pid, flush=True); time.sleep(60)"
    )
    import subprocess

    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    child.wait(300)


def test_headers_are_read_without_decoding(process: FitProcess, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode_photo(np.zeros((20, 30, 4), np.uint8), "png"))
    (tmp_path / "b.png").write_bytes(b"")
    looked = process.read_headers([str(tmp_path / name) for name in ("a.png", "b.png", "c.png")])
    assert looked[0] == {"width": 30, "height": 20, "has_alpha": True}
    assert "empty" in looked[1]["error"]["message"]
    assert "No such file" in looked[2]["error"]["message"]


@pytest.mark.parametrize("cut", [0, 5, 40, -1])
def test_an_incomplete_message_is_the_end(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "pipe"
    with path.open("wb") as file:
        send(file, {"name": "é\n"}, [b"abc\n", b"", b"defg"])
    with path.open("rb") as file:
        frame = receive(file)
        assert frame is not None
        assert frame.content == {"name": "é\n"}
        assert frame.blobs == (b"abc\n", b"", b"defg")
        assert receive(file) is None
    path.write_bytes(path.read_bytes()[:cut])
    with path.open("rb") as file:
        assert receive(file) is None
