"""The thread that looks after the jobs of a service, for all kinds of workers."""

from __future__ import annotations

import logging
import threading
import time

from server.jobs.files import JobFiles
from server.jobs.store import Store
from server.settings import ServerSettings
from server.work.worker_status import Problem

_log = logging.getLogger(__name__)

TICK_S = 0.25
PRUNE_EVERY_S = 60.0
CLOCK_JUMP_S = 5.0


class Dispatcher(threading.Thread):
    """Looks after the jobs of a service and has workers work on them.

    Parameters
    ----------
    settings : ServerSettings
    store : Store
    files : JobFiles
    """

    def __init__(self, settings: ServerSettings, store: Store, files: JobFiles) -> None:
        super().__init__(name="dispatcher", daemon=True)
        self._settings, self._store, self._files = settings, store, files
        self._woken = threading.Event()
        self._closing = threading.Event()
        self._pruned = 0.0
        self._clock_offset = time.time() - time.monotonic()

    # --- WorkerStatus ----------------------------------------------------------------------------

    def wake(self) -> None:
        self._woken.set()

    def state(self) -> str:
        raise NotImplementedError

    def trouble(self) -> Problem | None:
        raise NotImplementedError

    # --- For the process that runs the service ---------------------------------------------------

    def recover(self) -> None:
        """Clean up after an earlier service; call it once, before anything starts."""
        store = self._store
        for part in self._settings.incoming_dir.iterdir():
            part.unlink()
        for name in self._files.remove_unknown(store.ids_with_pixels()):
            _log.info("removed the files of an unknown job: %s", name)
        for job in store.release_running(None):
            _log.info("queued again after a restart", extra={"job": job.id})
        store.restart_timeouts(time.time())
        # In a container, a new worker may well have the pid of the last one.
        store.set_status("busy", None)
        store.set_status("worker", {**(store.status("worker") or {}), "pid": None})

    def close(self) -> None:
        """End the thread and its workers, and wait for that."""
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
                _log.exception("an error in the %s; it goes on", self.name)
            self._woken.wait(TICK_S)
            self._woken.clear()
        self._shutdown()

    def _tick(self) -> None:
        """Look after everything once."""
        raise NotImplementedError

    def _shutdown(self) -> None:
        """End the workers."""
        raise NotImplementedError

    def _tidy(self) -> None:
        """Do the work that is the same for all kinds of workers."""
        self._watch_clock()
        self._cancel_abandoned()
        self._store.reserve.make(self._settings.reserve_bytes)
        if time.monotonic() - self._pruned > PRUNE_EVERY_S:
            self._prune()

    def _watch_clock(self) -> None:
        """Restart all deadlines after sleep or a changed clock."""
        offset = time.time() - time.monotonic()
        if abs(offset - self._clock_offset) > CLOCK_JUMP_S:
            self._store.restart_timeouts(time.time())
        self._clock_offset = offset

    def _cancel_abandoned(self) -> None:
        for job_id in self._store.cancel_expired(time.time()):
            self._files.remove(job_id)
            _log.info("cancelled: its lease ran out", extra={"job": job_id})

    def _prune(self) -> None:
        self._pruned = time.monotonic()
        ended_before = time.time() - 86400 * self._settings.keep_days
        for job_id in self._store.prune(
            ended_before=ended_before, keep_bytes=self._settings.keep_bytes
        ):
            self._files.remove(job_id)
            _log.info("pruned", extra={"job": job_id})
