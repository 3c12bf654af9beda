"""The process beside a Dask worker that works on the jobs of a service.

It does what the service's own worker does, with the same code: only that a wire takes the place of
the store, and that the pixels lie in a folder that `server.work.cluster_task`, at the other end,
made and will read. When its standard input closes, its parent is gone, and this process ends.

It is told:

- `introduce`: what does this machine compute on?
- `work`: work on this job, in this folder; it tells what the store would be told.
- `go`, in answer to what a fit needs: there is memory for it.
- `stop_at`, at any time: finish the job that is being worked on at this step, with the best so far.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dip.batch.fit_worker import device_of
from dip.machine.pipe import receive, send
from server.errors import ServiceError
from server.jobs.files import JobFiles
from server.jobs.job import Attempt
from server.jobs.parameters import JobParameters
from server.work.worker import EXIT_ORPHANED, Worker, introduction

if TYPE_CHECKING:
    from dip.restore import Restoration


def main() -> int:
    """Do what is asked until the pipe closes or nothing was asked for a while."""
    idle_s = float(sys.argv[1]) if len(sys.argv) > 1 else None
    source = os.fdopen(os.dup(0), "rb")
    wire = PipeJobStore(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # a library that prints must not speak into the answers
    asked: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(source, asked, wire), daemon=True).start()
    while True:
        try:
            wanted = asked.get(timeout=idle_s)
        except queue.Empty:
            return 0
        if wanted["do"] == "introduce":
            wire.say({"introduction": introduction()})
            continue
        job = Attempt(
            id=wanted["id"],
            attempt=wanted["attempt"],
            parameters=JobParameters.from_json(wanted["parameters"]),
        )
        Worker(wire, JobFiles(Path(wanted["folder"])), wanted["max_pixels"], wire.admit).work(job)
        wire.say({"ended": True})


def _listen(source: IO[bytes], asked: queue.Queue[dict[str, Any]], wire: PipeJobStore) -> None:
    while (frame := receive(source)) is not None:
        says = frame.content
        if says.get("do") == "work":
            wire.job_id, wire.stop_at = says["id"], says["stop_at"]
        if "do" in says:
            asked.put(says)
        elif "go" in says:
            wire.admitted.set()
        elif says["id"] == wire.job_id:  # else of one that has just ended
            wire.stop_at = says["stop_at"]
    os._exit(EXIT_ORPHANED)


class PipeJobStore:
    """A ledger at the other end of a pipe.

    Parameters
    ----------
    answers : binary file

    Attributes
    ----------
    job_id, stop_at : str, int or None
        Of the job that is being worked on: set by whoever listens.
    admitted : threading.Event
        Set by whoever listens, too.
    """

    def __init__(self, answers: IO[bytes]) -> None:
        self._answers = answers
        self.job_id = ""
        self.stop_at: int | None = None
        self.admitted = threading.Event()

    def admit(self, restoration: Restoration) -> None:
        """Wait until there is memory for a fit."""
        self.admitted.clear()
        device = device_of(restoration.settings)
        self.say({"needs_mb": restoration.memory_mb, "device": device})
        self.admitted.wait()

    def say(self, says: dict[str, Any]) -> None:
        send(self._answers, says)

    def wanted(self, job: Attempt) -> tuple[bool, int | None]:
        return True, self.stop_at  # one that is not is killed

    def note_progress(
        self, job: Attempt, data: dict[str, Any], *, steps: int, notes: list[str]
    ) -> bool:
        self.say({"progress": {"data": data, "steps": steps, "notes": notes}})
        return True

    def note_preview(self, job: Attempt, data: dict[str, Any]) -> bool:
        self.say({"preview": data})
        return True

    def finish(
        self, job: Attempt, results: list[dict[str, Any]], *, stopped: bool, notes: list[str]
    ) -> bool:
        self.say({"done": {"results": results, "stopped": stopped, "notes": notes}})
        return True

    def fail(self, job: Attempt, error: ServiceError) -> bool:
        self.say({"failed": error.body()["error"]})
        return True

    def ids_with_pixels(self) -> set[str]:
        return set()


if __name__ == "__main__":
    sys.exit(main())
