"""Starts the worker when there is work, and buries it when it dies."""

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
from server.errors import ServiceError
from server.http.context import Problem, Service
from server.jobs.job import State
from server.work.dispatcher import Dispatcher

_log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 60.0
_LAST_LINES = 20
_FAREWELL_S = 5.0


class Supervisor(Dispatcher):
    """Watches over the worker of a service.

    Parameters
    ----------
    service : Service
    """

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.name = "supervisor"
        self._worker: Worker | None = None
        self._wanted = True  # a first job finds torch loaded, and clients hear of the devices
        self._failures = 0
        self._not_before = 0.0
        self._trouble: str | None = None
        self._defiant_since: float | None = None

    # --- What others ask -------------------------------------------------------------------------

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
        return "busy" if self._here.store.count(State.RUNNING) else "idle"

    def trouble(self) -> Problem | None:
        trouble = self._trouble
        if trouble is None:
            return None
        return {
            "code": "worker_failing",
            "message": trouble,
            "hint": "`dip doctor` finds out why; jobs are kept until the worker starts.",
        }

    # --- The thread ------------------------------------------------------------------------------

    def _dismiss(self) -> None:
        if self._worker is not None:
            self._worker.dismiss()

    def _tick(self) -> None:
        if self._worker is not None and self._worker.has_ended():
            self._bury(self._worker)
        wanted = self._wanted or self._here.store.count(State.QUEUED) > 0
        if self._worker is None and wanted and time.monotonic() >= self._not_before:
            self._start()
        self._tidy()
        self._end_defiance()

    def _start(self) -> None:
        self._worker = Worker(self._here.settings.as_json())
        self._wanted = False
        _log.info("a worker was started: pid %d", self._worker.pid)

    def _bury(self, worker: Worker) -> None:
        """Find out why a worker ended, and put its job where it belongs.

        Where the store cannot be written to, that is tried again with the next tick.
        """
        introduced = self._has_introduced_itself(worker)
        if worker.exit_status == 0:
            _log.info("the worker left")
        else:
            _log.error("the worker %s", worker.obituary())
        innocent = worker.executed or worker.exit_status in (0, -signal.SIGTERM)
        cause = None if innocent else f"It {worker.obituary()}"
        blamed = self._here.store.count(State.RUNNING)
        for job in self._here.store.release_running(cause):
            _log.warning("queued again: its worker died", extra={"job": job.id})
        self._here.store.set_status("busy", None)
        self._worker = None
        if innocent or (blamed and introduced):
            self._failures, self._trouble = 0, None
        else:
            self._failures += 1
            self._not_before = time.monotonic() + min(2.0**self._failures, LONGEST_PAUSE_S)
            self._trouble = f"The worker {worker.obituary()}"

    def _has_introduced_itself(self, worker: Worker) -> bool:
        introduced: bool = (self._here.store.status("worker") or {}).get("pid") == worker.pid
        if introduced:
            self._trouble = None
        return introduced

    def _end_defiance(self) -> None:
        """Kill a worker that goes on with a cancelled job, or shows no sign of life."""
        worker, now = self._worker, time.monotonic()
        if worker is None:
            return
        busy = self._here.store.status("busy") or {}
        if busy.get("pid") != worker.pid or self._is_running(busy["job"]):
            self._defiant_since = None
        elif self._defiant_since is None:
            self._defiant_since = now
        elif now - self._defiant_since > self._here.settings.obey_s:
            _log.warning("killed: it went on with a cancelled job", extra={"job": busy["job"]})
            worker.execute()
            self._defiant_since = None
        if self._here.store.stalled(time.time() - self._here.settings.stall_s):
            _log.error("killed: no sign of life for %.0f s", self._here.settings.stall_s)
            worker.verdict = f"showed no sign of life for {self._here.settings.stall_s:.0f} s."
            worker.kill()

    def _is_running(self, job_id: str) -> bool:
        try:
            return self._here.store.get(job_id).state is State.RUNNING
        except ServiceError:
            return False


class Worker:
    """A worker process, from outside.

    Parameters
    ----------
    settings : str
        As JSON.

    Attributes
    ----------
    executed : bool
        Whether it was killed on purpose, through no fault of its job.
    verdict : str
        Why it was killed, where that was its own fault.
    """

    def __init__(self, settings: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "server.work.worker", settings],
            stdin=subprocess.PIPE,  # its lifeline
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**child_environment(), **environment_for_cpu()},
            # Ctrl-C is for the service, which then ends the worker.
            start_new_session=os.name == "posix",
        )
        self.pid = self._process.pid
        self.executed = False
        self.verdict = ""
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        assert self._process.stderr is not None
        self._listener = threading.Thread(
            target=self._listen, args=(self._process.stderr,), daemon=True
        )
        self._listener.start()

    @property
    def exit_status(self) -> int | None:
        """Negative: the signal that killed it."""
        return self._process.returncode

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def execute(self) -> None:
        """Kill it through no fault of its job."""
        self.executed = True
        self.kill()

    def dismiss(self) -> None:
        """Cut its lifeline, and wait for its end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_FAREWELL_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def obituary(self) -> str:
        """How it ended, for a person: 'was killed by SIGKILL.'"""
        status = self._process.returncode
        if self.verdict:
            return self.verdict
        if status < 0:
            return f"was killed by {signal.Signals(-status).name}."
        self._listener.join(1)
        last = next((line for line in reversed(self._last_lines) if line.strip()), "")
        return f"ended with status {status}" + (f": {last.strip()}" if last else ".")

    def _listen(self, stderr: IO[bytes]) -> None:
        with stderr:
            for line in stderr:
                text = line.decode(errors="replace").rstrip()
                self._last_lines.append(text)
                _log.warning("worker: %s", text)
