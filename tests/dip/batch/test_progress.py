"""The progress of a batch: on a terminal, in a file, and on a full disk."""

from __future__ import annotations

import errno
import io
import time
from collections.abc import Callable

import pytest

from dip.batch import progress
from dip.batch.progress import BatchProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


ERROR = {"code": "x", "message": "It broke.", "hint": ""}


def step(iteration: int, validation: float | None = None) -> dict[str, object]:
    return {"iteration": iteration, "iterations": 10, "validation_psnr_db": validation}


def test_the_batch_and_each_worker_have_a_line() -> None:
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


def test_time_left_counts_the_photos_that_are_begun(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_failures_are_written_at_once_and_their_number_is_limited() -> None:
    stream = io.StringIO()
    shown = BatchProgress(500, quiet=True, stream=stream)
    for number in range(300):
        shown.complete(f"{number}.jpg", ERROR)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "dip: 0.jpg: It broke."
    assert len(lines) == progress.MAX_FAILURES_SHOWN + 1
    assert "report" in lines[-1]


def drawn_on_terminal(
    monkeypatch: pytest.MonkeyPatch, condition: Callable[[str], bool], *notes: str
) -> str:
    """The output of a batch of one worker to a terminal, until the condition is true."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "TERMINAL_EVERY_S", 0.02)
    stream = Terminal()
    with BatchProgress(2, stream=stream) as shown:
        shown.begin("1", "[b]a[/b].jpg")
        ends = time.monotonic() + 300
        while not condition(stream.getvalue()):
            assert time.monotonic() < ends
            time.sleep(0.01)
        for note in notes:
            shown.note_once(note)
    return stream.getvalue()


UP_AND_WIPE = "\x1b[1A\x1b[2K"


def test_on_a_terminal_the_lines_are_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "  1  [b]a[/b].jpg  reading"
    written = drawn_on_terminal(monkeypatch, lambda text: text.count(line) > 3)
    assert written.count(UP_AND_WIPE) >= written.count(line), "all lines are wiped at the end"
    assert written.endswith(UP_AND_WIPE)


def test_notes_stay_above_the_lines_and_are_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    note = "careful [red] " + "x" * 100
    written = drawn_on_terminal(monkeypatch, lambda text: UP_AND_WIPE in text, note, note)
    assert written.count(f"dip: {note}\n") == 1


@pytest.mark.parametrize("kind", ["a terminal", "a file"])
def test_a_stream_that_cannot_be_written_to_does_not_end_a_batch(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "TERMINAL_EVERY_S", 0.02)
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 0.02)

    class Full(io.StringIO):
        writes = 0

        def isatty(self) -> bool:
            return kind == "a terminal"

        def write(self, text: str) -> int:
            self.writes += 1
            raise OSError(errno.ENOSPC, "No space left on device")

    stream = Full()
    with BatchProgress(2, stream=stream) as shown:
        shown.begin("1", "a.jpg")
        shown.complete("a.jpg", ERROR)
        ends = time.monotonic() + 300
        while stream.writes < 5:
            assert time.monotonic() < ends
            time.sleep(0.01)
    assert shown.failed == 1


def test_many_workers_are_counted() -> None:
    shown = BatchProgress(100, stream=io.StringIO())
    for number in range(40):
        shown.begin(f"{number:02}", "a.jpg")
    assert shown.describe()[-1] == "  and 24 more workers"
