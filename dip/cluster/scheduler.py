"""A batch over an existing Dask cluster: `dip batch --cluster tcp://host:8786`.

Dask has the scheduler, the dashboard, the resources and the ways to be deployed; here is only
what a batch needs of it. A bounded number of photos is on its way at any time. A photo whose
worker is lost is begun again by the scheduler; where the scheduler itself is lost, a new
connection is made, and all that was on its way is sent again. That harms nothing: the same photo
gives the same result, and the writer takes the first one.
"""

from __future__ import annotations

import contextlib
import queue
import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from dip.batch.files import ResultWriter, load_photo
from dip.batch.fit_process import Outcome, Task
from dip.batch.manifest import digest_of_file, stamp_of
from dip.batch.pairing import Item, shown
from dip.cluster.connection import PATIENCE_S, ClusterLink, first_line
from dip.cluster.options import ClusterSettings
from dip.errors import InputError

if TYPE_CHECKING:
    from distributed import Future

    from dip.cluster.worker_task import Answer

LOOK_EVERY_S = 2.0
MOST_DEATHS = 3
LATE_AFTER_S = 30.0
LATE_TIMES = 4.0
"""A photo that takes so many times as long as most, and at least so long, is sent to another."""


@dataclass(eq=False)
class _Flight:
    """A photo on its way; on two ways at once where the first worker is late."""

    item: Item
    began: float = 0.0
    fingerprint: dict[str, Any] = field(default_factory=dict)
    futures: list[Future] = field(default_factory=list)
    allowed: frozenset[str] = frozenset()
    worker: str | None = None
    deaths: int = 0


class Cluster:
    """A batch's work on a cluster.

    Parameters
    ----------
    settings : ClusterSettings
    patience_s : float
        How long the scheduler may be away in the middle of a batch.

    Raises
    ------
    ClusterError
        As for `ClusterLink`.
    """

    def __init__(self, settings: ClusterSettings, *, patience_s: float = PATIENCE_S) -> None:
        self._resources = dict(settings.resources)
        self._batch = uuid.uuid4().hex
        self._places: dict[str, str] = {}
        self._shared_disk = False
        self._looked = 0.0
        self._sent = 0
        self._flying: list[_Flight] = []
        self._again: deque[_Flight] = deque()
        self._landed: queue.SimpleQueue[tuple[_Flight, Future]] = queue.SimpleQueue()
        self._said: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._durations: deque[float] = deque(maxlen=200)
        self._link = ClusterLink(settings, self._hear, patience_s=patience_s)

    @property
    def slots(self) -> int:
        """Photos that can be worked on at the same time."""
        return self._link.slots

    def check_disk(self, probe: Path) -> bool:
        """Find out whether all workers read a file as this side does.

        Then photos are read by the workers, and only results travel.
        """
        expected = digest_of_file(probe)
        found = self._link.describe_workers(str(probe.resolve())).values()
        self._shared_disk = expected is not None and all(
            isinstance(each, dict) and each["probe"] == expected for each in found
        )
        return self._shared_disk

    def run(self, items: Iterable[Item], writer: ResultWriter) -> None:
        """Work on all of them.

        Raises
        ------
        OutputError
            Nothing can be written any more.
        ClusterError
            The scheduler was away for too long.
        """
        waiting = iter(items)
        while True:
            if self._link.is_cut_off:
                self._reconnect(writer)
            exhausted = self._fill(waiting, writer)
            if exhausted and not self._flying:
                return
            for flight, future in self._arrivals():
                if flight in self._flying:  # else the slower of two
                    self._land(flight, future, writer)
            self._show_what_was_said(writer)
            self._look_around(writer, waiting_for_last=exhausted)

    def close(self) -> None:
        """End the connection, and drop what is on its way."""
        self._link.close()

    def _reconnect(self, writer: ResultWriter) -> None:
        """Wait for the scheduler, and send again whatever was on its way."""
        writer.progress.note("the scheduler of the cluster is cut off; waiting for it")
        self._link.reconnect()
        writer.progress.note("the scheduler is back")
        self._looked = 0.0
        for flight in self._flying:
            self._ground(flight)

    # --- Sending --------------------------------------------------------------------------------

    def _fill(self, waiting: Iterator[Item], writer: ResultWriter) -> bool:
        """Send as many as may be on their way; True where there are no more to send."""
        # A few more than can be worked on: the next one is there when a worker is free.
        most = self.slots + max(2, self.slots // 4) if self.slots else 0
        while len(self._flying) < most and self._has_more(waiting):
            flight = self._again.popleft()
            try:
                self._send(flight, writer)
            except InputError as error:
                writer.write_failure(flight.item, error.as_dict(), began=time.time())
        return not self._has_more(waiting)

    def _has_more(self, waiting: Iterator[Item]) -> bool:
        """Whether anything is to be sent; what is next stands first in the row then."""
        if not self._again:
            self._again.extend(_Flight(item) for item in islice(waiting, 1))
        return bool(self._again)

    def _send(
        self, flight: _Flight, writer: ResultWriter, workers: frozenset[str] | None = None
    ) -> None:
        """Send a photo on its way; its bytes are not kept here."""
        from dip.cluster.worker_task import Request, restore_here

        item = flight.item
        if self._shared_disk:
            photo = writer.folder / item.photo
            task = Task(
                name=item.photo,
                mask_name=item.mask or "",
                photo=b"",
                mask=None,
                settings=writer.settings,
                file_format=item.file_format,
            )
            paths = (str(photo.resolve()), item.mask and str(Path(item.mask).resolve()))
            flight.fingerprint = {
                "photo_stamp": stamp_of(photo),
                "mask_stamp": None if item.mask is None else stamp_of(Path(item.mask)),
            }
        else:
            loaded = load_photo(writer.folder, item)
            task, paths, flight.fingerprint = loaded.task(writer.settings), None, loaded.fingerprint
        request = Request(batch=self._batch, task=task, paths=paths, versions=self._link.versions)
        flight.allowed = workers or self._link.at_hand
        self._sent += 1
        if not flight.futures:
            flight.began = time.time()
        try:
            future = self._link.client.submit(
                restore_here,
                request,
                key=f"dip-{self._batch}-{self._sent}",
                pure=False,
                resources=self._resources or None,
                workers=sorted(flight.allowed),
            )
        except (OSError, RuntimeError):  # the second: the client was closed from its side
            self._link.lost = True
            if flight not in self._flying:
                self._again.append(flight)
            return
        flight.futures.append(future)
        if flight not in self._flying:
            self._flying.append(flight)
        future.add_done_callback(lambda landed: self._landed.put((flight, landed)))

    def _ground(self, flight: _Flight) -> None:
        """Take a photo off its way; it will be sent again."""
        self._let_go(flight)
        self._again.append(flight)

    def _let_go(self, flight: _Flight) -> None:
        self._flying = [each for each in self._flying if each is not flight]
        futures, flight.futures, flight.worker = flight.futures, [], None
        for future in futures:
            with contextlib.suppress(Exception):  # of a client that is gone
                future.cancel()

    # --- Receiving ------------------------------------------------------------------------------

    def _arrivals(self) -> Iterator[tuple[_Flight, Future]]:
        """What has come back; waits a moment for the first."""
        timeout_s = 0.5
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._landed.get(timeout=timeout_s) if timeout_s else self._landed.get(False)
                timeout_s = 0

    def _land(self, flight: _Flight, future: Future, writer: ResultWriter) -> None:
        """Take in one that has come back, in whatever state."""
        if future not in flight.futures:
            return  # of before it was sent again
        if future.status == "error":
            self._examine(flight, future.exception(), writer)
            return
        try:
            answer: Answer = future.result(timeout=60)
        except Exception:
            # Cancelled with its scheduler, or lost with its worker: it is sent again.
            self._ground(flight)
            self._link.lost = self._link.lost or future.status == "cancelled"
            return
        writer.progress.set_idle(_place(answer.host, answer.worker))
        if answer.outcome is None:
            if answer.versions != self._link.versions:
                self._link.trusted.discard(answer.worker)
            else:
                self._shared_disk = False
            self._ground(flight)
            return
        fingerprint = dict(flight.fingerprint)
        if answer.sha256 is not None:
            fingerprint["photo_sha256"], fingerprint["mask_sha256"] = answer.sha256
        self._let_go(flight)
        self._durations.append(answer.seconds)
        began = time.time() - answer.seconds
        writer.write(flight.item, fingerprint, answer.outcome, began=began, host=answer.host)

    def _examine(self, flight: _Flight, error: BaseException | None, writer: ResultWriter) -> None:
        """A worker could not even begin, or died again and again."""
        flight.deaths += 1
        if flight.deaths < MOST_DEATHS:
            self._ground(flight)
            return
        seen = f"Its workers died, or could not work: {first_line(error)}."
        failure = {
            "code": "process_died",
            "message": seen,
            "hint": "The log of the workers says why; `dip batch --retry-failed` tries it again.",
        }
        self._let_go(flight)
        fingerprint = {"photo_sha256": None, "mask_sha256": None, **flight.fingerprint}
        writer.write(
            flight.item, fingerprint, Outcome(figures={}, error=failure), began=flight.began
        )

    # --- Looking around -------------------------------------------------------------------------

    def _hear(self, event: tuple[float, Any]) -> None:
        says = event[1]
        if isinstance(says, dict) and says.get("batch") == self._batch:
            self._said.put(says)

    def _show_what_was_said(self, writer: ResultWriter) -> None:
        by_photo = {flight.item.photo: flight for flight in self._flying}
        with contextlib.suppress(queue.Empty):
            while True:
                says = self._said.get(False)
                flight = by_photo.get(says["photo"])
                if flight is None:
                    continue
                place = _place(says["host"], says["worker"])
                if flight.worker != says["worker"]:
                    flight.worker = says["worker"]
                    self._places[flight.worker] = place
                    writer.progress.begin(place, flight.item.photo)
                if "waits_for" in says:
                    writer.progress.wait_for(place, says["waits_for"])
                else:
                    writer.progress.update(place, says)

    def _look_around(self, writer: ResultWriter, *, waiting_for_last: bool) -> None:
        """See who is there, and whom nobody should wait for."""
        if time.monotonic() - self._looked < LOOK_EVERY_S or self._link.lost:
            return
        self._looked = time.monotonic()
        before, silent_before = set(self._link.workers), self._link.silent
        self._link.count_workers()
        for worker in self._link.silent - silent_before:
            writer.progress.note(
                f"the worker {worker} gives no sign of life; others take what it had"
            )
        for worker in before - set(self._link.workers):
            writer.progress.set_idle(self._places.pop(worker, ""))
        for worker, why in self._link.meet_newcomers():
            writer.progress.note(f"the worker {worker} is given nothing: {why}")
        if not self._link.workers and not self._link.lost:
            writer.progress.note_once("no worker is left; waiting for one to come")
        here = self._link.at_hand
        for flight in list(self._flying):
            stuck = all(future.key in self._link.stuck for future in flight.futures)
            if stuck or not flight.allowed & here:
                self._ground(flight)  # nobody whom it may go to is there any more
        if waiting_for_last:
            late = [flight for flight in self._flying if self._is_late(flight)]
            if late:
                self._send_to_others(late, here, writer)

    def _is_late(self, flight: _Flight) -> bool:
        if len(flight.futures) != 1 or not self._durations:
            return False
        usual_s = median(self._durations)
        return time.time() - flight.began > max(LATE_AFTER_S, LATE_TIMES * usual_s)

    def _send_to_others(
        self, late: Iterable[_Flight], here: frozenset[str], writer: ResultWriter
    ) -> None:
        """Give what takes too long to workers that have nothing to do, as well."""
        try:
            busy = {worker: set(keys) for worker, keys in self._link.client.processing().items()}
        except (OSError, TimeoutError):
            self._link.lost = True
            return
        idle = {worker for worker in here if not busy.get(worker)}
        for flight in late:
            key = flight.futures[0].key
            if idle and any(key in keys for keys in busy.values()):
                writer.progress.note(
                    f"{shown(flight.item.photo)} is late; another worker takes it too"
                )
                with contextlib.suppress(InputError):
                    self._send(flight, writer, frozenset(idle))
                idle.pop()


def _place(host: str, worker: str) -> str:
    """A worker, for a person: its machine and its port."""
    return f"{host}:{worker.rpartition(':')[2]}"
