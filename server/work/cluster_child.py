"""The process beside a Dask worker that works on the jobs of a service.

It runs the code of the service's own worker. Its store is the pipe to `dip.cluster.worker_task`,
and its files are in memory: nothing of a job is on the disk of a cluster's machine. When its
standard input closes, its parent is gone, and this process ends.

Messages to it:

- 'do': 'introduce' asks for the devices of this machine; 'work' is a job, with its files as blobs.
- 'admitted': there is memory for the fit that it announced with 'needs_mb'.
- 'stop_at', at any time: end the job at this step, with the best result so far.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

from dip.batch.fit_worker import device_of
from dip.config import Settings
from dip.machine.pipe import Frame, receive, send
from server.errors import ServiceError
from server.jobs.files import Buffer
from server.jobs.job import Attempt
from server.jobs.parameters import JobParameters
from server.work.worker import EXIT_ORPHANED, Worker, introduction

if TYPE_CHECKING:
    from dip.restore import Restoration


def main() -> int:
    """Work until the pipe closes or no message came for a while."""
    idle_s = float(sys.argv[1]) if len(sys.argv) > 1 else None
    source = os.fdopen(os.dup(0), "rb")
    store = PipeJobStore(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # prints of a library must not get into the messages
    tasks: queue.Queue[Frame] = queue.Queue()
    threading.Thread(target=_read, args=(source, tasks, store), daemon=True).start()
    while True:
        try:
            task = tasks.get(timeout=idle_s)
        except queue.Empty:
            return 0
        if task.content["do"] == "introduce":
            store.send({"done": introduction()})
        else:
            _work(task, store)


def _work(task: Frame, store: PipeJobStore) -> None:
    content = task.content
    parameters = replace(
        JobParameters.from_json(content["parameters"]), settings=Settings(**content["settings"])
    )
    store.files = files = MemoryFiles(dict(zip(("image", "mask"), task.blobs, strict=False)))
    job = Attempt(id=content["id"], attempt=content["attempt"], parameters=parameters)
    Worker(store, files, content["max_pixels"], store.admit).work(job)


def _read(source: IO[bytes], tasks: queue.Queue[Frame], store: PipeJobStore) -> None:
    while (frame := receive(source)) is not None:
        content = frame.content
        if content.get("do") == "work":
            store.job_id, store.stop_at = content["id"], content["stop_at"]
        if "do" in content:
            tasks.put(frame)
        elif "admitted" in content:
            store.admitted.set()
        elif content["id"] == store.job_id:  # else of a job that has just ended
            store.stop_at = content["stop_at"]
    os._exit(EXIT_ORPHANED)


class MemoryFiles:
    """The files of the one job that is worked on; one that was read is gone."""

    def __init__(self, files: dict[str, Any]) -> None:
        self._files = files

    def read(self, job_id: str, name: str) -> Any:
        return self._files.pop(name)

    def write(self, job_id: str, name: str, data: Buffer, *, durable: bool = True) -> None:
        self._files[name] = data

    def remove(self, job_id: str, name: str | None = None) -> None:
        if name is not None:
            self._files.pop(name, None)

    def remove_old_attempts(self, job_id: str, keep: set[str]) -> None:
        self._files.clear()


class PipeJobStore:
    """A `JobStore` at the other end of a pipe.

    Parameters
    ----------
    pipe : binary file

    Attributes
    ----------
    files : MemoryFiles
        Of the job that is worked on.
    job_id, stop_at : str, int or None
        Of that job: set by the thread that reads messages.
    admitted : threading.Event
        Set by that thread, too.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self.files = MemoryFiles({})
        self.job_id = ""
        self.stop_at: int | None = None
        self.admitted = threading.Event()

    def send(self, content: dict[str, Any], *files: str) -> None:
        """Send a message with files of the job."""
        send(self._pipe, content, [self.files.read(self.job_id, name) for name in files])

    def admit(self, restoration: Restoration) -> None:
        """Wait until there is memory for a fit."""
        self.admitted.clear()
        device = device_of(restoration.settings)
        self.send({"needs_mb": restoration.memory_mb, "device": device})
        self.admitted.wait()

    def wanted(self, job: Attempt) -> tuple[bool, int | None]:
        return True, self.stop_at  # the process of a cancelled job is killed

    def note_progress(
        self, job: Attempt, data: dict[str, Any], *, steps: int, notes: list[str]
    ) -> bool:
        self.send({"progress": {"data": data, "steps": steps, "notes": notes}})
        return True

    def note_preview(self, job: Attempt, data: dict[str, Any]) -> bool:
        self.send({"preview": data}, data["file"])
        return True

    def finish(
        self, job: Attempt, results: list[dict[str, Any]], *, stopped: bool, notes: list[str]
    ) -> bool:
        done = {"results": results, "stopped": stopped, "notes": notes}
        self.send({"done": done}, *(result["file"] for result in results))
        return True

    def fail(self, job: Attempt, error: ServiceError) -> bool:
        self.send({"error": error.body()["error"]})
        return True

    def ids_with_pixels(self) -> set[str]:
        return set()


if __name__ == "__main__":
    sys.exit(main())
