"""Wake event streams when any process has written a new event."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from server.jobs.store import Store

POLL_EVERY_S = 0.04

BATCH, PAUSE_S = 8, 0.004
"""Streams are woken in batches, with pauses: hundreds at once would delay every other request."""

_log = logging.getLogger(__name__)


class ChangeNotifier(threading.Thread):
    """Polls the store for all streams together, while there are any.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        super().__init__(name="notifier", daemon=True)
        self._store = store
        self._watched: defaultdict[str, set[threading.Event]] = defaultdict(set)
        self._lock = threading.Lock()
        self._has_watchers = threading.Event()
        self._closing = threading.Event()

    @property
    def closing(self) -> bool:
        """Whether the service is stopping; streams end then."""
        return self._closing.is_set()

    @contextmanager
    def watch(self, job_id: str) -> Iterator[threading.Event]:
        """Yield a flag that is set whenever the job may have new events."""
        changed = threading.Event()
        with self._lock:
            self._watched[job_id].add(changed)
        self._has_watchers.set()
        try:
            yield changed
        finally:
            with self._lock:
                self._watched[job_id].discard(changed)
                if not self._watched[job_id]:
                    del self._watched[job_id]

    def close(self) -> None:
        """Wake all streams a last time, and stop."""
        self._closing.set()
        self._has_watchers.set()
        with self._lock:
            for waiting in self._watched.values():
                for changed in waiting:
                    changed.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        version, seen = -1, dict[str, int]()
        while not self._closing.is_set():
            self._has_watchers.wait()
            try:
                version, seen = self._poll(version, seen)
            except Exception:
                # The outermost handler of the thread, without which all streams would stop.
                _log.exception("the search for changes failed")
            self._closing.wait(POLL_EVERY_S)

    def _poll(self, version: int, seen: dict[str, int]) -> tuple[int, dict[str, int]]:
        with self._lock:
            watched = list(self._watched)
            if not watched:
                self._has_watchers.clear()
                return -1, {}
        now = self._store.version()
        if now == version and all(job_id in seen for job_id in watched):
            return version, seen
        latest = self._store.last_events(watched)
        with self._lock:
            waiting = [
                changed
                for job_id in watched
                if latest.get(job_id, -1) != seen.get(job_id)
                for changed in self._watched.get(job_id, ())
            ]
        for number, changed in enumerate(waiting, start=1):
            changed.set()
            if number % BATCH == 0:
                self._closing.wait(PAUSE_S)
        return now, {job_id: latest.get(job_id, -1) for job_id in watched}
