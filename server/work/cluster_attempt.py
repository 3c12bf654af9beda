"""One attempt at one job, on a cluster: sent, asked how it goes, and brought home."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from asyncio import CancelledError
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dip.cluster.connection import ClusterLink, first_line
from server.errors import MEANINGS, ServiceError
from server.jobs.files import JobFiles
from server.jobs.job import Attempt, Job
from server.jobs.store import Store
from server.settings import ServerSettings

if TYPE_CHECKING:
    from distributed import Future

    from server.work.cluster_task import Answer

LOOK_EVERY_S = 0.25
ASK_S = 10.0
FETCH_S = 600.0
MOST_LOST = 3
"""A job that this many workers were lost with is failed."""

_log = logging.getLogger(__name__)


class RemoteAttempt(threading.Thread):
    """Sees an attempt through.

    Whenever it cannot, it ends; the keeper, which finds a running job that nobody sees through,
    queues it again.

    Parameters
    ----------
    settings : ServerSettings
    store : Store
    files : JobFiles
    link : ClusterLink
    job : Job
        Taken from the store.
    resources : dict
        What it takes of a worker.

    Attributes
    ----------
    key : str
        By which the cluster knows it.
    """

    def __init__(
        self,
        settings: ServerSettings,
        store: Store,
        files: JobFiles,
        link: ClusterLink,
        job: Job,
        resources: dict[str, float],
    ) -> None:
        super().__init__(name=f"errand {job.id}", daemon=True)
        self._settings, self._store, self._files = settings, store, files
        self._link, self.job = link, job
        self._resources = resources
        self._allowed = link.at_hand
        self._place: str | None = None
        self._moved = False
        self._preview: str | None = None
        self._closing = threading.Event()
        self.key = f"dip-serve-{uuid.uuid4().hex}"

    def begun_on(self, worker: str) -> None:
        """A worker says that it began."""
        self._moved = self._place is not None
        self._place = worker

    def close(self) -> None:
        """Let it go, with the job as it is."""
        self._closing.set()

    def run(self) -> None:
        began = time.monotonic()
        _log.info("sent, attempt %d", self.job.attempt, extra={"job": self.job.id})
        try:
            future = self._send()
            try:
                self._see_through(future)
            finally:
                with suppress(Exception):  # of a connection that is gone
                    future.cancel()
        except ServiceError as error:  # a full disk, in the first place
            self._fail(error)
        except (Exception, CancelledError):  # the second where a connection ends in between
            # The edge of an attempt: the keeper queues the job again.
            _log.exception("the errand stumbled", extra={"job": self.job.id})
        took_s = time.monotonic() - began
        _log.info("the errand ended after %.1f s", took_s, extra={"job": self.job.id})

    # --- There -----------------------------------------------------------------------------------

    def _send(self) -> Future:
        from server.work.cluster_task import TaskRequest, work_here

        job, link, blobs = self.job, self._link, self._files
        parameters = job.parameters
        try:
            image = blobs.path(job.id, "image").read_bytes()
            mask = blobs.path(job.id, "mask").read_bytes() if parameters.has_mask else None
        except FileNotFoundError:  # cancelled just now, or else
            raise ServiceError("internal", "The pixels of this job are gone.") from None
        order = TaskRequest(
            job=Attempt(id=job.id, attempt=job.attempt, parameters=parameters),
            stop_at=job.stop_at,
            image=image,
            mask=mask,
            max_pixels=self._settings.max_pixels,
            fellows=_fellows(link.workers),
            versions=link.versions,
        )
        return link.client.submit(
            work_here,
            order,
            key=self.key,
            pure=False,
            resources=self._resources or None,
            workers=sorted(self._allowed),
        )

    def _see_through(self, future: Future) -> None:
        while not future.done():
            self._closing.wait(LOOK_EVERY_S)
            if self._closing.is_set() or self._link.is_cut_off:
                return
            wanted, stop_at = self._store.wanted(self.job)
            if not wanted:
                _log.info("abandoned", extra={"job": self.job.id})
                return
            if self._is_lost():
                return
            self._collect(stop_at)
        if future.status == "finished":
            self._take(future.result(timeout=FETCH_S))
        elif future.status == "error":
            # Dask gave up: its workers died in quick succession, or cannot even read the order.
            self._release(f"It failed on the cluster: {first_line(future.exception())}.")

    def _is_lost(self) -> bool:
        """Whether nobody works on it any more."""
        if self._place is None:  # nobody whom it may go to is left, or whoever has it is silent
            return not self._allowed & self._link.at_hand or self.key in self._link.stuck
        if not self._moved and self._place in self._link.workers:
            return False
        self._release("It was lost, with its machine or its connection.")
        return True

    def _collect(self, stop_at: int | None) -> None:
        """Ask how it goes."""
        from server.work.cluster_task import collect_here

        place = self._place
        if place is None:
            return
        try:
            told = self._link.client.run(
                collect_here,
                self.key,
                stop_at,
                workers=[place],
                on_error="return",
                callback_timeout=ASK_S,  # one that stands still would be waited for without end
            )[place]
        except Exception:  # whatever it is: the worker, or the scheduler, is gone or too busy
            return
        if not isinstance(told, BaseException):
            self._tell(told)

    # --- And back --------------------------------------------------------------------------------

    def _tell(self, told: list[dict[str, Any]]) -> None:
        """Write down how it goes."""
        job = self.job
        for each in told:
            if "progress" in each:
                progress = each["progress"]
                self._store.note_progress(
                    job, progress["data"], steps=progress["steps"], notes=progress["notes"]
                )
                continue
            name = each["preview"]["file"]
            try:
                self._files.write(job.id, name, each["data"], durable=False)
            except FileNotFoundError:
                return  # cancelled: the folder is gone
            self._store.note_preview(job, each["preview"])
            if self._preview is not None:
                self._files.remove(job.id, self._preview)
            self._preview = name

    def _take(self, answer: Answer) -> None:
        """Bring home what came of it."""
        job = self.job
        self._tell(answer.unheard)
        if answer.died is not None:
            self._release(answer.died)
        elif answer.failed is not None:
            failed = answer.failed
            code = failed["code"] if failed["code"] in MEANINGS else "internal"
            self._fail(ServiceError(code, failed["message"], failed["hint"]))
        elif answer.done is not None:
            try:
                for name, data in answer.files.items():
                    self._files.write(job.id, name, data)
            except FileNotFoundError:
                return  # cancelled
            if self._store.finish(job, **answer.done):
                keep = {"image", "mask", *answer.files, *filter(None, [self._preview])}
                self._files.remove_old_attempts(job.id, keep)
        else:
            _log.warning("%s has other versions by now", answer.worker)
            self._link.trusted = self._link.trusted - {answer.worker}

    def _release(self, cause: str) -> None:
        """Queue the job again, or fail it if that happened too often."""
        _log.warning("its worker was lost: %s", cause, extra={"job": self.job.id})
        self._store.release(self.job, cause, MOST_LOST)

    def _fail(self, error: ServiceError) -> None:
        """Record a failure; on a full disk that may take a while."""
        for wait_s in (0, 1, 5, 30):
            if self._closing.wait(wait_s):
                return
            try:
                self._store.fail(self.job, error)
            except ServiceError as full:
                _log.error("the failure cannot be recorded: %s", full, extra={"job": self.job.id})
            else:
                return


def _fellows(workers: dict[str, int]) -> dict[str, int]:
    """How many jobs the machine of each worker may have at a time."""
    machines: dict[str, int] = {}
    for worker, slots in workers.items():
        machine = worker.rpartition(":")[0]
        machines[machine] = machines.get(machine, 0) + slots
    return {worker: machines[worker.rpartition(":")[0]] for worker in workers}
