"""The client's side of a task on a cluster; `dip.cluster.worker_task` is the worker's side."""

from __future__ import annotations

import logging
import queue
import threading
import uuid
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dip.cluster.connection import ClusterConnection, first_line
from dip.cluster.worker_task import TaskAnswer, TaskRequest, fetch_blobs, run_remote, send_to_task
from dip.machine.pipe import Frame

if TYPE_CHECKING:
    from distributed import Future

POLL_S = 0.25
CALL_TIMEOUT_S = 10.0
FETCH_TIMEOUT_S = 600.0

_log = logging.getLogger(__name__)


class TaskLost(Exception):
    """A task was lost on the cluster, and is to be sent again.

    Parameters
    ----------
    cause : str, optional
        The reason, where the task may be to blame for it.
    """

    def __init__(self, cause: str | None = None) -> None:
        super().__init__(cause)
        self.cause = cause


class RemoteTask(threading.Thread):
    """Sends a task and follows it to its end; a subclass adds its source and its sink.

    A thread of its own, because it sends and receives large files, and calls workers that may be
    frozen. Dask begins the task again on another worker if the first one is lost. If the scheduler
    is lost, so is the task. To send a task twice does no harm: the result is the same.

    Parameters
    ----------
    connection : ClusterConnection
    resources : mapping
        The resources of a worker that the task takes.
    workers : frozenset of str, optional
        Workers that may take it; by default all that are available.

    Attributes
    ----------
    key : str
        The name of the task in Dask.
    worker : str or None
        The worker that began the task.
    has_moved : bool
        Whether another worker began it before.
    closing : threading.Event
    """

    def __init__(
        self,
        connection: ClusterConnection,
        resources: Mapping[str, float],
        workers: frozenset[str] | None = None,
    ) -> None:
        super().__init__(daemon=True)
        self.key = f"dip-{uuid.uuid4().hex}"
        self.worker: str | None = None
        self.has_moved = False
        self.closing = threading.Event()
        self.connection = connection
        self._resources = dict(resources) or None
        self._workers = connection.available if workers is None else workers
        self._events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._woken = threading.Event()

    # --- Source and sink -------------------------------------------------------------------------

    def request(self) -> TaskRequest:
        """The task to send."""
        raise NotImplementedError

    def poll(self) -> bool:
        """Look after the task, four times a second; False where it is not wanted any more.

        Raises
        ------
        TaskLost
            No worker that may take the task is left, or a silent worker has it.
        """
        if not self._workers & self.connection.available or self.key in self.connection.stuck:
            raise TaskLost
        return True

    def on_event(self, event: dict[str, Any]) -> None:
        """Show or store an event: host, worker and content."""

    def on_answer(self, answer: TaskAnswer) -> None:
        """Store the result."""
        raise NotImplementedError

    def on_lost(self, cause: str | None) -> None:
        """Send the task again, or give it up."""

    def on_error(self, error: BaseException) -> None:
        """Handle an exception of one of the other methods: the thread ends with it."""
        _log.error("an error ended the task %s", self.name, exc_info=error)

    # --- On the cluster --------------------------------------------------------------------------

    def fetch_blobs(self) -> Frame | None:
        """The latest event with a blob, once."""
        frame: Frame | None = self._call(fetch_blobs)
        return frame

    def send(self, content: dict[str, Any]) -> bool:
        """Send a message to the process that works on the task; False where that failed."""
        return bool(self._call(send_to_task, content))

    def close(self) -> None:
        """Drop the task and end the thread."""
        self.closing.set()
        self._woken.set()

    def run(self) -> None:
        try:
            try:
                answer = self._run()
                if answer is not None:
                    self.on_answer(answer)
            except TaskLost as lost:
                self.on_lost(lost.cause)
        except (Exception, CancelledError) as error:  # the second where the connection ends
            self.on_error(error)

    def _run(self) -> TaskAnswer | None:
        """The answer; None where the task is not wanted any more."""
        client, request = self.connection.client, self.request()
        self.connection.listeners[self.key] = self._receive
        workers = sorted(self._workers)
        try:
            future = client.submit(
                run_remote,
                request,
                key=self.key,
                pure=False,
                resources=self._resources,
                workers=workers,
            )
        except (OSError, RuntimeError) as error:  # the second: the client was closed meanwhile
            self.connection.is_lost = True
            raise TaskLost from error
        del request  # its files are not kept here
        future.add_done_callback(lambda done: self._woken.set())
        try:
            return self._follow(future)
        finally:
            del self.connection.listeners[self.key]
            with suppress(Exception, CancelledError):  # of a connection that is closed
                future.cancel()  # its worker drops the task within a moment

    def _follow(self, future: Future) -> TaskAnswer | None:
        while not future.done():
            self._woken.wait(POLL_S)
            self._woken.clear()
            if self.connection.is_cut_off:
                raise TaskLost
            if self.closing.is_set() or not self.poll():
                return None
            self._show_events()
        if future.status == "error":
            reason = first_line(future.exception())
            raise TaskLost(f"Its workers died, or could not load it: {reason}.")
        try:
            answer: TaskAnswer = future.result(timeout=FETCH_TIMEOUT_S)
        except (Exception, CancelledError) as error:
            if future.status == "cancelled":
                self.connection.is_lost = True
            raise TaskLost from error
        self._show_events()
        if answer.versions != self.connection.versions:
            self.connection.discard(answer.worker)
            raise TaskLost
        return answer

    def _show_events(self) -> None:
        with suppress(queue.Empty):
            while True:
                self.on_event(self._events.get(block=False))

    def _receive(self, event: dict[str, Any]) -> None:
        """Note an event; from the thread of the connection."""
        if event["worker"] != self.worker:
            self.has_moved = self.worker is not None
            self.worker = event["worker"]
        self._events.put(event)

    def _call(self, function: Callable[..., Any], *given: Any) -> Any:
        """Call a function on the worker; None where it does not answer."""
        worker = self.worker
        if worker is None:
            return None
        try:
            result = self.connection.client.run(
                function,
                self.key,
                *given,
                workers=[worker],
                on_error="return",
                callback_timeout=CALL_TIMEOUT_S,  # a frozen worker never answers
            )[worker]
        except Exception:  # the worker or the scheduler is gone or too busy
            return None
        return None if isinstance(result, BaseException) else result
