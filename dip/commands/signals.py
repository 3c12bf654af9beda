"""Ctrl-C, SIGTERM and SIGHUP while a command works."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

Handler = Callable[[int, "FrameType | None"], None]


@contextmanager
def stop_on_signals() -> Iterator[list[int]]:
    """Collect the first signal in the list; raise KeyboardInterrupt at the second one.

    For a command that stops between two iterations and keeps its best result.
    """
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        # Not print: the signal may interrupt a print, which cannot be entered twice.
        with suppress(OSError):
            os.write(
                2, b"\ndip: stopping; the best result so far is kept. Ctrl-C again quits at once.\n"
            )

    with _handled_by(stop):
        yield received


@contextmanager
def interrupt_on_signals() -> Iterator[list[int]]:
    """Raise KeyboardInterrupt at each signal, and collect it in the list.

    For a command that ends at once and loses no finished work.
    """
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    with _handled_by(interrupt):
        yield received


@contextmanager
def _handled_by(handler: Handler) -> Iterator[None]:
    """Install a handler for the three signals, and restore the former handlers at the end."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP.
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    # A signal that the parent process ignores (nohup, a background job) stays ignored.
    before = {n: signal.getsignal(n) for n in numbers if signal.getsignal(n) != signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
