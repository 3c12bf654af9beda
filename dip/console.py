"""Messages of the command line, on standard error."""

import contextlib
import os
import sys
from typing import TextIO


class TolerantStream:
    """A text stream that ignores failed writes.

    Progress and messages must not end the work: their reader may be gone, or their disk full.

    Parameters
    ----------
    stream : text file, optional
        Standard error by default; it is None in a process that was started without one.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream

    def write(self, text: str) -> int:
        """Write some text, if that is possible."""
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError):  # the second: the stream is closed
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream, if that is possible."""
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.flush()

    def isatty(self) -> bool:
        """Whether the stream is a terminal on which lines can be rewritten."""
        if self._stream is None or self._stream.closed or os.environ.get("TERM") == "dumb":
            return False
        return self._stream.isatty()


def say(message: str) -> None:
    """Write one line to standard error."""
    stream = TolerantStream()
    stream.write(f"{message}\n")
    stream.flush()


def format_duration(seconds: float) -> str:
    """Format a duration with one or two units: `8 s`, `2 min 05 s`, `1 h 20 min`.

    Examples
    --------
    >>> format_duration(125)
    '2 min 05 s'
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
