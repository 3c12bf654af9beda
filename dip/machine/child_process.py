"""Child processes that run a module of `dip` or `server` and talk through a pipe."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from dip.errors import ProcessDied
from dip.machine import pipe
from dip.machine.device import environment_for_cpu
from dip.machine.memory import OutOfMemoryKills
from dip.machine.pipe import Frame

CHECKOUT = Path(__file__).resolve().parents[2]
"""The folder that holds the packages `dip` and `server`."""

STALL_S = 3600.0
"""A process that sends nothing for this long is killed; one iteration can take minutes."""

_POLL_S = 0.1
_STDERR_LINES = 20
"""So many last lines of a process's error output are kept, to explain its end."""

_EXIT_TIMEOUT_S = 5.0
"""A process whose pipe is closed may take this long to exit before it is killed."""


def child_environment() -> dict[str, str]:
    """The environment of a child that runs a module of `dip` or `server`.

    Returns
    -------
    dict
        The environment of this process, with the packages first on PYTHONPATH.
    """
    paths = (str(CHECKOUT), os.environ.get("PYTHONPATH", ""))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


class ChildProcess:
    """A child process at the other end of a pipe.

    Parameters
    ----------
    module : str
        The module that it runs.
    environment : mapping, optional
        Additional variables, such as the GPU to use.
    idle_s : float, optional
        The process exits by itself after so many seconds without a message.
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
            # Ctrl-C reaches only the parent, which then ends its children.
            start_new_session=os.name == "posix",
        )
        self.pid = self._process.pid
        self._kills = OutOfMemoryKills()
        self._received: queue.Queue[Frame | None] = queue.Queue()
        self._last_lines: deque[str] = deque(maxlen=_STDERR_LINES)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdin = self._process.stdin
        self._readers = [
            threading.Thread(target=self._read_stdout, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._read_stderr, args=(self._process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def send(self, content: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
        """Send a message.

        Raises
        ------
        ProcessDied
        """
        try:
            pipe.send(self._stdin, content, blobs)
        except (OSError, ValueError):  # the second: closed by `close` in another thread
            raise self._exit_error() from None

    def receive(self, timeout_s: float) -> Frame | None:
        """Wait for the next message; None after `timeout_s` without one.

        Raises
        ------
        ProcessDied
        """
        try:
            frame = self._received.get(timeout=timeout_s)
        except queue.Empty:
            frame = None
        else:
            if frame is None:
                raise self._exit_error()
        self._kills.mark()
        return frame

    def run_task(
        self,
        content: dict[str, Any],
        blobs: Sequence[bytes] = (),
        *,
        admit: Callable[[dict[str, Any]], None] = lambda needs: None,
        on_event: Callable[[Frame], None] = lambda frame: None,
        check: Callable[[], None] = lambda: None,
    ) -> Frame:
        """Send a task, and follow it to its end.

        Before a fit, the process sends the memory that it needs, and waits for 'admitted'.

        Parameters
        ----------
        content, blobs
            The task.
        admit : callable
            Called with 'needs_mb' and 'device'; returns when the fit may begin.
        on_event : callable
            Called with every other message but the last.
        check : callable
            Called at least ten times a second; an exception from it ends the wait.

        Returns
        -------
        Frame
            The last message, with 'done' or 'error'.

        Raises
        ------
        ProcessDied
            The process ended, or gave no sign of life for `STALL_S`.
        """
        self.send(content, blobs)
        seen = time.monotonic()
        while True:
            check()
            frame = self.receive(_POLL_S)
            if frame is None:
                if time.monotonic() - seen > STALL_S:
                    self.kill()
                    raise ProcessDied(
                        f"The process was ended: no sign of life for {STALL_S / 60:.0f} min.",
                        "Try this photo alone, with `dip restore`.",
                    )
                continue
            if "done" in frame.content or "error" in frame.content:
                return frame
            if "needs_mb" in frame.content:
                admit(frame.content)
                self.send({"admitted": True})
            else:
                on_event(frame)
            seen = time.monotonic()

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Close the pipes and wait for the process to exit; kill it where that takes too long."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        try:
            self._process.wait(_EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        for reader in self._readers:
            reader.join()

    def _exit_error(self) -> ProcessDied:
        """The error that explains why the process ended."""
        try:
            status = self._process.wait(_EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            status = -signal.SIGTERM
        self._readers[1].join(_EXIT_TIMEOUT_S)
        last = next((line for line in reversed(self._last_lines) if line.strip()), "")
        if status == -getattr(signal, "SIGKILL", 9):
            if self._kills.happened():
                return ProcessDied(
                    "The system killed the process for lack of memory.",
                    "Close other programs, or set a lower --max-memory-mb.",
                )
            return ProcessDied(
                "The process was killed by a user or another program.", "Start it again."
            )
        how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        return ProcessDied(
            f"The process ended {how}" + (f": {last.strip()}." if last else "."),
            "Open the photo elsewhere and save it again; it may be damaged.",
        )

    def _read_stdout(self, stdout: IO[bytes]) -> None:
        with stdout:
            while (frame := pipe.receive(stdout)) is not None:
                self._received.put(frame)
        self._received.put(None)

    def _read_stderr(self, stderr: IO[bytes]) -> None:
        with stderr:
            for line in stderr:
                self._last_lines.append(line.decode(errors="replace").rstrip())


class IdlePool:
    """Idle processes of a module, kept for the next task; each exits by itself after its idle time.

    Parameters
    ----------
    module, idle_s
        As for `ChildProcess`.
    """

    def __init__(self, module: str, idle_s: float) -> None:
        self._module, self._idle_s = module, idle_s
        self._idle: list[ChildProcess] = []
        self._lock = threading.Lock()

    def take(self) -> ChildProcess:
        """An idle process, or a new one."""
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if not process.has_ended():
                    return process
                process.close()
        return ChildProcess(self._module, idle_s=self._idle_s)

    def put_back(self, process: ChildProcess) -> None:
        with self._lock:
            self._idle.append(process)
