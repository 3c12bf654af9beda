"""Hands the jobs of a service to an existing Dask cluster: `dip serve --cluster`.

The cluster gets as many jobs at a time as its workers take; one `RemoteAttempt` follows each. A
lost worker costs its jobs the attempt. While the scheduler is away, jobs wait safely in the store,
and the service says so; when it is back, everything is sent again. Sending twice does no harm: the
same job gives the same result, and the store accepts the latest attempt only.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from dip.cluster.connection import ClusterLink
from dip.cluster.options import ClusterSettings
from dip.errors import ClusterError
from server.errors import ServiceFailure
from server.jobs.files import JobFiles
from server.jobs.job import Job, State
from server.jobs.store import Store
from server.settings import ServerSettings
from server.work.dispatcher import Dispatcher
from server.work.worker_status import Problem

if TYPE_CHECKING:
    from distributed import Future

    from server.work.cluster_attempt import RemoteAttempt

LOOK_EVERY_S = 1.0
AGAIN_AFTER_S = 1.0

_log = logging.getLogger(__name__)


class ClusterDispatcher(Dispatcher):
    """Watches over the jobs that are on a cluster.

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
        self.name = "cluster keeper"
        self._cluster = cluster
        self._link: ClusterLink | None = None
        self._errands: dict[str, RemoteAttempt] = {}
        self._introduction: Future | None = None
        self._met = False
        self._unfit: dict[str, str] = {}
        self._silent: frozenset[str] = frozenset()
        self._looked = 0.0
        self._not_before = 0.0
        self._away: tuple[float, str] | None = None

    # --- What others ask -------------------------------------------------------------------------

    def state(self) -> str:
        if self._away is not None:
            return "failing"
        link = self._link
        if link is None or not link.slots:
            return "starting"
        return "busy" if self._errands else "idle"

    def trouble(self) -> Problem | None:
        away = self._away
        if away is None:
            return None
        since = datetime.fromtimestamp(away[0], timezone.utc)
        return {
            "code": "cluster_away",
            "message": f"The cluster at {self._cluster.address} has been of no use since "
            f"{since:%Y-%m-%d %H:%M:%S} UTC. {away[1]}",
            "hint": "Start its scheduler and workers; jobs are kept, and go on by themselves.",
        }

    # --- The thread ------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._tidy()
        self._end_errands()
        if self._link is not None and self._link.is_cut_off:
            self._cut(self._link)
        if self._link is None:
            if time.monotonic() >= self._not_before:
                self._connect()
            return
        self._look_around(self._link)
        while len(self._errands) < self._link.slots:
            job = self._store.claim()
            if job is None:
                break
            self._begin(self._link, job)

    def _shutdown(self) -> None:
        for errand in self._errands.values():
            errand.close()
        if self._link is not None:
            self._link.close()

    def _begin(self, link: ClusterLink, job: Job) -> None:
        from server.work.cluster_attempt import RemoteAttempt

        errand = RemoteAttempt(
            self._settings, self._store, self._files, link, job, dict(self._cluster.resources)
        )
        self._errands[errand.key] = errand
        errand.start()

    def _end_errands(self) -> None:
        """Forget those that have ended, and queue what they did not bring to an end."""
        self._errands = {key: each for key, each in self._errands.items() if each.is_alive()}
        seen_to = {errand.job.id for errand in self._errands.values()}
        for job in self._store.jobs(State.RUNNING, limit=10_000):
            if job.id not in seen_to and self._store.release(job, None):
                _log.info("queued again", extra={"job": job.id})

    # --- The connection --------------------------------------------------------------------------

    def _connect(self) -> None:
        try:
            self._link = ClusterLink(self._cluster, self._hear, insist=False)
        except ClusterError as error:
            self._note_away(error.message)
            self._not_before = time.monotonic() + AGAIN_AFTER_S
            return
        self._looked = 0.0
        self._introduction, self._met = None, False
        self._unfit = {}
        _log.info("connected to the cluster at %s", self._cluster.address)

    def _cut(self, link: ClusterLink) -> None:
        self._note_away("Its scheduler does not answer.")
        for errand in self._errands.values():
            errand.close()
        self._errands = {}  # whatever they still bring is of attempts that no longer count
        link.close()
        self._link = None
        self._not_before = time.monotonic() + AGAIN_AFTER_S  # first, all jobs are queued again

    def _hear(self, event: tuple[float, Any]) -> None:
        says = event[1]
        errand = self._errands.get(says.get("errand", "")) if isinstance(says, dict) else None
        if errand is not None:
            errand.begun_on(says["worker"])

    def _look_around(self, link: ClusterLink) -> None:
        """See who is there, and who will do."""
        if time.monotonic() - self._looked >= LOOK_EVERY_S:
            self._looked = time.monotonic()
            link.count_workers()
            for worker in link.silent - self._silent:
                _log.warning("the worker %s gives no sign of life", worker)
            self._silent = link.silent
        for worker, why in link.meet_newcomers():
            _log.warning("the worker %s is given nothing: %s", worker, why)
            self._unfit[worker] = why
        if link.slots:
            if self._away is not None:
                _log.info("the cluster takes %d jobs at a time", link.slots)
            self._away = None
            self._meet(link)
            return
        if link.workers.keys() <= self._unfit.keys():  # else some have yet to say what they are
            wanted = f" with {self._cluster.wanted}" if self._cluster.resources else ""
            named = [f"{worker} will not do: {why}." for worker, why in self._unfit.items()]
            self._note_away(" ".join(named[:1]) or f"It has no workers{wanted}.")

    def _meet(self, link: ClusterLink) -> None:
        """Have one worker say what it computes on, for those who ask what there is."""
        from server.work.cluster_task import introduce_here

        if self._introduction is None:
            workers = sorted(link.at_hand)
            self._introduction = link.client.submit(introduce_here, workers=workers, pure=False)
        elif self._introduction.status == "finished" and not self._met:
            found = self._introduction.result(timeout=10)
            self._store.set_status("worker", {"cluster": self._cluster.address, **found})
            self._met = True

    def _note_away(self, why: str) -> None:
        """Note why nobody works; since when, if that is new."""
        if self._away is None:
            _log.warning("the cluster is away: %s", why)
        self._away = (time.time() if self._away is None else self._away[0]), why
