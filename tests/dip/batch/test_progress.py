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
    shown = BatchProgress(4, stream=io.StringIO())
    shown.begin("1", "a.jpg")
    shown.begin("2", "b\x1b[2J.jpg")
    shown.update("1", step(5, 30.25))
    shown.wait_for("2", "memory")
    shown.complete("z.jpg", None)
    shown.complete("y.jpg", ERROR)
    whole, *workers = shown.describe()
    assert whole.startswith("dip: 2 of 4, 1 failed, ")
    assert whole.endswith(" left")
    assert workers == [
        "  1  a.jpg  5/10, validation 30.2 dB",
        "  2  b\\x1b[2J.jpg  waiting for memory",
    ]
    shown.set_idle("1")
    assert len(shown.describe()) == 2


def test_time_left_counts_what_is_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    shown = BatchProgress(3, stream=io.StringIO())
    assert shown.left_s is None
    shown.begin("1", "a.jpg")
    shown.update("1", step(5))
    now[0] = 110.0
    assert shown.left_s == pytest.approx(50.0)  # half a photo in 10 s, 2.5 to go
    shown.complete("a.jpg", None)
    shown.set_idle("1")
    assert shown.left_s == pytest.approx(20.0)


def test_failures_are_said_as_they_come_and_not_without_end() -> None:
    stream = io.StringIO()
    shown = BatchProgress(500, quiet=True, stream=stream)
    for number in range(300):
        shown.complete(f"{number}.jpg", ERROR)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "dip: 0.jpg: It broke."
    assert len(lines) == progress.MOST_FAILURES_SAID + 1
    assert "report" in lines[-1]


def test_on_a_terminal_the_lines_are_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "TERMINAL_EVERY_S", 0.02)
    stream = Terminal()
    with BatchProgress(2, stream=stream) as shown:
        shown.begin("1", "a.jpg")
        ends = time.monotonic() + 10
        while "\x1b[2A\x1b[J" not in stream.getvalue():
            assert time.monotonic() < ends
            time.sleep(0.01)
        shown.note_once("careful")
        shown.note_once("careful")
    assert stream.getvalue().count("dip: careful\n") == 1
    # Whatever was drawn was wiped again.
    assert stream.getvalue().count("  1  a.jpg") == stream.getvalue().count("\x1b[2A\x1b[J")


def test_many_workers_are_counted() -> None:
    shown = BatchProgress(100, stream=io.StringIO())
    for number in range(40):
        shown.begin(f"{number:02}", "a.jpg")
    assert shown.describe()[-1] == "  and 24 workers more"
