"""What a command does when it is asked to end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, "FrameType | None"], None]


@contextmanager
def signals_handled_by(handler: Handler) -> Iterator[None]:
    """Have Ctrl-C, SIGTERM and SIGHUP call a function for a while."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP.
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    # What the parent chose to ignore (nohup, a background job) stays ignored.
    before = {n: signal.getsignal(n) for n in numbers if signal.getsignal(n) != signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
