"""The dispatcher of a service to an existing Dask cluster: `dip serve --cluster`.

The cluster gets as many jobs at a time as its workers take; a `ClusterAttempt` follows each. A lost
worker costs its jobs the attempt. While the scheduler is away, jobs wait safely in the store, and
the service says so; when it is back, all of them are sent again. That does no harm: the same job
has the same result, and the store accepts only the latest attempt.
"""

from __future__ import annotations

import logging
from datetime import datetime, timezone

from dip.cluster.connection import ClusterConnection
from dip.cluster.options import ClusterSettings
from dip.cluster.remote_task import RemoteTask
from dip.cluster.scheduler import ClusterScheduler
from dip.cluster.worker_task import TaskAnswer, TaskRequest
from server.errors import ServiceFailure
from server.jobs.files import JobFiles
from server.jobs.job import State
from server.jobs.store import Store
from server.settings import ServerSettings
from server.work.cluster_attempt import CHILD, ClusterAttempt
from server.work.dispatcher import Dispatcher
from server.work.worker_status import Problem

_log = logging.getLogger(__name__)


class ClusterDispatcher(Dispatcher):
    """The dispatcher of a service whose jobs are worked on by a cluster.

    Parameters
    ----------
    settings : ServerSettings
    store : Store
    files : JobFiles
    cluster : ClusterSettings

    Raises
    ------
    ServiceFailure
        The extra 'cluster' is not installed.
    """

    def __init__(
        self, settings: ServerSettings, store: Store, files: JobFiles, cluster: ClusterSettings
    ) -> None:
        super().__init__(settings, store, files)
        try:
            import distributed  # noqa: F401
        except ModuleNotFoundError as error:
            raise ServiceFailure(
                f"{error.name} is not installed.",
                "Install the extra 'cluster': pip install --editable '.[cluster]'.",
            ) from error
        self.name = "cluster dispatcher"
        self._cluster = cluster
        self._scheduler = ClusterScheduler(cluster, self._begin, _log.warning)
        self._introduction: Introduction | None = None

    # --- WorkerStatus ----------------------------------------------------------------------------

    def state(self) -> str:
        scheduler = self._scheduler
        if scheduler.away is not None:
            return "failing"
        if not scheduler.slots:
            return "starting"
        return "busy" if scheduler.tasks else "idle"

    def trouble(self) -> Problem | None:
        away = self._scheduler.away
        if away is None:
            return None
        since = datetime.fromtimestamp(away[0], timezone.utc)
        reason = f"{away[1][0].upper()}{away[1][1:]}."
        return {
            "code": "cluster_away",
            "message": f"The cluster at {self._cluster.address} has been of no use since "
            f"{since:%Y-%m-%d %H:%M:%S} UTC. {reason}",
            "hint": "Start its scheduler and workers; jobs are kept, and go on by themselves.",
        }

    # --- The thread ------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._tidy()
        self._scheduler.step()
        self._introduce()
        self._requeue_lost()

    def _shutdown(self) -> None:
        self._scheduler.close()

    def _begin(self, connection: ClusterConnection) -> ClusterAttempt | None:
        """An attempt at the next job, if there is one."""
        job = self._store.claim()
        if job is None:
            return None
        resources, max_pixels = self._cluster.resources, self._settings.max_pixels
        return ClusterAttempt(connection, resources, self._store, self._files, job, max_pixels)

    def _requeue_lost(self) -> None:
        """Queue the running jobs whose attempts ended without an end of the job."""
        followed = {task.name for task in self._scheduler.tasks}
        for job in self._store.jobs(State.RUNNING, limit=10_000):
            if job.id not in followed and self._store.release(job, None):
                _log.info("queued again", extra={"job": job.id})

    def _introduce(self) -> None:
        """Let one worker describe its devices, once for each connection."""
        connection, last = self._scheduler.connection, self._introduction
        if connection is None or not connection.slots:
            return
        if last is None or last.connection is not connection or last.was_lost:
            self._introduction = Introduction(connection, self._store, self._cluster.address)
            self._introduction.start()


class Introduction(RemoteTask):
    """A task that describes the devices of a worker, for `GET /v1/capabilities`."""

    def __init__(self, connection: ClusterConnection, store: Store, address: str) -> None:
        super().__init__(connection, {})
        self._store, self._address = store, address
        self.was_lost = False

    def request(self) -> TaskRequest:
        content = {"do": "introduce"}
        return TaskRequest(module=CHILD, content=content, versions=self.connection.versions)

    def on_answer(self, answer: TaskAnswer) -> None:
        if answer.reply is not None:
            status = {"cluster": self._address, **answer.reply.content["done"]}
            self._store.set_status("worker", status)

    def on_lost(self, cause: str | None) -> None:
        self.was_lost = True
