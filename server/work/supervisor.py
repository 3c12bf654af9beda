"""Starts the worker process when there is work, watches it, and restarts it after a crash."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from typing import IO

from dip.machine.child_process import child_environment
from dip.machine.device import environment_for_cpu
from dip.machine.memory import OutOfMemoryKills
from server.errors import ServiceError
from server.jobs.files import JobFiles
from server.jobs.job import State
from server.jobs.store import Store
from server.settings import ServerSettings
from server.work.dispatcher import Dispatcher
from server.work.worker_status import Problem

_log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 60.0
_LAST_LINES = 20
_SHUTDOWN_S = 5.0


class Supervisor(Dispatcher):
    """The dispatcher of a service whose jobs are worked on by one process on this machine.

    Parameters
    ----------
    settings : ServerSettings
    store : Store
    files : JobFiles
    """

    def __init__(self, settings: ServerSettings, store: Store, files: JobFiles) -> None:
        super().__init__(settings, store, files)
        self.name = "supervisor"
        self._worker: WorkerProcess | None = None
        self._wanted = True  # torch is loaded before the first job; clients see the devices
        self._failures = 0
        self._not_before = 0.0
        self._trouble: str | None = None
        self._disobeying_since: float | None = None

    # --- WorkerStatus ----------------------------------------------------------------------------

    def wake(self) -> None:
        self._wanted = True
        super().wake()

    def state(self) -> str:
        worker = self._worker
        if worker is None:
            if self._trouble:
                return "failing"
            return "starting" if self._wanted else "stopped"
        if not self._has_introduced_itself(worker):
            return "starting"
        return "busy" if self._store.count(State.RUNNING) else "idle"

    def trouble(self) -> Problem | None:
        trouble = self._trouble
        if trouble is None:
            return None
        return {
            "code": "worker_failing",
            "message": trouble,
            "hint": "`dip doctor` finds the reason; jobs are kept until the worker starts.",
        }

    # --- The thread ------------------------------------------------------------------------------

    def _shutdown(self) -> None:
        if self._worker is not None:
            self._worker.shutdown()

    def _tick(self) -> None:
        if self._worker is not None and self._worker.has_ended():
            self._reap(self._worker)
        elif self._worker is not None:
            self._worker.out_of_memory.mark()
        wanted = self._wanted or self._store.count(State.QUEUED) > 0
        if self._worker is None and wanted and time.monotonic() >= self._not_before:
            self._start()
        self._tidy()
        self._enforce_cancel()

    def _start(self) -> None:
        self._worker = WorkerProcess(self._settings)
        self._wanted = False
        _log.info("a worker was started: pid %d", self._worker.pid)

    def _reap(self, worker: WorkerProcess) -> None:
        """Find the reason why a worker ended, and queue its job again or fail it.

        If the store cannot be written to, the next tick tries it again.
        """
        introduced = self._has_introduced_itself(worker)
        if worker.exit_status == 0:
            _log.info("the worker left")
        else:
            _log.error("the worker %s", worker.exit_reason())
        blameless = worker.is_blameless or worker.exit_status in (0, -signal.SIGTERM)
        cause, hint = (None, None) if blameless else (f"It {worker.exit_reason()}", worker.remedy())
        had_job = self._store.count(State.RUNNING)
        for job in self._store.release_running(cause, hint):
            _log.warning("queued again: its worker died", extra={"job": job.id})
        self._store.set_status("busy", None)
        self._worker = None
        if blameless or (had_job and introduced):
            self._failures, self._trouble = 0, None
        else:
            self._failures += 1
            self._not_before = time.monotonic() + min(2.0**self._failures, LONGEST_PAUSE_S)
            self._trouble = f"The worker {worker.exit_reason()}"

    def _has_introduced_itself(self, worker: WorkerProcess) -> bool:
        introduced: bool = (self._store.status("worker") or {}).get("pid") == worker.pid
        if introduced:
            self._trouble = None
        return introduced

    def _enforce_cancel(self) -> None:
        """Kill a worker that continues with a cancelled job, or shows no sign of life."""
        worker, now = self._worker, time.monotonic()
        if worker is None:
            return
        busy = self._store.status("busy") or {}
        if busy.get("pid") != worker.pid or self._is_running(busy["job"]):
            self._disobeying_since = None
        elif self._disobeying_since is None:
            self._disobeying_since = now
        elif now - self._disobeying_since > self._settings.cancel_timeout_s:
            _log.warning("killed: it continued with a cancelled job", extra={"job": busy["job"]})
            worker.kill()
            self._disobeying_since = None
        stall_s = self._settings.stall_s
        if self._store.stalled(time.time() - stall_s):
            _log.error("killed: no sign of life for %.0f s", stall_s)
            worker.kill(blame=f"showed no sign of life for {stall_s:.0f} s.")

    def _is_running(self, job_id: str) -> bool:
        try:
            return self._store.get(job_id).state is State.RUNNING
        except ServiceError:
            return False


class WorkerProcess:
    """The service's side of the process that runs `server.work.worker`.

    Parameters
    ----------
    settings : ServerSettings

    Attributes
    ----------
    is_blameless : bool
        Whether it was killed through no fault of its job.
    out_of_memory : OutOfMemoryKills
        Marked often while the process runs.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "server.work.worker", settings.as_json()],
            stdin=subprocess.PIPE,  # the worker ends when this closes
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**child_environment(), **environment_for_cpu()},
            # Ctrl-C is for the service, which then ends the worker.
            start_new_session=os.name == "posix",
        )
        self.pid = self._process.pid
        self.is_blameless = False
        self.out_of_memory = OutOfMemoryKills()
        self._blame = ""
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        assert self._process.stderr is not None
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stderr,), daemon=True
        )
        self._reader.start()

    @property
    def exit_status(self) -> int | None:
        """Negative: the signal that killed it."""
        return self._process.returncode

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def kill(self, blame: str = "") -> None:
        """Kill it. `blame` is the fault of its job that is the reason; '' if the job has none."""
        self._blame = blame
        self.is_blameless = not blame
        self._process.kill()
        self._process.wait()

    def shutdown(self) -> None:
        """Close its standard input, which ends it, and wait."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_SHUTDOWN_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def exit_reason(self) -> str:
        """The end of a sentence on how it ended: 'was killed by SIGKILL.'"""
        status = self._process.returncode
        if self._blame:
            return self._blame
        if self._was_killed_for_memory():
            return "was killed by the system for lack of memory."
        if status < 0:
            return f"was killed by {signal.Signals(-status).name}."
        self._reader.join(1)
        last = next((line for line in reversed(self._last_lines) if line.strip()), "")
        return f"ended with status {status}" + (f": {last.strip()}" if last else ".")

    def remedy(self) -> str | None:
        """The remedy of an end for lack of memory; None for others."""
        if self._was_killed_for_memory():
            return "Close other programs, choose the preset 'fast', or set max_memory_mb."
        return None

    def _was_killed_for_memory(self) -> bool:
        killed = self._process.returncode == -getattr(signal, "SIGKILL", 9)
        return killed and not (self._blame or self.is_blameless) and self.out_of_memory.happened()

    def _read(self, stderr: IO[bytes]) -> None:
        with stderr:
            for line in stderr:
                text = line.decode(errors="replace").rstrip()
                self._last_lines.append(text)
                _log.warning("worker: %s", text)
