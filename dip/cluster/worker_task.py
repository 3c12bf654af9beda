"""The code that runs inside of a Dask worker: one task, in a child process beside the worker.

`dip batch` and `dip serve` send the same `TaskRequest` and get the same `TaskAnswer`; they differ
in the module that the child runs. A child of its own, because a crash of an image library must not
end the worker, because a fit must not delay the worker's heartbeats, and because the C library's
allocator is set up before a process begins. An idle child is used again for the next task, and
exits by itself when none comes.

Events of a task (it began, it waits for memory, it made progress) go through the scheduler, as a
Dask topic. The scheduler keeps the latest thousand events, so large blobs such as previews stay
here, the latest only, until the client fetches them.
"""

from __future__ import annotations

import platform
import time
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from dip.batch.manifest import digest
from dip.errors import ProcessDied
from dip.machine.child_process import ChildProcess, IdlePool
from dip.machine.device import cores, find_gpus
from dip.machine.pipe import Frame
from dip.machine.shared_memory_budget import SharedMemoryBudget
from dip.versions import versions

TOPIC = "dip-events"
IDLE_S = 120.0

memory = SharedMemoryBudget()
"""Shared by all fits on this machine, of any worker, batch or service."""

_idle: dict[str, IdlePool] = {}
_running: dict[str, RunningTask] = {}


@dataclass(frozen=True, kw_only=True)
class TaskRequest:
    """A task on its way to a worker.

    Parameters
    ----------
    module : str
        The module that the child process runs.
    content : dict
        The message to the child. Where it has 'settings' of a fit, the worker sets its own limits.
    blobs : tuple of bytes
        Image files for the child.
    paths : tuple of str
        Files on a shared disk, read by the worker in place of `blobs`.
    versions : dict
        Of the client; a worker with other versions refuses the task.
    event_interval_s : float
        Events that come sooner after the last one are dropped.
    attempts : int
        How often to try where the child dies. After the first, the fit has the memory alone.
    shared_limit_mb : float, optional
        Upper limit for all fits of the machine together.
    slots_per_host : dict
        How many tasks the machine of each worker takes at a time, by the worker's address: a fit
        without a number of threads takes its share of the cores.
    """

    module: str
    content: dict[str, Any]
    blobs: tuple[bytes, ...] = ()
    paths: tuple[str, ...] = ()
    versions: dict[str, str]
    event_interval_s: float = 0.0
    attempts: int = 1
    shared_limit_mb: float | None = None
    slots_per_host: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TaskAnswer:
    """The end of a task: a reply of the child, or its death.

    With neither of them, the worker refused the task: it has other versions than the client, or
    cannot read the shared disk.

    Parameters
    ----------
    host, worker : str
    versions : dict
        Of this worker.
    reply : Frame, optional
        Its content is 'done' or 'error'.
    death : dict, optional
        Code, message and hint.
    unfetched : Frame, optional
        The latest event with a blob, if the client has not fetched it.
    sha256 : tuple of str
        Of the files that were read from the shared disk.
    seconds : float
        Time on this worker.
    """

    host: str
    worker: str
    versions: dict[str, str]
    reply: Frame | None = None
    death: dict[str, str] | None = None
    unfetched: Frame | None = None
    sha256: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def is_refusal(self) -> bool:
        return self.reply is None and self.death is None


# --- Called by clients ---------------------------------------------------------------------------


def describe_worker(probe: str | None) -> dict[str, Any]:
    """Versions of this worker, and the digest of a file as it reads it.

    Parameters
    ----------
    probe : str, optional
        Path of a file on a disk that may be shared.
    """
    sha256 = None
    if probe is not None:
        with suppress(OSError):
            sha256 = digest(Path(probe).read_bytes())
    return {"versions": versions(), "probe": sha256}


def run_remote(request: TaskRequest) -> TaskAnswer:
    """Run a task on this worker."""
    from distributed import get_worker

    began = time.monotonic()
    worker = get_worker()
    key = str(worker.get_current_task())
    answer = TaskAnswer(host=platform.node(), worker=worker.address, versions=versions())
    if answer.versions != request.versions:
        return answer
    try:
        read = tuple(Path(path).read_bytes() for path in request.paths)
    except OSError:
        return answer  # this worker does not have the disk: the client sends bytes instead
    answer = replace(answer, sha256=tuple(digest(data) for data in read))
    task = _running[key] = RunningTask(request, worker, key)
    try:
        answer = replace(answer, reply=task.run(request.blobs or read))
    except ProcessDied as error:
        answer = replace(answer, death=error.as_dict())
    finally:
        del _running[key]
    return replace(answer, unfetched=task.take_blobs(), seconds=time.monotonic() - began)


def fetch_blobs(key: str) -> Frame | None:
    """The latest event with a blob of a running task, once; None where there is no new one."""
    task = _running.get(key)
    return None if task is None else task.take_blobs()


def send_to_task(key: str, content: dict[str, Any]) -> bool:
    """Send a message to the child of a running task; False where it does not listen yet."""
    task = _running.get(key)
    return task is not None and task.send(content)


# --- One task ------------------------------------------------------------------------------------


class RunningTask:
    """A task in the child process that works on it.

    Parameters
    ----------
    request : TaskRequest
    worker : distributed.Worker
    key : str
        The name of the task in Dask.
    """

    def __init__(self, request: TaskRequest, worker: Any, key: str) -> None:
        self._request, self._worker, self._key = request, worker, key
        self._listening: ChildProcess | None = None
        self._latest: deque[Frame] = deque(maxlen=1)
        self._published = 0.0

    def run(self, blobs: tuple[bytes, ...]) -> Frame:
        """Run the task to its end.

        Raises
        ------
        ProcessDied
            The child died in every attempt.
        distributed.Reschedule
            No client wants the task any more.
        """
        self._publish({"begun": True})
        content = self._with_limits(self._request.content)
        module = self._request.module
        idle = _idle.setdefault(module, IdlePool(module, IDLE_S))
        attempt = 1
        while True:
            process = idle.take()
            try:
                reply = self._run(process, content, blobs, alone=attempt > 1)
            except ProcessDied:
                process.close()
                if attempt == self._request.attempts:
                    raise
                attempt += 1
            except BaseException:
                process.kill()
                process.close()
                raise
            else:
                idle.put_back(process)
                return reply
            finally:
                self._listening = None

    def take_blobs(self) -> Frame | None:
        with suppress(IndexError):
            return self._latest.pop()
        return None

    def send(self, content: dict[str, Any]) -> bool:
        process = self._listening
        if process is not None:
            with suppress(ProcessDied):  # noticed by `run`
                process.send(content)
        return process is not None

    def _run(
        self,
        process: ChildProcess,
        content: dict[str, Any],
        blobs: tuple[bytes, ...],
        *,
        alone: bool,
    ) -> Frame:
        with ExitStack() as reservation:

            def admit(needs: dict[str, Any]) -> None:
                self._listening = process
                reservation.close()  # of the network before this one
                if needs["device"].startswith("cpu"):
                    mb = max(needs["needs_mb"], memory.budget_mb() if alone else 0)
                    limit_mb = self._request.shared_limit_mb
                    reservation.enter_context(
                        memory.reserve(mb, process.pid, on_wait=self._wait, limit_mb=limit_mb)
                    )

            return process.run_task(
                content, blobs, admit=admit, on_event=self._forward, check=self._check
            )

    def _check(self) -> None:
        """End a task that its client cancelled, or that another worker has."""
        from distributed import Reschedule

        task = self._worker.state.tasks.get(self._key)
        if task is None or task.state == "cancelled":
            raise Reschedule  # the scheduler drops it, unless a client wants it again by now

    def _wait(self) -> None:
        self._check()
        if time.monotonic() - self._published >= max(1.0, self._request.event_interval_s):
            self._publish({"waits_for": "memory"})

    def _forward(self, frame: Frame) -> None:
        if frame.blobs:
            self._latest.append(frame)
        if time.monotonic() - self._published >= self._request.event_interval_s:
            self._publish(frame.content)

    def _publish(self, content: dict[str, Any]) -> None:
        self._published = time.monotonic()
        event = {"worker": self._worker.address, "host": platform.node(), "content": content}
        self._worker.log_event(TOPIC, {"key": self._key, **event})

    def _with_limits(self, content: dict[str, Any]) -> dict[str, Any]:
        """The message with the threads and the memory that one fit may use on this machine."""
        if "settings" not in content:
            return content
        settings = content["settings"]
        slots = self._request.slots_per_host.get(self._worker.address) or 1
        limits = {
            "threads": settings["threads"] or max(1, cores() // slots),
            "max_memory_mb": fit_limit_mb(settings["device"], settings["max_memory_mb"]),
        }
        return {**content, "settings": {**settings, **limits}}


def fit_limit_mb(device: str, asked_mb: int | None) -> int | None:
    """Upper limit for one fit on this machine, MB; None leaves it to a GPU's free memory.

    A fit without a limit would choose its tiles by the memory that other fits leave free, and the
    result would depend on them.

    Parameters
    ----------
    device : str
        As in `dip.config.Settings`.
    asked_mb : int, optional
        The user's own limit.
    """
    if asked_mb is not None or device in ("cuda", "mps") or (device == "auto" and _gpus()):
        return asked_mb
    return max(64, int(memory.budget_mb()))


@cache
def _gpus() -> list[str]:
    return find_gpus()
