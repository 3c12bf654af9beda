"""What runs inside of a Dask worker for a service: one job, in a process of ours beside it.

The process is `server.work.cluster_child`, kept for the next job; why it is one is said in
`dip.cluster.worker_task`. How the job goes is kept here until the service asks: a scheduler
remembers whatever is told through it, and previews are too large for that.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dip.cluster.worker_task import IDLE_S, TOPIC, fit_limit_mb, is_unwanted, memory
from dip.errors import ProcessDied
from dip.machine.child_process import STALL_S, ChildProcess, IdlePool
from dip.machine.device import cores
from dip.versions import versions
from server.jobs.job import Attempt

LOOK_EVERY_S = 0.1
_MOST_UNHEARD = 200

_spares = IdlePool(lambda: ChildProcess("server.work.cluster_child", idle_s=IDLE_S))


@dataclass(frozen=True, kw_only=True)
class TaskRequest:
    """A job as it travels to a worker.

    Parameters
    ----------
    job : Attempt
    stop_at : int, optional
        The step at which to finish with the best so far.
    image : bytes
    mask : bytes, optional
    max_pixels : int
    fellows : dict
        How many jobs the machine of each worker may have at a time, by the worker's address.
    versions : dict
        Of the side that asks.
    """

    job: Attempt
    stop_at: int | None
    image: bytes
    mask: bytes | None
    max_pixels: int
    fellows: dict[str, int]
    versions: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What comes back: one of `done`, `failed` and `died`.

    None of them, and other versions than asked for: this worker will not do.

    Parameters
    ----------
    worker : str
    versions : dict
        Of this worker.
    done : dict, optional
        Results, notes, and whether it was stopped.
    failed : dict, optional
        Code, message and hint.
    died : str, optional
        What became of the process that worked on it.
    files : dict
        The results' bytes, by name.
    unheard : list of dict
        What the service has not asked for.
    """

    worker: str
    versions: dict[str, str]
    done: dict[str, Any] | None = None
    failed: dict[str, str] | None = None
    died: str | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    unheard: list[dict[str, Any]] = field(default_factory=list)


class PendingEvents:
    """What the service has not yet heard of a job.

    Parameters
    ----------
    process : ChildProcess
        That works on it.
    job_id : str
    folder : Path
        With the job's files.
    """

    def __init__(self, process: ChildProcess, job_id: str, folder: Path) -> None:
        self._process, self._job_id, self._folder = process, job_id, folder
        self._lock = threading.Lock()
        self._progress: deque[dict[str, Any]] = deque(maxlen=_MOST_UNHEARD)
        self._preview: dict[str, Any] | None = None
        self._stop_at: int | None = None

    def put(self, says: dict[str, Any]) -> None:
        with self._lock:
            if "progress" in says:
                self._progress.append(says)
            else:
                self._preview = says["preview"]

    def empty(self) -> list[dict[str, Any]]:
        """Progress, then the latest preview with its picture."""
        with self._lock:
            told, preview = list(self._progress), self._preview
            self._progress.clear()
            self._preview = None
        if preview is not None:
            with suppress(FileNotFoundError):  # there is a later one
                data = (self._folder / preview["file"]).read_bytes()
                told.append({"preview": preview, "data": data})
        return told

    def stop_at(self, step: int | None) -> None:
        """Pass on that somebody wants the best so far."""
        if step is not None and self._stop_at is None:
            self._stop_at = step
            with suppress(ProcessDied):  # whoever listens to it notices
                self._process.send({"id": self._job_id, "stop_at": step})


_outboxes: dict[str, PendingEvents] = {}


def introduce_here() -> dict[str, Any]:
    """Say what this worker computes on; the first job finds torch loaded."""
    process = _spares.take()
    try:
        process.send({"do": "introduce"})
        frame = process.receive(STALL_S)
    except ProcessDied:
        process.close()
        raise
    _spares.put_back(process)
    introduction: dict[str, Any] = {} if frame is None else frame.content["introduction"]
    return introduction


def collect_here(key: str, stop_at: int | None) -> list[dict[str, Any]]:
    """Hand over what is new of a job, and take a wish along; runs beside the job."""
    outbox = _outboxes.get(key)
    if outbox is None:
        return []
    outbox.stop_at(stop_at)
    return outbox.empty()


def work_here(order: TaskRequest) -> Answer:
    """Work on a job on this worker."""
    from distributed import get_worker

    me = get_worker()
    key = str(me.get_current_task())
    answer = Answer(worker=me.address, versions=versions())
    if answer.versions != order.versions:
        return answer
    with tempfile.TemporaryDirectory(prefix="dip-", dir=me.local_directory) as name:
        folder = Path(name) / order.job.id
        folder.mkdir()
        (folder / "image").write_bytes(order.image)
        if order.mask is not None:
            (folder / "mask").write_bytes(order.mask)
        # A job that leaves it open takes its share of the machine: all of one that it has alone.
        threads = max(1, cores() // (order.fellows.get(me.address) or 1))
        process = _spares.take()
        outbox = _outboxes[key] = PendingEvents(process, order.job.id, folder)
        try:
            process.send(_wish(order, folder, threads))
            me.log_event(TOPIC, {"errand": key, "worker": me.address})
            says = _listen(process, outbox, lambda: is_unwanted(me, key))
        except ProcessDied as error:
            process.close()
            return _with(answer, outbox, died=error.message)
        except BaseException:
            process.kill()
            process.close()
            raise
        finally:
            del _outboxes[key]
        _spares.put_back(process)
        results = says["done"]["results"] if "done" in says else []
        files = {each["file"]: (folder / each["file"]).read_bytes() for each in results}
        return _with(answer, outbox, **says, files=files)


def _wish(order: TaskRequest, folder: Path, threads: int) -> dict[str, Any]:
    """What the process is asked."""
    parameters = order.job.parameters
    asked = parameters.settings
    settings = replace(
        asked,
        threads=asked.threads or threads,
        max_memory_mb=fit_limit_mb(asked.device, asked.max_memory_mb),
    )
    parameters = replace(parameters, settings=settings)
    return {
        "do": "work",
        "id": order.job.id,
        "attempt": order.job.attempt,
        "parameters": parameters.as_json(),
        "stop_at": order.stop_at,
        "folder": str(folder.parent),
        "max_pixels": order.max_pixels,
    }


def _listen(
    process: ChildProcess, outbox: PendingEvents, unwanted: Callable[[], bool]
) -> dict[str, Any]:
    """Listen until the job has ended, and return with what."""
    with ExitStack() as room:
        return _hear_out(process, outbox, unwanted, room)


def _hear_out(
    process: ChildProcess, outbox: PendingEvents, unwanted: Callable[[], bool], room: ExitStack
) -> dict[str, Any]:
    from distributed import Reschedule

    def look() -> None:
        if unwanted():
            raise Reschedule  # the scheduler drops it, unless somebody wants it again by now

    heard = time.monotonic()
    end: dict[str, Any] = {"died": "It came to no end."}
    while True:
        look()
        frame = process.receive(LOOK_EVERY_S)
        if frame is not None:
            heard = time.monotonic()
            if "ended" in frame.content:
                return end
            if "needs_mb" in frame.content:
                room.close()  # what the network before it had
                if frame.content["device"].startswith("cpu"):
                    taken = memory.reserve(frame.content["needs_mb"], process.pid, on_wait=look)
                    room.enter_context(taken)
                process.send({"go": True})
            elif "done" in frame.content or "failed" in frame.content:
                end = frame.content
            else:
                outbox.put(frame.content)
        elif time.monotonic() - heard > STALL_S:
            process.kill()
            raise ProcessDied(f"The process gave no sign of life for {STALL_S / 60:.0f} min.")


def _with(answer: Answer, outbox: PendingEvents, **more: Any) -> Answer:
    return replace(answer, unheard=outbox.empty(), **more)
