"""What runs inside of a Dask worker: one photo, in a process of ours beside it.

Beside it, because a crash of an image library must not take the worker along, because a fit must
not keep the worker from its heartbeats, and because the C library's allocator is set up before a
process begins. Such a process is used again for the next photo, and leaves when there is none.
"""

from __future__ import annotations

import platform
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from dip.batch.fit_process import FitProcess, OnStep, Outcome, Task
from dip.batch.manifest import digest
from dip.errors import ProcessDied
from dip.machine.child_process import IdlePool
from dip.machine.device import find_gpus
from dip.machine.shared_memory_budget import SharedMemoryBudget
from dip.versions import versions

TOPIC = "dip-progress"
SAY_EVERY_S = 2.0
IDLE_S = 120.0
MOST_ATTEMPTS = 2

memory = SharedMemoryBudget()
"""Shared by all fits on this machine, of whatever worker, batch or service."""

_spares = IdlePool(lambda: FitProcess(idle_s=IDLE_S))


@dataclass(frozen=True, kw_only=True)
class Request:
    """A photo as it travels to a worker.

    Parameters
    ----------
    batch : str
        Whose progress this is.
    task : Task
        Without the bytes where the files are to be read from a shared disk.
    paths : tuple of str, optional
        Photo and mask on the shared disk.
    versions : dict
        Of the side that asks.
    """

    batch: str
    task: Task
    paths: tuple[str, str | None] | None
    versions: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What comes back.

    Parameters
    ----------
    outcome : Outcome, optional
    host, worker : str
    sha256 : tuple of str, optional
        Of photo and mask, where they were read here.
    seconds : float
        What it took here.
    versions : dict
        Of this worker. No outcome, and other versions than asked for: it will not do.
    """

    outcome: Outcome | None
    host: str
    worker: str
    sha256: tuple[str, str | None] | None
    versions: dict[str, str]
    seconds: float = 0.0


def describe_worker(probe: str | None) -> dict[str, Any]:
    """Say what this worker is, and whether it reads a file as the asking side does.

    Parameters
    ----------
    probe : str, optional
        Path of a file.
    """
    return {"versions": versions(), "host": platform.node(), "probe": _digest_at(probe)}


def restore_here(request: Request) -> Answer:
    """Restore a photo on this worker."""
    from distributed import Reschedule, get_worker

    began = time.monotonic()
    me = get_worker()
    key = me.get_current_task()
    answer = Answer(
        outcome=None, host=platform.node(), worker=me.address, sha256=None, versions=versions()
    )
    if answer.versions != request.versions:
        return answer
    task = request.task
    if request.paths is not None:
        photo, mask = request.paths
        try:
            task = replace(
                task,
                photo=Path(photo).read_bytes(),
                mask=None if mask is None else Path(mask).read_bytes(),
            )
        except OSError:
            return answer  # this worker has no such disk: the bytes are sent
        sha256 = digest(task.photo), None if task.mask is None else digest(task.mask)
        answer = replace(answer, sha256=sha256)
    said = 0.0

    def say(says: dict[str, Any]) -> None:
        nonlocal said
        if is_unwanted(me, key):
            raise Reschedule  # the scheduler drops it, unless somebody wants it again by now
        if time.monotonic() - said >= SAY_EVERY_S:
            said = time.monotonic()
            about = {"batch": request.batch, "worker": me.address, "host": answer.host}
            me.log_event(TOPIC, {**says, **about, "photo": task.name})

    say({"iteration": 0, "iterations": 1})
    outcome = _restore(task, say)
    return replace(answer, outcome=outcome, seconds=time.monotonic() - began)


def _restore(task: Task, say: OnStep) -> Outcome:
    """One photo; again, and alone, where its process died."""
    most_mb = task.settings["max_memory_mb"]
    limit_mb = fit_limit_mb(task.settings["device"], most_mb)
    task = replace(task, settings={**task.settings, "max_memory_mb": limit_mb})
    for attempt in range(1, MOST_ATTEMPTS + 1):
        process = _spares.take()
        try:
            outcome = _fit(process, task, say, most_mb, alone=attempt > 1)
        except ProcessDied as error:
            process.close()
            death = error.as_dict()
        except BaseException:
            process.kill()
            process.close()
            raise
        else:
            _spares.put_back(process)
            return outcome
    return Outcome(figures={}, error=death)


def _fit(
    process: FitProcess, task: Task, say: OnStep, most_mb: float | None, *, alone: bool
) -> Outcome:
    with ExitStack() as room:

        def admit(needs: dict[str, Any]) -> None:
            if needs["device"].startswith("cpu"):
                mb = max(needs["needs_mb"], memory.budget_mb() if alone else 0)
                waiting = partial(say, {"waits_for": "memory"})
                taken = memory.reserve(mb, process.pid, on_wait=waiting, limit_mb=most_mb)
                room.enter_context(taken)

        return process.fit(task, admit=admit, on_step=say)


def fit_limit_mb(device: str, asked_mb: int | None) -> int | None:
    """What one fit may take here, MB; None leaves it to a GPU's free memory.

    Said to each fit, or the tiles of a large one would depend on what others leave free.

    Parameters
    ----------
    device : str
        As in `dip.config.Settings`.
    asked_mb : int, optional
        What was asked for.
    """
    if asked_mb is not None or device in ("cuda", "mps") or (device == "auto" and _gpus()):
        return asked_mb
    return max(64, int(memory.budget_mb()))


@cache
def _gpus() -> list[str]:
    return find_gpus()


def is_unwanted(worker: Any, key: Any) -> bool:
    """Whether whoever asked for it is gone, or has it from another worker."""
    task = worker.state.tasks.get(key)
    return task is None or task.state == "cancelled"


def _digest_at(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return digest(Path(path).read_bytes())
    except OSError:
        return None
