"""The progress line: on a terminal, in a log, and on a stream without a reader."""

from __future__ import annotations

import io
import os

import pytest

from dip.commands import progress
from dip.commands.progress import Progress
from dip.step import Step


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind of terminal on which lines can be rewritten."""
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test sets: the only element, in seconds."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def step(iteration: int, iterations: int = 100, **more: object) -> Step:
    fields = {"region": 0, "regions": 1, "loss": None, "validation_psnr_db": None, "note": None}
    fields["fraction"] = iteration / iterations  # type: ignore[assignment]
    return Step(iteration=iteration, iterations=iterations, **{**fields, **more})  # type: ignore[arg-type]


def test_a_log_gets_a_line_every_few_seconds_and_the_last_one(clock: list[float]) -> None:
    stream = io.StringIO()
    shown = Progress(stream=stream)
    for iteration in range(1, 101):
        clock[0] += 0.1
        shown.show(step(iteration, loss=0.5 / iteration))
    lines = stream.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["50/100", "100/100"]
    assert lines[0] == "50/100  10.0 it/s  5 s left  loss 0.01"


def test_a_terminal_has_one_line_that_is_rewritten(clock: list[float]) -> None:
    stream = Terminal()
    shown = Progress(stream=stream)
    for iteration in range(1, 101):
        clock[0] += 0.1
        shown.show(step(iteration))
    shown.close()
    shown.close()
    written = stream.getvalue()
    assert written.count("\r") > 50
    assert written.count("\n") == 1
    assert "100/100" in written.split("\r")[-1]


def test_a_line_is_never_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    stream = Terminal()
    shown = Progress(stream=stream)
    shown.show(step(1, iterations=10**6, loss=0.123, validation_psnr_db=30.0))
    assert len(stream.getvalue().removeprefix("\r\x1b[K")) == 19


def test_the_rate_is_that_of_the_last_steps(clock: list[float]) -> None:
    stream = io.StringIO()
    shown = Progress(stream=stream)
    for iteration in range(1, 101):
        clock[0] += 0.01 if iteration < 50 else 2.0
        shown.show(step(iteration, iterations=160))
    assert "100/160  2.0 s/it  2 min 00 s left" in stream.getvalue()


def test_figures_stay_until_there_are_newer_ones(clock: list[float]) -> None:
    stream = io.StringIO()
    shown = Progress(stream=stream)
    shown.show(step(1, loss=0.25, validation_psnr_db=20.0))
    clock[0] += 10
    shown.show(step(2, region=1, regions=3))
    line = stream.getvalue().splitlines()[-1]
    assert "fit 2 of 3" in line
    assert line.endswith("loss 0.25  validation 20.0 dB")
    assert shown.validation_psnr_db == 20.0
    assert shown.done == 2


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_a_note_has_a_line_of_its_own_in_quiet_mode_too(stream: io.StringIO) -> None:
    shown = Progress(quiet=True, stream=stream)
    shown.show(step(1))
    shown.show(step(2, note="diverged at iteration 2"))
    shown.show(step(100))
    shown.close()
    assert stream.getvalue() == "dip: diverged at iteration 2\n"


def test_a_stream_without_a_reader_does_not_end_the_work() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=1) as stream:
        shown = Progress(stream=stream)
        shown.note("a note")
        shown.show(step(100))
        assert shown.done == 100
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)  # so that closing it succeeds


def test_a_terminal_that_cannot_rewrite_gets_lines_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    Progress(stream=stream).show(step(100))
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().startswith("100/100")
