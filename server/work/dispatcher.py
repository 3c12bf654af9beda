"""Keeps the store tidy, whoever works on its jobs: this machine, or a cluster."""

from __future__ import annotations

import logging
import threading
import time

from server.http.context import Problem, Service

_log = logging.getLogger(__name__)

TICK_S = 0.25
PRUNE_EVERY_S = 60.0
CLOCK_JUMP_S = 5.0


class Dispatcher(threading.Thread):
    """A thread that looks after the jobs of a service, and has somebody work on them.

    Parameters
    ----------
    service : Service
    """

    def __init__(self, service: Service) -> None:
        super().__init__(name="keeper", daemon=True)
        self._here = service
        self._woken = threading.Event()
        self._closing = threading.Event()
        self._pruned = 0.0
        self._clock_offset = time.time() - time.monotonic()

    # --- What others ask -------------------------------------------------------------------------

    def wake(self) -> None:
        """There may be work."""
        self._woken.set()

    def state(self) -> str:
        raise NotImplementedError

    def trouble(self) -> Problem | None:
        raise NotImplementedError

    def recover(self) -> None:
        """Put in order what an earlier service left behind; once, before anything starts."""
        here = self._here
        for part in here.settings.incoming_dir.iterdir():
            part.unlink()
        for name in here.files.remove_unknown(here.store.ids_with_pixels()):
            _log.info("removed what was left of a job: %s", name)
        for job in here.store.release_running(None):
            _log.info("queued again after a restart", extra={"job": job.id})
        here.store.restart_timeouts(time.time())
        # In a container, a new worker may well have the pid of the last one.
        here.store.set_status("busy", None)
        here.store.set_status("worker", {**(here.store.status("worker") or {}), "pid": None})

    def close(self) -> None:
        """End whoever works, and wait for that."""
        self._closing.set()
        self._woken.set()
        if self.is_alive():
            self.join()

    # --- The thread ------------------------------------------------------------------------------

    def run(self) -> None:
        while not self._closing.is_set():
            try:
                self._tick()
            except Exception:
                # The edge of the thread: without it no job would ever be worked on again.
                _log.exception("the %s stumbled", self.name)
            self._woken.wait(TICK_S)
            self._woken.clear()
        self._dismiss()

    def _tick(self) -> None:
        """Look after everything once."""
        raise NotImplementedError

    def _dismiss(self) -> None:
        """End whoever works."""
        raise NotImplementedError

    def _tidy(self) -> None:
        """What is to be done whoever works."""
        self._watch_clock()
        self._cancel_abandoned()
        if time.monotonic() - self._pruned > PRUNE_EVERY_S:
            self._prune()

    def _watch_clock(self) -> None:
        """After sleep or a set clock, nobody is late."""
        offset = time.time() - time.monotonic()
        if abs(offset - self._clock_offset) > CLOCK_JUMP_S:
            self._here.store.restart_timeouts(time.time())
        self._clock_offset = offset

    def _cancel_abandoned(self) -> None:
        for job_id in self._here.store.cancel_expired(time.time()):
            self._here.files.remove(job_id)
            _log.info("cancelled: its lease ran out", extra={"job": job_id})

    def _prune(self) -> None:
        self._pruned = time.monotonic()
        settings = self._here.settings
        ended_before = time.time() - 86400 * settings.keep_days
        for job_id in self._here.store.prune(
            ended_before=ended_before, keep_bytes=settings.keep_bytes
        ):
            self._here.files.remove(job_id)
            _log.info("pruned", extra={"job": job_id})
