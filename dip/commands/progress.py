"""The progress line of a command that restores one photo."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from dip.console import TolerantStream, format_duration
from dip.step import Step

if TYPE_CHECKING:
    from dip.restore import Restoration

TERMINAL_EVERY_S = 0.1
PLAIN_EVERY_S = 5.0
RATE_OVER_STEPS = 32


class Progress:
    """The progress of a restoration: iteration, rate, time left, loss, validation PSNR.

    On a terminal one line is rewritten ten times a second; elsewhere (a log, a pipe) a line is
    added every five seconds.

    Parameters
    ----------
    quiet : bool
        Show notes only.
    stream : text file, optional
        Where to write; standard error by default.
    """

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._stream = TolerantStream(stream)
        self.quiet = quiet
        self.on_terminal = self._stream.isatty()
        self.validation_psnr_db: float | None = None
        self.done = 0
        self._loss: float | None = None
        self._began = time.monotonic()
        # A fit from coarse to fine slows down: only the last steps tell the rate.
        self._recent: deque[tuple[float, int, float]] = deque(maxlen=RATE_OVER_STEPS)
        self._next = 0.0 if self.on_terminal else self._began + PLAIN_EVERY_S
        self._line_shown = False

    def show(self, step: Step) -> None:
        """Record one step, and show it unless the line is recent."""
        self.done = step.iteration
        if step.loss is not None:
            self._loss = step.loss
        if step.validation_psnr_db is not None:
            self.validation_psnr_db = step.validation_psnr_db
        if step.note:
            self.note(step.note)
        now = time.monotonic()
        self._recent.append((now, step.iteration, step.fraction))
        if not self.quiet and (now >= self._next or step.iteration == step.iterations):
            self._next = now + (TERMINAL_EVERY_S if self.on_terminal else PLAIN_EVERY_S)
            self._write(self._describe(step))

    def follow(self, restoration: Restoration) -> Iterator[Step]:
        """Yield the steps of a restoration, and show its notes and each step."""
        for note in restoration.notes:
            self.note(note)
        for step in restoration:
            self.show(step)
            yield step

    def note(self, text: str) -> None:
        """Write a line of its own, in quiet mode as well."""
        self.close()
        self._print(f"dip: {text}\n")

    def close(self) -> None:
        """End the progress line: it stays, and the cursor moves below it."""
        if self._line_shown:
            self._line_shown = False
            self._print("\n")

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def _describe(self, step: Step) -> str:
        parts = [f"{step.iteration}/{step.iterations}"]
        if step.regions > 1:
            parts.append(f"fit {step.region + 1} of {step.regions}")
        (then, first, before), (now, last, after) = self._recent[0], self._recent[-1]
        if after > before:
            rate = (last - first) / max(now - then, 1e-6)
            parts.append(f"{rate:.1f} it/s" if rate >= 1 else f"{1 / rate:.1f} s/it")
            left_s = (1 - after) * (now - then) / (after - before)
            parts.append(f"{format_duration(left_s)} left")
        if self._loss is not None:
            parts.append(f"loss {self._loss:.4g}")
        if self.validation_psnr_db is not None:
            parts.append(f"validation {self.validation_psnr_db:.1f} dB")
        return "  ".join(parts)

    def _write(self, line: str) -> None:
        if self.on_terminal:
            # Cut to the width of the terminal: a wrapped line cannot be rewritten.
            width = shutil.get_terminal_size().columns - 1
            self._print(f"\r\x1b[K{line[:width]}")
            self._line_shown = True
        else:
            self._print(f"{line}\n")

    def _print(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class SearchProgress:
    """The progress of a search for damage, in per cent; lines as in `Progress`.

    Parameters
    ----------
    quiet : bool
        Show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._stream = TolerantStream()
        self._quiet = quiet
        self._on_terminal = self._stream.isatty()
        self._next = 0.0 if self._on_terminal else time.monotonic() + PLAIN_EVERY_S
        self._line_shown = False

    def show(self, fraction: float) -> None:
        """Show the share of the work that is done, unless the line is recent."""
        now = time.monotonic()
        if self._quiet or now < self._next:
            return
        self._next = now + (TERMINAL_EVERY_S if self._on_terminal else PLAIN_EVERY_S)
        text = f"finding damage: {fraction:.0%}"
        self._stream.write(f"\r\x1b[K{text}" if self._on_terminal else f"{text}\n")
        self._stream.flush()
        self._line_shown = self._on_terminal

    def close(self) -> None:
        """Remove the line from the terminal."""
        if self._line_shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._line_shown = False
