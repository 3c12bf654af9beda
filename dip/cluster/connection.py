"""The connection to a Dask scheduler: the workers, their versions, the events of their tasks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dip.cluster.options import ClusterSettings
from dip.errors import ClusterError
from dip.versions import versions

if TYPE_CHECKING:
    from distributed import Client

CONNECT_S = 20.0
RECONNECT_S = 5.0
COUNT_EVERY_S = 1.0
ANSWER_S = 60.0
SILENT_S = 60.0
"""A worker without a heartbeat for so long gets no tasks, and other workers get the tasks it had.

Dask's own limit is five minutes, set where the scheduler is started (`worker-ttl`). Workers send
heartbeats every half second, or every six seconds where there are a thousand, also while a fit runs
in the process beside them. Only a machine that is frozen, cut off or out of memory is silent for a
minute; when it comes back, it gets tasks again.
"""
_LONGEST_SILENCE_STEP_S = 5.0


class ClusterConnection:
    """A connection to a scheduler; where it is lost, its owner makes a new one.

    Parameters
    ----------
    settings : ClusterSettings
    require_workers : bool
        Wait for workers, and refuse a cluster with an incompatible worker. Otherwise `watch` finds
        and checks the workers.

    Attributes
    ----------
    client : distributed.Client
    listeners : dict
        Called with the events of a task, from another thread, by the task's key.
    workers : dict
        Tasks that each worker takes at a time, by its address.
    silent : frozenset of str
        Workers that the scheduler still lists, without a heartbeat for `SILENT_S`. They are not
        among `workers`.
    stuck : frozenset of str
        Keys of the tasks that silent workers have.
    compatible : frozenset of str
        Workers that have the versions of this side. Only they get tasks: a worker that cannot even
        load a task would die of every task in turn.
    incompatible : dict
        The reasons why the others get none, by the worker's address.
    versions : dict
        Of this side.
    is_lost : bool
        Whether a call to the scheduler failed.

    Raises
    ------
    ClusterError
        The extra 'cluster' is not installed, no scheduler answers, there is no worker, or a worker
        has other versions than this side.
    """

    def __init__(self, settings: ClusterSettings, *, require_workers: bool) -> None:
        self._settings = settings
        self.versions = versions()
        self.listeners: dict[str, Callable[[dict[str, Any]], None]] = {}
        self.workers: dict[str, int] = {}
        self.silent: frozenset[str] = frozenset()
        self.stuck: frozenset[str] = frozenset()
        self.compatible: frozenset[str] = frozenset()
        self.incompatible: dict[str, str] = {}
        self.is_lost = False
        self._heartbeats: dict[str, tuple[float, float]] = {}
        self._counted = 0.0
        self._asked: set[str] = set()
        self._descriptions: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self.client = self._connect(CONNECT_S if require_workers else RECONNECT_S)
        if not require_workers:
            return
        try:
            self._require_workers()
        except BaseException:
            self.close()
            raise

    @property
    def slots(self) -> int:
        """Tasks that the cluster takes at a time."""
        return sum(self.workers[worker] for worker in self.available)

    @property
    def available(self) -> frozenset[str]:
        """Workers that get tasks."""
        return self.compatible & self.workers.keys()

    @property
    def is_cut_off(self) -> bool:
        """Whether the scheduler is away."""
        return self.is_lost or self.client.status != "running"

    def close(self) -> None:
        """End the connection and drop all its tasks."""
        with contextlib.suppress(Exception):  # the cluster may be in any state
            self.client.close(timeout=2)

    def _connect(self, timeout_s: float) -> Client:
        try:
            import dask
            from distributed import Client
            from distributed.security import Security
        except ModuleNotFoundError as error:
            raise ClusterError(
                f"{error.name} is not installed.",
                "Install the extra 'cluster': pip install --editable '.[cluster]'.",
            ) from error
        from dip.cluster.worker_task import TOPIC

        for name in ("distributed", "distributed.client", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # this program reports instead
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"})
        here = self._settings
        files = {
            "tls_ca_file": here.ca,
            "tls_client_cert": here.certificate,
            "tls_client_key": here.key,
        }
        given = {name: str(path) for name, path in files.items() if path is not None}
        try:
            security = None
            if here.address.startswith("tls://"):
                security = Security(require_encryption=True, **given)
                if security.get_connection_args("client")["ssl_context"] is None:
                    raise ValueError("there is no certificate for tls://")
            client = Client(
                here.address, timeout=timeout_s, security=security, set_as_default=False
            )
            client.subscribe_topic(TOPIC, self._receive)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise ClusterError(
                f"No Dask scheduler answers at {here.address}: {first_line(error)}.",
                "Start one (dask scheduler), or check the address; "
                "for tls:// its certificates: --tls-ca, --tls-cert, --tls-key.",
            ) from error
        return client

    def _receive(self, event: tuple[float, Any]) -> None:
        """Pass an event on: Dask sends those of all clients, with their times."""
        content = event[1]
        listener = self.listeners.get(content.get("key"))
        if listener is not None:
            listener(content)

    # --- Workers ---------------------------------------------------------------------------------

    def trouble(self) -> str | None:
        """The reason why no worker is available; None where there is one, or may be soon."""
        fitting = {worker for worker, slots in self.workers.items() if slots}
        if self.slots or not fitting <= self.incompatible.keys():
            return None
        for worker in fitting:
            return f"the worker {worker} cannot work for this dip: {self.incompatible[worker]}"
        wanted = self._settings.wanted
        return "it has no workers" + (f" with {wanted}" if wanted else "")

    def watch(self) -> list[str]:
        """Count the workers, ask new ones for their versions, and return the news.

        It does not wait for the answers of workers; call it often.
        """
        news = []
        if time.monotonic() - self._counted >= COUNT_EVERY_S:
            silent = self.silent
            self._count_workers()
            for worker in self.silent - silent:
                news.append(f"the worker {worker} gives no sign of life; others take its tasks")
        for worker in self.workers.keys() - self._asked:
            self._asked.add(worker)
            # A thread for each: a frozen worker never answers.
            threading.Thread(target=self._ask, args=(worker,), daemon=True).start()
        while not self._descriptions.empty():
            worker, found = self._descriptions.get()
            if isinstance(found, BaseException):
                self.incompatible[worker] = first_line(found)
            elif found["versions"] != self.versions:
                self.incompatible[worker] = (
                    f"it has {_listed(found['versions'])}, here it is {_listed(self.versions)}"
                )
            else:
                self.compatible = self.compatible | {worker}  # a new set: other threads read it
                continue
            news.append(f"the worker {worker} is given nothing: {self.incompatible[worker]}")
        return news

    def _require_workers(self) -> None:
        """Wait for workers that have slots and are all compatible."""
        began = time.monotonic()
        while not self.slots or self.workers.keys() - self.compatible:
            self.watch()
            for worker, reason in self.incompatible.items():
                raise ClusterError(
                    f"The worker {worker} cannot work for this dip: {reason}.",
                    "Install the same versions on both sides, with the extra 'cluster': "
                    "results would differ.",
                )
            if any(self.workers.values()):
                timeout_s, error = ANSWER_S, _no_answer()
            else:
                wanted = self._settings.wanted
                timeout_s, error = (
                    CONNECT_S,
                    ClusterError(
                        f"The cluster at {self._settings.address} has no workers"
                        + (f" with {wanted}." if wanted else "."),
                        "Start some: dask worker ADDRESS --nthreads 1"
                        + (f" --resources {wanted.replace(', ', ',')}." if wanted else "."),
                    ),
                )
            if self.is_lost or time.monotonic() - began > timeout_s:
                raise error
            time.sleep(0.05)

    def discard(self, worker: str) -> None:
        """Give a worker no more tasks: it has other versions by now."""
        self.compatible = self.compatible - {worker}

    def _ask(self, worker: str) -> None:
        from dip.cluster.worker_task import describe_worker

        try:
            found = self.client.run(describe_worker, None, workers=[worker], on_error="return")
            self._descriptions.put((worker, found[worker]))
        except Exception:  # the worker or the scheduler is gone
            self._asked.discard(worker)

    def digests_of(self, path: str) -> list[str | None]:
        """The digest of a file as each worker reads it; None where a worker cannot.

        Raises
        ------
        ClusterError
            Not every worker answers.
        """
        from dip.cluster.worker_task import describe_worker

        try:
            found = self.client.run(
                describe_worker, path, on_error="return", callback_timeout=ANSWER_S
            )
        except (OSError, asyncio.TimeoutError):
            raise _no_answer() from None
        return [each["probe"] if isinstance(each, dict) else None for each in found.values()]

    def _count_workers(self) -> None:
        """Note which workers there are, and how many tasks each takes at a time."""
        try:
            info = self.client.scheduler_info(n_workers=-1)["workers"]
        except OSError:
            self.is_lost = True
            return
        silent = self._find_silent(info)
        held = self.tasks() if silent else {}
        wanted = self._settings.resources
        counted = {}
        for worker, about in info.items():
            if worker in silent:
                continue
            has = about.get("resources", {})
            counts = [int(has.get(name, 0) // each) for name, each in wanted.items() if each]
            counted[worker] = min([about["nthreads"], *counts])
        self.workers = counted  # a new dict: other threads read it
        self.silent = silent
        self.stuck = frozenset().union(*(held.get(worker, ()) for worker in silent))

    def tasks(self) -> dict[str, tuple[str, ...]]:
        """The keys of the tasks that each worker has, by its address."""
        try:
            return dict(self.client.processing())
        except OSError:
            self.is_lost = True
            return {}

    def _find_silent(self, info: Mapping[str, Any]) -> frozenset[str]:
        """Workers whose last heartbeat has been the same one for too long."""
        now = time.monotonic()
        # At most one step: a pause of this side or of the scheduler is not a worker's silence.
        passed_s = min(now - self._counted, _LONGEST_SILENCE_STEP_S)
        self._counted = now
        before, self._heartbeats = self._heartbeats, {}
        for worker, about in info.items():
            last, silent_s = before.get(worker, (None, 0.0))
            seen = about["last_seen"]
            self._heartbeats[worker] = seen, silent_s + passed_s if seen == last else 0.0
        return frozenset(
            worker for worker, (_, silent_s) in self._heartbeats.items() if silent_s >= SILENT_S
        )


def _no_answer() -> ClusterError:
    return ClusterError("Not every worker of the cluster answers.", "Its dashboard shows which.")


def _listed(found: Mapping[str, str]) -> str:
    """Versions as a text for people."""
    return ", ".join(f"{name} {number}" for name, number in found.items())


def first_line(error: BaseException | None) -> str:
    """An error in one line, without a full stop."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")
