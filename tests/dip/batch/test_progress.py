"""What a person sees while a batch works."""

from __future__ import annotations

import io
import time

import pytest

from dip.batch import progress
from dip.batch.progress import BatchProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


ERROR = {"code": "x", "message": "It broke.", "hint": ""}


def step(iteration: int, validation: float | None = None) -> dict[str, object]:
    return {"iteration": iteration, "iterations": 10, "validation_psnr_db": validation}


def test_the_whole_and_each_worker_are_described() -> None:
    board = BatchProgress(4, stream=io.StringIO())
    board.begin("1", "a.jpg")
    board.begin("2", "b\x1b[2J.jpg")
    board.step("1", step(5, 30.25))
    board.wait("2", "memory")
    board.finish("z.jpg", None)
    board.finish("y.jpg", ERROR)
    whole, *workers = board.describe()
    assert whole.startswith("dip: 2 of 4, 1 failed, ")
    assert whole.endswith(" left")
    assert workers == [
        "  1  a.jpg  5/10, validation 30.2 dB",
        "  2  b\\x1b[2J.jpg  waiting for memory",
    ]
    board.leave("1")
    assert len(board.describe()) == 2


def test_time_left_counts_what_is_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    board = BatchProgress(3, stream=io.StringIO())
    assert board.left_s is None
    board.begin("1", "a.jpg")
    board.step("1", step(5))
    now[0] = 110.0
    assert board.left_s == pytest.approx(50.0)  # half a photo in 10 s, 2.5 to go
    board.finish("a.jpg", None)
    board.leave("1")
    assert board.left_s == pytest.approx(20.0)


def test_failures_are_said_as_they_come_and_not_without_end() -> None:
    stream = io.StringIO()
    board = BatchProgress(500, quiet=True, stream=stream)
    for number in range(300):
        board.finish(f"{number}.jpg", ERROR)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "dip: 0.jpg: It broke."
    assert len(lines) == progress.MOST_FAILURES_SAID + 1
    assert "report" in lines[-1]


def test_on_a_terminal_the_lines_are_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "TERMINAL_EVERY_S", 0.02)
    stream = Terminal()
    with BatchProgress(2, stream=stream) as board:
        board.begin("1", "a.jpg")
        ends = time.monotonic() + 10
        while "\x1b[2A\x1b[J" not in stream.getvalue():
            assert time.monotonic() < ends
            time.sleep(0.01)
        board.note_once("careful")
        board.note_once("careful")
    assert stream.getvalue().count("dip: careful\n") == 1
    # Whatever was drawn was wiped again.
    assert stream.getvalue().count("  1  a.jpg") == stream.getvalue().count("\x1b[2A\x1b[J")


def test_many_workers_are_counted() -> None:
    board = BatchProgress(100, stream=io.StringIO())
    for number in range(40):
        board.begin(f"{number:02}", "a.jpg")
    assert board.describe()[-1] == "  and 24 workers more"
