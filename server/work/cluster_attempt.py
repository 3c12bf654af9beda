"""One attempt at one job on a cluster: the source of its task, and the sink of its result."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from dip.cluster.connection import ClusterConnection
from dip.cluster.remote_task import RemoteTask, TaskLost
from dip.cluster.worker_task import TaskAnswer, TaskRequest
from dip.machine.pipe import Frame
from server.errors import MEANINGS, ServiceError
from server.jobs.files import JobFiles
from server.jobs.job import Job
from server.jobs.store import Store
from server.work.full_disk import reports_left_out, write_result

MAX_LOST = 3
"""A job that this many workers were lost with is failed."""

CHILD = "server.work.cluster_child"

_log = logging.getLogger(__name__)


class ClusterAttempt(RemoteTask):
    """An attempt at a job. If it cannot go on, it ends, and the dispatcher queues the job again.

    Parameters
    ----------
    connection : ClusterConnection
    resources : mapping
        The resources of a worker that the job takes.
    store : Store
    files : JobFiles
    job : Job
        Claimed from the store.
    max_pixels : int
        Of one image.
    """

    def __init__(
        self,
        connection: ClusterConnection,
        resources: Mapping[str, float],
        store: Store,
        files: JobFiles,
        job: Job,
        max_pixels: int,
    ) -> None:
        super().__init__(connection, resources)
        self.name = job.id
        self._job = job
        self._store, self._files, self._max_pixels = store, files, max_pixels
        self._preview: str | None = None
        self._has_new_preview = self._has_sent_stop = False
        self._log_fields = {"job": job.id}

    def run(self) -> None:
        _log.info("sent, attempt %d", self._job.attempt, extra=self._log_fields)
        super().run()
        _log.info("the attempt ended", extra=self._log_fields)

    def request(self) -> TaskRequest:
        job = self._job
        try:
            blobs = tuple(self._files.read(job.id, name) for name in job.parameters.files)
        except FileNotFoundError:  # cancelled just now, or lost
            raise ServiceError("internal", "The pixels of this job are gone.") from None
        return TaskRequest(
            module=CHILD,
            content={
                "do": "work",
                "id": job.id,
                "attempt": job.attempt,
                "parameters": job.parameters.as_json(),
                "settings": asdict(job.parameters.settings),
                "stop_at": job.stop_at,
                "max_pixels": self._max_pixels,
            },
            blobs=blobs,
            versions=self.connection.versions,
            slots_per_host=slots_per_host(self.connection.workers),
        )

    def poll(self) -> bool:
        wanted, stop_at = self._store.wanted(self._job)
        if not wanted:
            _log.info("abandoned", extra=self._log_fields)
            return False
        if self.worker is None:
            super().poll()
        elif self.has_moved or self.worker not in self.connection.workers:
            # A photo of a batch stays with Dask, which begins it again. A job does not: the store
            # counts its attempts and its lost workers, and ignores events of an old attempt.
            raise TaskLost("It was lost, with its machine or its connection.")
        if stop_at is not None and not self._has_sent_stop:
            self._has_sent_stop = self.send({"id": self._job.id, "stop_at": stop_at})
        if self._has_new_preview:
            self._has_new_preview = False
            self._store_preview(self.fetch_blobs())
        return True

    def on_event(self, event: dict[str, Any]) -> None:
        content = event["content"]
        if "progress" in content:
            with reports_left_out():
                self._store.note_progress(self._job, **content["progress"])
        elif "remarks" in content:
            with reports_left_out():
                self._store.note_remarks(self._job, content["remarks"])
        elif "preview" in content:
            self._has_new_preview = True

    def on_answer(self, answer: TaskAnswer) -> None:
        self._store_preview(answer.unfetched)
        if answer.death is not None:
            raise TaskLost(answer.death["message"])
        assert answer.reply is not None
        error = answer.reply.content.get("error")
        if error is not None:
            code = error["code"] if error["code"] in MEANINGS else "internal"
            self._fail(ServiceError(code, error["message"], error["hint"]))
        else:
            self._store_results(answer.reply.content["done"], answer.reply.blobs)

    def on_lost(self, cause: str | None) -> None:
        """Queue the job again, or fail it if its workers were lost too often."""
        if cause is not None:  # else the dispatcher queues it, and the job is not blamed
            _log.warning("its worker was lost: %s", cause, extra=self._log_fields)
            self._store.release(self._job, cause, MAX_LOST)

    def on_error(self, error: BaseException) -> None:
        if isinstance(error, ServiceError):  # mostly a full disk
            self._fail(error)
        else:
            super().on_error(error)

    def _store_preview(self, frame: Frame | None) -> None:
        if frame is None:
            return
        job, preview = self._job, frame.content["preview"]
        name = preview["file"]
        with reports_left_out():
            try:
                self._files.write(job.id, name, frame.blobs[0], durable=False)
            except FileNotFoundError:
                return  # cancelled: the folder is gone
            self._store.note_preview(job, preview)
            if self._preview is not None:
                self._files.remove(job.id, self._preview)
            self._preview = name

    def _store_results(self, done: dict[str, Any], blobs: tuple[bytes, ...]) -> None:
        job = self._job
        names = [result["file"] for result in done["results"]]
        for name, data in zip(names, blobs, strict=True):
            if not write_result(self._store, self._files, job, name, data):
                return
        if self._store.finish(job, **done):
            keep = {*job.parameters.files, *names, *filter(None, [self._preview])}
            self._files.remove_old_attempts(job.id, keep)

    def _fail(self, error: ServiceError) -> None:
        """Record a failure; on a full disk that may take a while."""
        for wait_s in (0, 1, 5, 30):
            if self.closing.wait(wait_s):
                return
            try:
                self._store.fail(self._job, error)
            except ServiceError as full:
                _log.error("the failure cannot be recorded: %s", full, extra=self._log_fields)
            else:
                return


def slots_per_host(workers: Mapping[str, int]) -> dict[str, int]:
    """How many jobs the machine of each worker takes at a time, by the worker's address."""
    machines: dict[str, int] = {}
    for worker, slots in workers.items():
        machine = worker.rpartition(":")[0]
        machines[machine] = machines.get(machine, 0) + slots
    return {worker: machines[worker.rpartition(":")[0]] for worker in workers}
