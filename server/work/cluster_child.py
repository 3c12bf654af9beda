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

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dip.batch.fit_worker import device_of
from dip.config import Settings
from dip.machine.parent_pipe import ParentPipe
from dip.notes import CodedNote
from server.errors import ServiceError
from server.jobs.files import Buffer
from server.jobs.job import Attempt
from server.jobs.parameters import JobParameters
from server.work.worker import Worker, introduction

if TYPE_CHECKING:
    from dip.restore import Restoration


def main() -> int:
    """Work until the pipe closes or no message came for a while."""
    parent = ParentPipe()
    for task in parent.tasks():
        content = task.content
        if content["do"] == "introduce":
            parent.send({"done": introduction()})
            continue
        settings = Settings(**content["settings"])
        parameters = replace(JobParameters.from_json(content["parameters"]), settings=settings)
        files = MemoryFiles(dict(zip(parameters.files, task.blobs, strict=True)))
        store = PipeJobStore(parent, files, content["id"], content["stop_at"])
        job = Attempt(id=content["id"], attempt=content["attempt"], parameters=parameters)
        Worker(store, files, content["max_pixels"], store.admit).work(job)
    return 0


class MemoryFiles:
    """The files of the one job that is worked on; one that was read is gone."""

    def __init__(self, files: dict[str, Any]) -> None:
        self._files = files

    def read(self, job_id: str, name: str) -> Any:
        return self._files.pop(name)

    def source(self, job_id: str, name: str) -> Any:
        return self.read(job_id, name)

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
    parent : ParentPipe
    files : MemoryFiles
    job_id : str
    stop_at : int, optional
        The step at which to end the job.
    """

    def __init__(
        self, parent: ParentPipe, files: MemoryFiles, job_id: str, stop_at: int | None
    ) -> None:
        self._parent, self._files = parent, files
        self._job_id, self._stop_at = job_id, stop_at
        parent.on_message = self._receive

    def _receive(self, content: dict[str, Any]) -> None:
        if content["id"] == self._job_id:  # else of a job that has just ended
            self._stop_at = content["stop_at"]

    def _send(self, content: dict[str, Any], *files: str) -> None:
        """Send a message with files of the job."""
        self._parent.send(content, [self._files.read(self._job_id, name) for name in files])

    def admit(self, restoration: Restoration) -> None:
        """Wait until there is memory for a fit."""
        self._parent.wait_for_admission(restoration.memory_mb, device_of(restoration.settings))

    def wanted(self, job: Attempt) -> tuple[bool, int | None]:
        return True, self._stop_at  # the process of a cancelled job is killed

    def note_progress(
        self, job: Attempt, data: dict[str, Any], *, steps: int, notes: list[CodedNote]
    ) -> bool:
        self._send({"progress": {"data": data, "steps": steps, "notes": notes}})
        return True

    def note_remarks(self, job: Attempt, notes: list[CodedNote]) -> bool:
        self._send({"remarks": notes})
        return True

    def note_preview(self, job: Attempt, data: dict[str, Any]) -> bool:
        self._send({"preview": data}, data["file"])
        return True

    def finish(
        self,
        job: Attempt,
        results: list[dict[str, Any]],
        *,
        stopped: bool,
        notes: list[CodedNote],
    ) -> bool:
        done = {"results": results, "stopped": stopped, "notes": notes}
        self._send({"done": done}, *(result["file"] for result in results))
        return True

    def fail(self, job: Attempt, error: ServiceError) -> bool:
        self._send({"error": error.body()["error"]})
        return True

    def ids_with_pixels(self) -> set[str]:
        return set()


if __name__ == "__main__":
    sys.exit(main())
