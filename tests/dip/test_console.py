"""Messages on standard error, also where it cannot be written to."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import pytest

from dip.console import TolerantStream, format_duration, say


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.6, "1 h 00 min"),
        (4800, "1 h 20 min"),
    ],
)
def test_a_duration_has_one_or_two_units(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words


@pytest.mark.parametrize("stream", [None, "closed", "full"])
def test_a_stream_that_cannot_be_written_to_is_ignored(
    stream: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = None if stream is None else (tmp_path / "log").open("w")
    if file is not None:
        file.close()
    if stream == "full":
        file = Full()
    monkeypatch.setattr("sys.stderr", file)
    say("a message")
    assert not TolerantStream().isatty()
