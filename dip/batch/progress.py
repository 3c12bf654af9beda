"""What `dip batch` says while it works: how far the whole is, and what each worker is doing."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, TextIO

from dip.batch.pairing import shown
from dip.console import format_duration

TERMINAL_EVERY_S = 0.25
PLAIN_EVERY_S = 10.0
MOST_WORKERS_SHOWN = 16
MOST_FAILURES_SAID = 100


@dataclass
class _Doing:
    photo: str
    state: str = "reading"
    share: float = 0.0


class BatchProgress:
    """Follows a batch; may be told things from any thread.

    On a terminal a few lines are rewritten four times a second; elsewhere lines are added every
    ten seconds. Failures are said as they come.

    Parameters
    ----------
    total : int
        Photos to restore.
    quiet : bool
        Say failures and notes only.
    stream : text file, optional
        Standard error by default.
    """

    def __init__(self, total: int, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self.total = total
        self.done = 0
        self.failed = 0
        self._stream = sys.stderr if stream is None else stream
        self._quiet = quiet
        self._on_terminal = self._stream.isatty()
        self._workers: dict[str, _Doing] = {}
        self._lines = 0
        self._began = time.monotonic()
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._said: set[str] = set()
        self._thread = threading.Thread(target=self._keep_showing, daemon=True)

    def __enter__(self) -> BatchProgress:
        if not self._quiet:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        if not self._quiet:
            self._thread.join()
        with self._lock:
            self._wipe()

    def begin(self, worker: str, photo: str) -> None:
        """A worker takes a photo."""
        with self._lock:
            self._workers[worker] = _Doing(photo)

    def wait_for(self, worker: str, what: str) -> None:
        """A worker waits for something, such as memory."""
        with self._lock:
            if worker in self._workers:
                self._workers[worker].state = f"waiting for {what}"

    def update(self, worker: str, says: dict[str, Any]) -> None:
        """A worker says how far it is."""
        with self._lock:
            doing = self._workers.get(worker)
            if doing is None:
                return
            doing.share = says["iteration"] / max(1, says["iterations"])
            doing.state = f"{says['iteration']}/{says['iterations']}"
            if says.get("validation_psnr_db") is not None:
                doing.state += f", validation {says['validation_psnr_db']:.1f} dB"

    def set_idle(self, worker: str) -> None:
        """A worker has nothing in hand."""
        with self._lock:
            self._workers.pop(worker, None)

    def complete(self, photo: str, error: dict[str, str] | None) -> None:
        """A photo has come to its end."""
        with self._lock:
            self.done += 1
            if error is None:
                return
            self.failed += 1
            if self.failed <= MOST_FAILURES_SAID:
                self._print(f"dip: {shown(photo)}: {shown(error['message'])}")
            elif self.failed == MOST_FAILURES_SAID + 1:
                self._print("dip: more failures are in the report only")

    def note(self, text: str) -> None:
        """Say something on a line of its own."""
        with self._lock:
            self._print(f"dip: {text}")

    def note_once(self, text: str) -> None:
        """Say something, unless it was said before."""
        with self._lock:
            if text not in self._said:
                self._said.add(text)
                self.note(text)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest will take at the pace so far; None before there is one."""
        with self._lock:
            in_hand = sum(doing.share for doing in self._workers.values())
            worked = self.done + in_hand
            if worked < 0.05:
                return None
            return (self.total - worked) * self.elapsed_s / worked

    def describe(self) -> list[str]:
        """The whole in one line, then a line for each worker."""
        with self._lock:
            left_s = self.left_s
            parts = [f"{self.done} of {self.total}"]
            if self.failed:
                parts.append(f"{self.failed} failed")
            parts.append("" if left_s is None else f"{format_duration(left_s)} left")
            lines = [f"dip: {', '.join(filter(None, parts))}"]
            workers = sorted(self._workers.items())
            for worker, doing in workers[:MOST_WORKERS_SHOWN]:
                lines.append(f"  {worker}  {shown(doing.photo)}  {doing.state}")
            if len(workers) > MOST_WORKERS_SHOWN:
                lines.append(f"  and {len(workers) - MOST_WORKERS_SHOWN} workers more")
            return lines

    def _keep_showing(self) -> None:
        every_s = TERMINAL_EVERY_S if self._on_terminal else PLAIN_EVERY_S
        while not self._ended.wait(every_s):
            with self._lock:
                self._show()

    def _show(self) -> None:
        lines = self.describe()
        if self._on_terminal:
            width = shutil.get_terminal_size().columns - 1
            self._wipe()
            self._write("".join(f"{line[:width]}\n" for line in lines))
            self._lines = len(lines)
        else:
            self._write("".join(f"{line}\n" for line in lines))

    def _wipe(self) -> None:
        """Take away what is rewritten."""
        if self._lines:
            self._write(f"\x1b[{self._lines}A\x1b[J")
            self._lines = 0

    def _print(self, line: str) -> None:
        self._wipe()
        self._write(f"{line}\n")

    def _write(self, text: str) -> None:
        # Nobody left to read it is no reason to lose the work.
        with contextlib.suppress(BrokenPipeError):
            self._stream.write(text)
            self._stream.flush()
