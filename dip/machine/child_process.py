"""Starting processes of this program's own, wherever it was started from itself."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from dip.errors import ProcessDied
from dip.machine.device import environment_for_cpu
from dip.machine.pipe import Frame, receive, send

CHECKOUT = Path(__file__).resolve().parents[2]
"""The folder that holds the packages `dip` and `server`."""


def child_environment() -> dict[str, str]:
    """The environment of a child that runs a module of `dip` or `server`.

    Returns
    -------
    dict
        This process's own, with the packages to be found first.
    """
    paths = (str(CHECKOUT), os.environ.get("PYTHONPATH", ""))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


STALL_S = 3600.0
"""No sign of life for so long ends a process; one iteration over a large photo takes minutes."""


_LAST_LINES = 20


_FAREWELL_S = 5.0


class ChildProcess:
    """A process of ours at the other end of a pipe.

    Parameters
    ----------
    module : str
        What it runs.
    environment : mapping, optional
        Variables of its own, such as the GPU that it is to use.
    idle_s : float, optional
        It leaves by itself when nothing was asked of it for so long.
    """

    def __init__(
        self,
        module: str,
        environment: Mapping[str, str] | None = None,
        idle_s: float | None = None,
    ) -> None:
        command = [sys.executable, "-m", module]
        self._process = subprocess.Popen(
            command if idle_s is None else [*command, str(idle_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**child_environment(), **environment_for_cpu(), **(environment or {})},
            # Ctrl-C is for the batch, which then ends its processes.
            start_new_session=os.name == "posix",
        )
        self.pid = self._process.pid
        self._answers: queue.Queue[Frame | None] = queue.Queue()
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._asking = self._process.stdin
        self._listeners = [
            threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._overhear, args=(self._process.stderr,), daemon=True),
        ]
        for listener in self._listeners:
            listener.start()

    def ask(self, says: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
        """Tell it something.

        Raises
        ------
        ProcessDied
        """
        try:
            send(self._asking, says, blobs)
        except (OSError, ValueError):  # the second: closed by `close` in another thread
            raise self._death() from None

    def hear(self, timeout_s: float) -> Frame | None:
        """What it says next, or None where that takes longer.

        Raises
        ------
        ProcessDied
        """
        try:
            frame = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if frame is None:
            raise self._death()
        return frame

    def has_ended(self) -> bool:
        """Whether it is gone."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End it, at the latest in a moment, and let go of its pipes."""
        with contextlib.suppress(OSError):
            self._asking.close()
        try:
            self._process.wait(_FAREWELL_S)
        except subprocess.TimeoutExpired:
            self.kill()
        for listener in self._listeners:
            listener.join()

    def _heard(self) -> Frame:
        frame = self.hear(STALL_S)
        if frame is None:
            self.kill()
            raise ProcessDied(
                f"It showed no sign of life for {STALL_S / 60:.0f} min, and was ended.",
                "Try this photo alone, with `dip restore`.",
            )
        return frame

    def _death(self) -> ProcessDied:
        try:
            status = self._process.wait(_FAREWELL_S)
        except subprocess.TimeoutExpired:
            self.kill()
            status = -signal.SIGTERM
        self._listeners[1].join(_FAREWELL_S)
        last = next((line for line in reversed(self._last_lines) if line.strip()), "")
        if status == -getattr(signal, "SIGKILL", 9):
            return ProcessDied(
                "Its process was killed: by somebody, or by the system for want of memory.",
                "Close other programs, or set a lower --max-memory-mb.",
            )
        how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        return ProcessDied(
            f"Its process ended {how}" + (f": {last.strip()}." if last else "."),
            "Open the photo elsewhere and save it again; it may be damaged.",
        )

    def _listen(self, answers: IO[bytes]) -> None:
        with answers:
            while (frame := receive(answers)) is not None:
                self._answers.put(frame)
        self._answers.put(None)

    def _overhear(self, stderr: IO[bytes]) -> None:
        with stderr:
            for line in stderr:
                self._last_lines.append(line.decode(errors="replace").rstrip())


ChildT = TypeVar("ChildT", bound=ChildProcess)


class IdlePool(Generic[ChildT]):
    """Processes that wait for something to do; they leave by themselves when nothing comes.

    Parameters
    ----------
    make : callable
        Starts another one.
    """

    def __init__(self, make: Callable[[], ChildT]) -> None:
        self._make = make
        self._idle: list[ChildT] = []
        self._lock = threading.Lock()

    def take(self) -> ChildT:
        """A process that waits, or a new one."""
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if not process.has_ended():
                    return process
                process.close()
        return self._make()

    def put_back(self, process: ChildT) -> None:
        with self._lock:
            self._idle.append(process)
