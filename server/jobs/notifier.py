"""Wakes streams when there is something new for them, whichever process wrote it."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from server.jobs.store import Store

LOOK_EVERY_S = 0.04

WOKEN_AT_ONCE, PAUSE_S = 8, 0.004
"""Hundreds of streams that woke all at once would keep every other request waiting."""

_log = logging.getLogger(__name__)


class ChangeNotifier(threading.Thread):
    """Looks at the store while anybody waits for it: one look for all streams.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        super().__init__(name="changes", daemon=True)
        self._store = store
        self._watched: defaultdict[str, set[threading.Event]] = defaultdict(set)
        self._lock = threading.Lock()
        self._somebody = threading.Event()
        self._closing = threading.Event()

    @property
    def closing(self) -> bool:
        """Whether the service is about to end: streams end too."""
        return self._closing.is_set()

    @contextmanager
    def watch(self, job_id: str) -> Iterator[threading.Event]:
        """Yield an event that is set whenever the job may have news."""
        news = threading.Event()
        with self._lock:
            self._watched[job_id].add(news)
        self._somebody.set()
        try:
            yield news
        finally:
            with self._lock:
                self._watched[job_id].discard(news)
                if not self._watched[job_id]:
                    del self._watched[job_id]

    def close(self) -> None:
        """Wake everybody for the last time."""
        self._closing.set()
        self._somebody.set()
        with self._lock:
            for waiting in self._watched.values():
                for news in waiting:
                    news.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        version, seen = -1, dict[str, int]()
        while not self._closing.is_set():
            self._somebody.wait()
            try:
                version, seen = self._look(version, seen)
            except Exception:
                # The edge of the thread: without it every stream would fall silent.
                _log.exception("looking for changes failed")
            self._closing.wait(LOOK_EVERY_S)

    def _look(self, version: int, seen: dict[str, int]) -> tuple[int, dict[str, int]]:
        with self._lock:
            watched = list(self._watched)
            if not watched:
                self._somebody.clear()
                return -1, {}
        now = self._store.version()
        if now == version and all(job_id in seen for job_id in watched):
            return version, seen
        latest = self._store.last_events(watched)
        with self._lock:
            waiting = [
                news
                for job_id in watched
                if latest.get(job_id, -1) != seen.get(job_id)
                for news in self._watched.get(job_id, ())
            ]
        for place, news in enumerate(waiting, start=1):
            news.set()
            if place % WOKEN_AT_ONCE == 0:
                self._closing.wait(PAUSE_S)
        return now, {job_id: latest.get(job_id, -1) for job_id in watched}
