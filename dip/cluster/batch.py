"""A batch over an existing Dask cluster: `dip batch --cluster tcp://host:8786`."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from dip.batch.files import ResultRefused, ResultWriter, load_photo
from dip.batch.fit_process import Outcome, Task
from dip.batch.manifest import digest_of_file, stamp_of
from dip.batch.pairing import Item, shown
from dip.cluster.connection import ClusterConnection
from dip.cluster.options import ClusterSettings
from dip.cluster.remote_task import RemoteTask, TaskLost
from dip.cluster.scheduler import ClusterScheduler
from dip.cluster.worker_task import TaskAnswer, TaskRequest
from dip.errors import ClusterError, InputError, OutputError

RETRY_TIMEOUT_S = 600.0
"""The scheduler may be away for so long in the middle of a batch."""

STEP_S = 0.25
EVENT_INTERVAL_S = 2.0
ATTEMPTS_PER_WORKER = 2
MAX_LOST = 3
"""A photo that Dask gave up this often is failed."""

LATE_AFTER_S = 30.0
LATE_TIMES = 4.0
"""A photo that takes so many times the median, and at least so long, is sent to another worker."""


class Cluster:
    """The work of a batch on a cluster.

    Parameters
    ----------
    settings : ClusterSettings

    Attributes
    ----------
    requeued : deque of Item
        Photos that were lost on the cluster, to be sent again.
    times_lost, attempts : Counter
        How often Dask gave a photo up, and how many attempts at it are in flight, by its path.
    places : dict
        The photo that is shown for each worker.
    error : exception, optional
        It ends the batch.

    Raises
    ------
    ClusterError
        As for `ClusterConnection`.
    """

    def __init__(self, settings: ClusterSettings) -> None:
        self.settings = settings
        self.shared_disk = False
        self.error: BaseException | None = None
        self.requeued: deque[Item] = deque()
        self.times_lost: Counter[str] = Counter()
        self.attempts: Counter[str] = Counter()
        self.places: dict[str, InFlight] = {}
        self.lock = threading.Lock()
        self.durations: deque[float] = deque(maxlen=200)
        self._waiting: Iterator[Item] = iter(())
        self._has_sent_all = False
        self._scheduler = ClusterScheduler(
            settings, self._begin, self._note, look_ahead=True, require_workers=True
        )

    @property
    def slots(self) -> int:
        """Photos that the cluster takes at a time."""
        return self._scheduler.slots

    def check_disk(self, probe: Path) -> bool:
        """Find out whether all workers read a file as this side does.

        Then photos are read by the workers, and only results travel.
        """
        assert self._scheduler.connection is not None
        expected = digest_of_file(probe)
        found = set(self._scheduler.connection.digests_of(str(probe.resolve())))
        self.shared_disk = expected is not None and found == {expected}
        return self.shared_disk

    def run(self, items: Iterable[Item], writer: ResultWriter) -> None:
        """Work on all photos.

        Raises
        ------
        OutputError
            No result can be written any more.
        ClusterError
            The scheduler was away for too long.
        """
        self._waiting, self._writer = iter(items), writer
        connected = time.monotonic()
        while not (self._has_sent_all and not self._scheduler.tasks and not self.requeued):
            self._scheduler.step()
            if self.error is not None:
                raise self.error
            if self._scheduler.connection is not None:
                connected = time.monotonic()
            elif time.monotonic() - connected > RETRY_TIMEOUT_S:
                raise ClusterError(
                    f"The scheduler was away for {RETRY_TIMEOUT_S / 60:.0f} min.",
                    "Start the batch again when it is back: finished photos stay finished.",
                )
            if self._has_sent_all:
                self._send_late_photos()
            time.sleep(STEP_S)

    def close(self) -> None:
        """Drop the photos in flight, and end the connection."""
        self._scheduler.close()

    def _note(self, text: str) -> None:
        self._writer.progress.note(text)

    def _begin(self, connection: ClusterConnection) -> InFlight | None:
        """The next photo: one that was lost, or a new one."""
        item = self.requeued.popleft() if self.requeued else next(self._waiting, None)
        self._has_sent_all = item is None
        return None if item is None else InFlight(self, self._writer, connection, item)

    def _send_late_photos(self) -> None:
        """Send photos that take too long to idle workers as well."""
        connection = self._scheduler.connection
        photos = [task for task in self._scheduler.tasks if isinstance(task, InFlight)]
        late = [photo for photo in photos if photo.is_late]
        if connection is None or not late:
            return
        tasks = connection.tasks()
        idle = {worker for worker in connection.available if not tasks.get(worker)}
        for photo in late:
            if idle and any(photo.key in keys for keys in tasks.values()):
                self._note(f"{shown(photo.item.photo)} is late; another worker takes it too")
                other = InFlight(self, self._writer, connection, photo.item, frozenset(idle))
                self._scheduler.tasks.append(other)
                other.start()
                idle.pop()


class InFlight(RemoteTask):
    """A photo in flight; there are two of the same photo where the first worker is late.

    Parameters
    ----------
    cluster : Cluster
    writer : ResultWriter
    connection : ClusterConnection
    item : Item
    workers : frozenset of str, optional
        As for `RemoteTask`.
    """

    def __init__(
        self,
        cluster: Cluster,
        writer: ResultWriter,
        connection: ClusterConnection,
        item: Item,
        workers: frozenset[str] | None = None,
    ) -> None:
        super().__init__(connection, cluster.settings.resources, workers)
        self.item = item
        self._cluster, self._writer = cluster, writer
        self._fingerprint: dict[str, Any] = {"photo_sha256": None, "mask_sha256": None}
        self._began = time.time()
        self._place = ""
        cluster.attempts[item.photo] += 1

    @property
    def is_late(self) -> bool:
        durations = self._cluster.durations
        if self._cluster.attempts[self.item.photo] != 1 or not durations:
            return False
        return time.time() - self._began > max(LATE_AFTER_S, LATE_TIMES * median(list(durations)))

    def run(self) -> None:
        super().run()
        self._leave_place()

    def poll(self) -> bool:
        # Of two attempts, the slower one has nothing left to do.
        return super().poll() and self._cluster.attempts[self.item.photo] > 0

    def request(self) -> TaskRequest:
        item, settings = self.item, self._writer.settings
        self._writer.check(item)
        mask_confirmed = self._writer.masks_confirmed
        paths: tuple[str, ...] = ()
        if self._cluster.shared_disk:
            photo, mask = self._writer.folder / item.photo, item.mask and Path(item.mask)
            paths = tuple(str(path.resolve()) for path in (photo, mask) if path)
            task = Task(
                name=item.photo,
                mask_name=item.mask or "",
                photo=b"",
                mask=None,
                settings=settings,
                file_format=item.file_format,
                page=item.page,
                mask_confirmed=mask_confirmed,
            )
            self._fingerprint["photo_stamp"] = stamp_of(photo)
            self._fingerprint["mask_stamp"] = stamp_of(mask) if mask else None
        else:
            loaded = load_photo(self._writer.folder, item)
            task = loaded.task(settings, mask_confirmed=mask_confirmed)
            self._fingerprint = loaded.fingerprint
        return TaskRequest(
            module="dip.batch.fit_worker",
            content=task.content,
            blobs=() if paths else task.blobs,
            paths=paths,
            versions=self.connection.versions,
            event_interval_s=EVENT_INTERVAL_S,
            attempts=ATTEMPTS_PER_WORKER,
            shared_limit_mb=settings["max_memory_mb"],
        )

    def on_event(self, event: dict[str, Any]) -> None:
        progress, content = self._writer.progress, event["content"]
        place = f"{event['host']}:{event['worker'].rpartition(':')[2]}"
        if place != self._place:
            self._leave_place()
            self._place = place
            with self._cluster.lock:
                self._cluster.places[place] = self
                progress.begin(place, self.item.photo)
        if "waits_for" in content:
            progress.wait_for(place, content["waits_for"])
        elif "iteration" in content:
            progress.update(place, content)

    def on_answer(self, answer: TaskAnswer) -> None:
        if answer.is_refusal:
            self._cluster.shared_disk = False  # a worker does not have it: bytes are sent
            raise TaskLost
        if not self._is_first():
            return
        if answer.sha256:
            self._fingerprint["photo_sha256"] = answer.sha256[0]
            self._fingerprint["mask_sha256"] = answer.sha256[1] if self.item.mask else None
        self._cluster.durations.append(answer.seconds)
        if answer.reply is None:
            outcome = Outcome(figures={}, error=answer.death)
        else:
            outcome = Outcome.from_reply(answer.reply)
        self._write(outcome, time.time() - answer.seconds, answer.host)

    def on_lost(self, cause: str | None) -> None:
        times_lost = self._cluster.times_lost
        times_lost[self.item.photo] += cause is not None
        if not self._is_last():
            return
        if times_lost[self.item.photo] < MAX_LOST:
            self._cluster.requeued.append(self.item)
            return
        hint = "The log of the workers says why; `dip batch --retry-failed` tries it again."
        error = {"code": "process_died", "message": str(cause), "hint": hint}
        self._write(Outcome(figures={}, error=error), self._began)

    def on_error(self, error: BaseException) -> None:
        if isinstance(error, (InputError, ResultRefused)):
            try:
                if self._is_last():
                    self._writer.write_failure(self.item, error.as_dict(), began=self._began)
                return
            except OutputError as disk_error:
                error = disk_error
        self._cluster.error = error

    def _leave_place(self) -> None:
        """Show the worker as idle, unless it has begun another photo."""
        with self._cluster.lock:
            if self._cluster.places.get(self._place) is self:
                del self._cluster.places[self._place]
                self._writer.progress.set_idle(self._place)

    def _is_first(self) -> bool:
        """Whether no other attempt has ended the photo; from now on, this one has."""
        attempts = self._cluster.attempts
        with self._cluster.lock:
            left, attempts[self.item.photo] = attempts[self.item.photo], 0
        return left > 0

    def _is_last(self) -> bool:
        """Whether no other attempt is in flight, or has ended the photo; this one is over."""
        attempts = self._cluster.attempts
        with self._cluster.lock:
            left = attempts[self.item.photo] - 1
            attempts[self.item.photo] = max(0, left)
        return left == 0

    def _write(self, outcome: Outcome, began: float, host: str = "") -> None:
        self._writer.write(self.item, self._fingerprint, outcome, began=began, host=host)
