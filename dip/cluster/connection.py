"""The connection of a batch to a Dask scheduler, and what is known of its workers."""

from __future__ import annotations

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
PATIENCE_S = 600.0
ANSWER_S = 60.0
SILENT_S = 60.0
"""A worker whose heartbeats stop for so long gets nothing, and others get what it had.

Dask's own limit is five minutes, set where the scheduler is started (`worker-ttl`). Workers send
heartbeats every half second, or every six seconds where there are a thousand, and while they fit,
too: that is done by processes beside them. Only a machine that is frozen, cut off or out of memory
is silent for a minute; where it comes back, it is given work again.
"""
_MOST_SILENCE_AT_ONCE_S = 5.0


class ClusterLink:
    """A connection that can be made anew.

    Parameters
    ----------
    settings : ClusterSettings
    hear : callable
        Is given what workers say of their progress, as Dask wraps it; from another thread.
    patience_s : float
        How long the scheduler may be away.
    insist : bool
        Whether there must be workers now, all of which will do. Else those that are there are
        met by `count_workers` and `meet_newcomers`.

    Attributes
    ----------
    client : distributed.Client
    workers : dict
        How many photos each worker takes at a time, by its address.
    silent : frozenset of str
        Workers that are still there for the scheduler, and gave no sign of life for a while. They
        are not among `workers`.
    stuck : frozenset of str
        Keys of what the silent ones were given.
    trusted : set of str
        Workers that said what they are, and will do. Only these are given anything: one that
        cannot even read what it is sent would die of every photo in turn.
    versions : dict
        Of this side.
    lost : bool
        Whether the scheduler was found to be away.

    Raises
    ------
    ClusterError
        The extra 'cluster' is not installed, nobody answers, there is no worker, or a worker has
        other versions than this side.
    """

    def __init__(
        self,
        settings: ClusterSettings,
        hear: Callable[[tuple[float, Any]], None],
        *,
        patience_s: float = PATIENCE_S,
        insist: bool = True,
    ) -> None:
        self._settings = settings
        self._hear = hear
        self._patience_s = patience_s
        self.versions = versions()
        self.workers: dict[str, int] = {}
        self.silent: frozenset[str] = frozenset()
        self.stuck: frozenset[str] = frozenset()
        self._heartbeats: dict[str, tuple[float, float]] = {}
        self._counted = time.monotonic()
        self.trusted: set[str] = set()
        self._asked: set[str] = set()
        self._introduced: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self.lost = False
        self.client = self._connect(CONNECT_S if insist else RECONNECT_S)
        if not insist:
            return
        try:
            self._meet_first_workers()
        except BaseException:
            self.close()
            raise

    @property
    def slots(self) -> int:
        """Photos that can be worked on at the same time."""
        return sum(self.workers[worker] for worker in self.at_hand)

    @property
    def at_hand(self) -> frozenset[str]:
        """Workers that are there and will do."""
        return frozenset(self.trusted & self.workers.keys())

    @property
    def is_cut_off(self) -> bool:
        """Whether the scheduler is away."""
        return self.lost or self.client.status != "running"

    def close(self) -> None:
        """End the connection, and drop what is on its way."""
        with contextlib.suppress(Exception):  # whatever state the cluster is in by now
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

        for name in (
            "distributed",
            "distributed.client",
            "tornado",
        ):  # what matters is said by this program
            logging.getLogger(name).setLevel(logging.CRITICAL)
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"})
        here = self._settings
        given = {
            "tls_ca_file": here.ca,
            "tls_client_cert": here.certificate,
            "tls_client_key": here.key,
        }
        named = {name: str(path) for name, path in given.items() if path is not None}
        try:
            security = None
            if here.address.startswith("tls://"):
                security = Security(require_encryption=True, **named)
                if security.get_connection_args("client")["ssl_context"] is None:
                    raise ValueError("there is no certificate for tls://")
            client = Client(
                here.address, timeout=timeout_s, security=security, set_as_default=False
            )
            client.subscribe_topic(TOPIC, self._hear)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise ClusterError(
                f"No Dask scheduler answers at {here.address}: {first_line(error)}.",
                "Start one (dask scheduler), or check the address; "
                "for tls:// its certificates: --tls-ca, --tls-cert, --tls-key.",
            ) from error
        return client

    def reconnect(self) -> None:
        """Wait for the scheduler.

        Raises
        ------
        ClusterError
            It was away for too long.
        """
        self.close()
        ends = time.monotonic() + self._patience_s
        while True:
            try:
                self.client = self._connect(RECONNECT_S)
                break
            except ClusterError as error:
                if time.monotonic() > ends:
                    raise ClusterError(
                        f"The scheduler was away for {self._patience_s / 60:.0f} min.",
                        "Start the batch again when it is back: what is done stays done.",
                    ) from error
                time.sleep(1.0)
        self.lost = False
        self.trusted.clear()  # others may be at the same addresses by now
        self._asked.clear()

    def meet_newcomers(self) -> list[tuple[str, str]]:
        """Ask whoever has come what it is, without waiting for the answer.

        Returns
        -------
        list of (str, str)
            Workers that were found not to do since the last call, each with the reason.
        """
        for worker in self.workers.keys() - self._asked:
            self._asked.add(worker)
            threading.Thread(target=self._ask, args=(worker,), daemon=True).start()
        unfit = []
        while not self._introduced.empty():
            worker, found = self._introduced.get()
            if isinstance(found, BaseException):
                unfit.append((worker, first_line(found)))
            elif found["versions"] != self.versions:
                unfit.append((worker, f"it has {listed(found['versions'])}"))
            else:
                self.trusted = self.trusted | {worker}  # anew: other threads look at it
        return unfit

    def _ask(self, worker: str) -> None:
        from dip.cluster.worker_task import describe_worker

        try:
            found = self.client.run(describe_worker, None, workers=[worker], on_error="return")
            self._introduced.put((worker, found[worker]))
        except Exception:  # it, or the scheduler, is gone again
            self._asked.discard(worker)

    def _meet_first_workers(self) -> None:
        ends = time.monotonic() + CONNECT_S
        self.count_workers()
        while not sum(self.workers.values()) and time.monotonic() < ends and not self.lost:
            time.sleep(0.2)
            self.count_workers()
        if not sum(self.workers.values()):
            wanted = self._settings.wanted
            raise ClusterError(
                f"The cluster at {self._settings.address} has no workers"
                + (f" with {wanted}." if wanted else "."),
                "Start some: dask worker ADDRESS --nthreads 1"
                + (f" --resources {wanted.replace(', ', ',')}." if wanted else "."),
            )
        for worker, found in self.describe_workers().items():
            self._check(worker, found)
            self.trusted.add(worker)
        self._asked = set(self.trusted)

    def _check(self, worker: str, found: dict[str, Any] | BaseException) -> None:
        """Refuse to begin with a worker that would give other results, or none."""
        if isinstance(found, BaseException):
            raise ClusterError(
                f"The worker {worker} cannot work for dip: {first_line(found)}.",
                "Install the same dip there, with its extra 'cluster'.",
            )
        if found["versions"] != self.versions:
            raise ClusterError(
                f"The worker {worker} on {found['host']} has {listed(found['versions'])}; "
                f"here it is {listed(self.versions)}.",
                "Install the same versions on both sides: results would differ.",
            )

    def describe_workers(self, probe: str | None = None) -> dict[str, Any]:
        """What each worker says of itself, or the error that kept it from that.

        Parameters
        ----------
        probe : str, optional
            Path of a file; each says what it reads there.
        """
        from dip.cluster.worker_task import describe_worker

        answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

        def ask() -> None:
            with contextlib.suppress(OSError):
                answers.put(self.client.run(describe_worker, probe, on_error="return"))

        # One that stands still would be waited for without end.
        threading.Thread(target=ask, daemon=True).start()
        try:
            return answers.get(timeout=ANSWER_S)
        except queue.Empty:
            raise ClusterError(
                "Not every worker of the cluster answers.", "Its dashboard shows which."
            ) from None

    def count_workers(self) -> None:
        """Note which workers there are, and how many photos each takes at a time."""
        try:
            info = self.client.scheduler_info(n_workers=-1)["workers"]
            silent = self._find_silent(info)
            held = self.client.processing() if silent else {}
        except (OSError, TimeoutError):
            self.lost = True
            return
        wanted = self._settings.resources
        counted = {}
        for worker, about in info.items():
            if worker in silent:
                continue
            has = about.get("resources", {})
            counts = [int(has.get(name, 0) // each) for name, each in wanted.items() if each]
            counted[worker] = min([about["nthreads"], *counts])
        self.workers = counted  # at once: other threads look at it
        self.silent = silent
        self.stuck = frozenset(key for worker in silent for key in held.get(worker, ()))

    def _find_silent(self, info: Mapping[str, Any]) -> frozenset[str]:
        """Whose heartbeat was for too long the one that the scheduler heard before."""
        now = time.monotonic()
        # No more: a pause of this side or of the scheduler says nothing of the workers.
        passed_s = min(now - self._counted, _MOST_SILENCE_AT_ONCE_S)
        self._counted = now
        before, self._heartbeats = self._heartbeats, {}
        for worker, about in info.items():
            last, silent_s = before.get(worker, (None, 0.0))
            heard = about["last_seen"]
            self._heartbeats[worker] = heard, silent_s + passed_s if heard == last else 0.0
        return frozenset(
            worker for worker, (_, silent_s) in self._heartbeats.items() if silent_s >= SILENT_S
        )


def listed(found: Mapping[str, str]) -> str:
    """Versions for a person."""
    return ", ".join(f"{name} {number}" for name, number in found.items())


def first_line(error: BaseException | None) -> str:
    """An error in one line."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")
