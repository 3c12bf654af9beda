"""Keep a Dask cluster busy: connect, watch its workers, and begin as many tasks as it takes.

Dask has the scheduler, the dashboard, the resources and the ways to be deployed; here is the part
that `dip batch` and `dip serve` add, which have the tasks. If the scheduler is lost, all tasks are
lost with it; a new connection is made, and they are sent again.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from dip.cluster.connection import ClusterConnection
from dip.cluster.options import ClusterSettings
from dip.cluster.remote_task import RemoteTask
from dip.errors import ClusterError

RECONNECT_AFTER_S = 1.0


class ClusterScheduler:
    """Begins tasks and watches the cluster, one step at a time.

    Parameters
    ----------
    settings : ClusterSettings
    begin : callable
        Makes the next task for a connection, not yet started; None where there is none.
    note : callable
        Called with news of the cluster, in a sentence without a full stop.
    look_ahead : bool
        Send a few more tasks than the workers take: a free worker has the next one at once.
    require_workers : bool
        As for `ClusterConnection`; then the connection is made at once.

    Attributes
    ----------
    tasks : list of RemoteTask
        Tasks whose threads run.
    connection : ClusterConnection or None
    away : tuple of (float, str), optional
        Since when, in seconds since the epoch, and why the cluster works on no task.
    """

    def __init__(
        self,
        settings: ClusterSettings,
        begin: Callable[[ClusterConnection], RemoteTask | None],
        note: Callable[[str], None],
        *,
        look_ahead: bool = False,
        require_workers: bool = False,
    ) -> None:
        self._settings = settings
        self._begin, self._note, self._look_ahead = begin, note, look_ahead
        self.tasks: list[RemoteTask] = []
        self.away: tuple[float, str] | None = None
        self.connection: ClusterConnection | None = None
        self._not_before = 0.0
        if require_workers:
            self.connection = ClusterConnection(settings, require_workers=True)

    @property
    def slots(self) -> int:
        """Tasks that the cluster takes at a time."""
        return 0 if self.connection is None else self.connection.slots

    def step(self) -> None:
        """Do all that is due; call it a few times a second."""
        self.tasks = [task for task in self.tasks if task.is_alive()]
        if self.connection is not None and self.connection.is_cut_off:
            self._note_away("its scheduler is cut off")
            self.connection.close()
            self.connection = None
            self._not_before = time.monotonic() + RECONNECT_AFTER_S  # its tasks end before
        if self.connection is None:
            if time.monotonic() >= self._not_before:
                self._connect()
            return
        self._watch_workers(self.connection)
        slots = self.connection.slots
        most = slots + max(2, slots // 4) if self._look_ahead and slots else slots
        while len(self.tasks) < most:
            task = self._begin(self.connection)
            if task is None:
                break
            self.tasks.append(task)
            task.start()

    def close(self) -> None:
        """Drop all tasks, and end the connection."""
        for task in self.tasks:
            task.close()
        if self.connection is not None:
            self.connection.close()
        for task in self.tasks:
            task.join(1.0)

    def _connect(self) -> None:
        try:
            self.connection = ClusterConnection(self._settings, require_workers=False)
        except ClusterError as error:
            self._note_away(error.message.rstrip("."))
            self._not_before = time.monotonic() + RECONNECT_AFTER_S

    def _watch_workers(self, connection: ClusterConnection) -> None:
        for news in connection.watch():
            self._note(news)
        trouble = connection.trouble()
        if trouble is not None:
            self._note_away(trouble)
        elif connection.slots and self.away is not None:
            self._note(f"the cluster is back and takes {connection.slots} at a time")
            self.away = None

    def _note_away(self, reason: str) -> None:
        """Note why the cluster works on no task; since when, if that is new."""
        if self.away is None:
            self._note(f"waiting for the cluster: {reason}")
        self.away = (time.time() if self.away is None else self.away[0]), reason
