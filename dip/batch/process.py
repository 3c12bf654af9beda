"""A process that fits, seen from outside: started, asked, and outlived (`dip.batch.child` inside).

One is held for each photo that is worked on at the same time, on this machine and on each worker
of a cluster alike, and used again for the next photo.
"""

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
from dataclasses import dataclass
from typing import IO, Any, Generic, TypeVar

from dip.batch.frames import Frame, receive, send
from dip.child import child_environment
from dip.device import environment_for_cpu
from dip.errors import ProcessDied

STALL_S = 3600.0
"""No sign of life for so long ends a process; one iteration over a large photo takes minutes."""

_LAST_LINES = 20
_FAREWELL_S = 5.0

Steps = Callable[[dict[str, Any]], None]
Admission = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One photo to restore.

    Parameters
    ----------
    name, mask_name : str
        What to call the files in messages.
    photo : bytes
        The image file.
    mask : bytes, optional
        Its mask as a file; None takes transparent pixels as the damage.
    settings : dict
        As `dip.config.Settings.from_mapping` takes them.
    form : str
        Format of the result: 'png', 'tiff', 'webp' or 'jpeg'.
    limit_s : float, optional
        Stop then, and give figures only: for an estimate.
    """

    name: str
    mask_name: str
    photo: bytes
    mask: bytes | None
    settings: dict[str, Any]
    form: str = "png"
    limit_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one photo.

    Parameters
    ----------
    figures : dict
        Validation PSNR, iterations, seconds and the like; empty for a failure.
    data : bytes
        The restored photo as a file; empty for a failure.
    sheet : bytes
        Before and after, as a JPEG.
    error : dict, optional
        Code, message and hint, where it failed.
    """

    figures: dict[str, Any]
    data: bytes = b""
    sheet: bytes = b""
    error: dict[str, str] | None = None


class Child:
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


class FitProcess(Child):
    """One that fits photos.

    Parameters
    ----------
    environment, idle_s
        As for `Child`.
    """

    def __init__(
        self, environment: Mapping[str, str] | None = None, idle_s: float | None = None
    ) -> None:
        super().__init__("dip.batch.child", environment, idle_s)

    def look(self, files: Sequence[str]) -> list[dict[str, Any]]:
        """What each of these files claims to be: width, height and has_alpha, or an error.

        Raises
        ------
        ProcessDied
            One of them made it crash.
        """
        self.ask({"do": "look", "files": list(files)})
        looked: list[dict[str, Any]] = self._heard().says["looked"]
        return looked

    def fit(self, task: Task, *, admit: Admission, on_step: Steps) -> Outcome:
        """Restore one photo.

        Parameters
        ----------
        task : Task
        admit : callable
            Is told what the fit needs (`needs_mb`, `device`), and returns when it may begin.
        on_step : callable
            Is told twice a second how far it is.

        Returns
        -------
        Outcome
            Also for whatever is wrong with the photo.

        Raises
        ------
        ProcessDied
            It crashed, was killed, or showed no sign of life for an hour.
        """
        blobs = [task.photo] if task.mask is None else [task.photo, task.mask]
        asked = {
            "do": "fit",
            "name": task.name,
            "mask_name": task.mask_name,
            "settings": task.settings,
            "form": task.form,
            "limit_s": task.limit_s,
        }
        self.ask(asked, blobs)
        while True:
            frame = self._heard()
            says = frame.says
            if "needs_mb" in says:
                admit(says)
                self.ask({"go": True})
            elif "failed" in says:
                return Outcome(figures={}, error=says["failed"])
            elif "done" in says:
                data, sheet = frame.blobs or (b"", b"")
                return Outcome(figures=says["done"], data=data, sheet=sheet)
            else:
                on_step(says)


AChild = TypeVar("AChild", bound=Child)


class Spares(Generic[AChild]):
    """Processes that wait for something to do; they leave by themselves when nothing comes.

    Parameters
    ----------
    make : callable
        Starts another one.
    """

    def __init__(self, make: Callable[[], AChild]) -> None:
        self._make = make
        self._idle: list[AChild] = []
        self._lock = threading.Lock()

    def take(self) -> AChild:
        """A process that waits, or a new one."""
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if not process.has_ended():
                    return process
                process.close()
        return self._make()

    def put_back(self, process: AChild) -> None:
        with self._lock:
            self._idle.append(process)
