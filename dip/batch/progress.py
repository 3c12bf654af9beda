"""Progress of `dip batch`: one line for the whole batch, and one for each busy worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO, cast

from dip.batch.pairing import shown
from dip.console import TolerantStream, format_duration

if TYPE_CHECKING:
    from rich.live import Live

TERMINAL_EVERY_S = 0.25
PLAIN_EVERY_S = 10.0
MAX_WORKERS_SHOWN = 16
MAX_FAILURES_SHOWN = 100


@dataclass
class _WorkerState:
    photo: str
    state: str = "reading"
    fraction: float = 0.0


class BatchProgress:
    """The progress of a batch, shown between `__enter__` and `__exit__`; thread-safe.

    On a terminal the lines are rewritten four times a second. On a file or pipe they are added
    every ten seconds. Each failure is written at once.

    Parameters
    ----------
    total : int
        Photos to restore.
    quiet : bool
        Show failures and notes only.
    stream : text file, optional
        Standard error by default.
    """

    def __init__(self, total: int, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self.total = total
        self.done = 0
        self.failed = 0
        self._stream = TolerantStream(stream)
        self._quiet = quiet
        self._workers: dict[str, _WorkerState] = {}
        self._began = time.monotonic()
        self._lock = threading.RLock()
        self._noted: set[str] = set()
        self._live: Live | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> BatchProgress:
        if self._quiet:
            return self
        if self._stream.isatty():
            self._live = _live_lines(self._stream, self.describe)
            self._live.start()
        else:
            self._thread = threading.Thread(target=self._append_lines, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._thread is not None:
            self._thread.join()

    def begin(self, worker: str, photo: str) -> None:
        """Record that a worker starts on a photo."""
        with self._lock:
            self._workers[worker] = _WorkerState(photo)

    def wait_for(self, worker: str, resource: str) -> None:
        """Record that a worker waits for a resource, such as memory."""
        with self._lock:
            if worker in self._workers:
                self._workers[worker].state = f"waiting for {resource}"

    def update(self, worker: str, step: dict[str, Any]) -> None:
        """Record the progress of a worker's fit.

        Parameters
        ----------
        worker : str
        step : dict
            iteration, iterations, and validation_psnr_db where it was measured.
        """
        with self._lock:
            state = self._workers.get(worker)
            if state is None:
                return
            state.fraction = step["iteration"] / max(1, step["iterations"])
            state.state = f"{step['iteration']}/{step['iterations']}"
            if step.get("validation_psnr_db") is not None:
                state.state += f", validation {step['validation_psnr_db']:.1f} dB"

    def set_idle(self, worker: str) -> None:
        """Record that a worker has no photo."""
        with self._lock:
            self._workers.pop(worker, None)

    def complete(self, photo: str, error: dict[str, str] | None) -> None:
        """Count a photo as done, or as failed where there is an error."""
        with self._lock:
            self.done += 1
            self.failed += error is not None
            failed = self.failed
        if error is None:
            return
        if failed <= MAX_FAILURES_SHOWN:
            self._print(f"dip: {shown(photo)}: {shown(error['message'])}")
        elif failed == MAX_FAILURES_SHOWN + 1:
            self._print("dip: the report lists all further failures")

    def note(self, text: str) -> None:
        """Write a line of its own."""
        self._print(f"dip: {text}")

    def note_once(self, text: str) -> None:
        """Write a line of its own, once in a batch."""
        with self._lock:
            if text in self._noted:
                return
            self._noted.add(text)
        self.note(text)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    @property
    def left_s(self) -> float | None:
        """Estimated seconds until the end, at the pace so far; None at the very beginning."""
        with self._lock:
            begun = sum(worker.fraction for worker in self._workers.values())
            worked = self.done + begun
            if worked < 0.05:
                return None
            return (self.total - worked) * self.elapsed_s / worked

    def describe(self) -> list[str]:
        """One line for the whole batch, then one for each worker."""
        with self._lock:
            left_s = self.left_s
            parts = [f"{self.done} of {self.total}"]
            if self.failed:
                parts.append(f"{self.failed} failed")
            if left_s is not None:
                parts.append(f"{format_duration(left_s)} left")
            lines = [f"dip: {', '.join(parts)}"]
            workers = sorted(self._workers.items())
            for name, worker in workers[:MAX_WORKERS_SHOWN]:
                lines.append(f"  {name}  {shown(worker.photo)}  {worker.state}")
            if len(workers) > MAX_WORKERS_SHOWN:
                lines.append(f"  and {len(workers) - MAX_WORKERS_SHOWN} more workers")
            return lines

    def _append_lines(self) -> None:
        while not self._ended.wait(PLAIN_EVERY_S):
            for line in self.describe():
                self._stream.write(f"{line}\n")
            self._stream.flush()

    def _print(self, line: str) -> None:
        # Outside of the lock: rich holds its own lock while it asks for `describe`.
        live = self._live
        if live is None:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        else:
            live.console.print(line, markup=False, soft_wrap=True)


def _live_lines(stream: TolerantStream, describe: Callable[[], list[str]]) -> Live:
    """Lines at the bottom of a terminal that are rewritten, and wiped at the end."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    def render() -> Text:
        return Text("\n".join(describe()), no_wrap=True, overflow="ellipsis")

    return Live(
        console=Console(
            file=cast(TextIO, stream), force_terminal=True, highlight=False, emoji=False
        ),
        get_renderable=render,
        refresh_per_second=1 / TERMINAL_EVERY_S,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
