"""The process that owns torch: it takes jobs from the store and works on them, one at a time.

The supervisor starts and watches it. When its standard input closes, the HTTP process is gone, and
the worker ends at once, even in the middle of a fit; the job is begun again later and has the same
result. All image decoders run here, so that a crash in one costs one job.
"""

from __future__ import annotations

import faulthandler
import hashlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from dip.errors import DipError, NotEnoughMemory, OutputError
from dip.image_io import plain_tiff
from dip.machine.locks import LockFile
from dip.machine.memory import release_freed_memory
from dip.machine.parent_pipe import EXIT_ORPHANED
from dip.notes import Note, to_json
from dip.pages import PagePair
from dip.regions.damaged_image import DamagedImage
from dip.regions.mask import refuse_inverted
from server import logs
from server.errors import ServiceError
from server.jobs.files import Buffer, JobFiles
from server.jobs.job import Attempt, Job
from server.jobs.store import Store
from server.settings import ServerSettings
from server.work import codec
from server.work.find_damage import find_damage
from server.work.full_disk import write_result
from server.work.job_store import JobStore, PixelFiles
from server.work.progress_reporter import Abandoned, Reporter

if TYPE_CHECKING:
    from dip.restore import Restoration

LOOK_EVERY_S = 0.05
_CONFIRM = "submit it with mask_confirmed=true (`dip submit --yes`)"
_LOCK_WAIT_S = 60.0
_FULL_DISK_WAIT_S = 2.0

_log = logging.getLogger(__name__)


def main() -> int:
    """Work until there has been no job for a while."""
    settings = ServerSettings.from_json(sys.argv[1])
    faulthandler.enable()
    threading.Thread(target=_exit_with_the_service, daemon=True).start()
    logs.configure(settings.data_dir, "worker")
    lock = LockFile(settings.data_dir / "worker.lock")
    if not lock.acquire(_LOCK_WAIT_S):
        print("An earlier worker still runs and does not end.", file=sys.stderr)
        return 1
    store = Store(settings.store_file)
    store.set_status("worker", {"pid": os.getpid(), **introduction()})
    worker = Worker(store, JobFiles(settings.files_dir), settings.max_pixels)
    work_from(store, worker, settings.idle_exit_s)
    return 0


def work_from(store: Store, worker: Worker, idle_exit_s: float) -> None:
    """Work on the jobs of a store until there has been none for a while."""
    idle_since, seen = time.monotonic(), -1
    while time.monotonic() - idle_since < idle_exit_s:
        now = store.version()
        job = _claim(store) if now != seen else None
        if job is None:
            seen = now
            time.sleep(LOOK_EVERY_S)
            continue
        store.set_status("busy", {"pid": os.getpid(), "job": job.id})
        try:
            worker.work(job)
        finally:
            store.set_status("busy", None)
        idle_since, seen = time.monotonic(), -1
    _log.info("no job for %.0f s: leaving", idle_exit_s)


def _claim(store: Store) -> Job | None:
    """The next job; None also while the disk is full."""
    try:
        return store.claim()
    except ServiceError as error:
        _log.error("no job can be taken: %s", error)
        time.sleep(_FULL_DISK_WAIT_S)
        return None


class Worker:
    """Works on jobs.

    Parameters
    ----------
    store : JobStore
    files : PixelFiles
    max_pixels : int
        Of one image.
    admit : callable, optional
        Called with each fit before it begins; returns when there is memory for it.
    """

    def __init__(
        self,
        store: JobStore,
        files: PixelFiles,
        max_pixels: int,
        admit: Callable[[Restoration], None] = lambda restoration: None,
    ) -> None:
        self._store = store
        self._admit = admit
        self._files = files
        self._max_pixels = max_pixels

    def work(self, job: Attempt) -> None:
        """Work on one job to its end."""
        began = time.monotonic()
        _log.info("begun, attempt %d", job.attempt, extra={"job": job.id})
        try:
            if job.parameters.task == "detect":
                find_damage(job, self._store, self._files, self._max_pixels)
            else:
                self._fit(job)
        except Abandoned:
            _log.info("abandoned", extra={"job": job.id})
            if job.id not in self._store.ids_with_pixels():
                self._files.remove(job.id)  # files written during the cancellation
        except Exception as error:
            # The edge of a job: any error ends this job only.
            failure = _failure(error)
            if failure.code == "internal":
                _log.error("failed", exc_info=error, extra={"job": job.id})
            self._end(job, failure)
        _log.info("ended after %.1f s", time.monotonic() - began, extra={"job": job.id})
        _free_memory()

    def _fit(self, job: Attempt) -> None:
        inputs = codec.Inputs(job.parameters, self._files, job.id, self._max_pixels)
        notes: list[Note] = []
        sources = (self._check(job, inputs, pair, notes) for pair in inputs.pages)
        source, form = next(sources)
        for each, _ in sources:  # every page is checked before the first one is fitted
            DamagedImage(each.photo.pixels, each.mask)
        reporter = Reporter(job, self._store, self._files, len(inputs.pages))
        reporter.announce(notes)
        results = []
        for network in job.parameters.networks:
            results.append(self._fit_one(job, network, inputs, source, form, reporter))
            if reporter.stopped:
                break
        names = {*job.parameters.files, *(result["file"] for result in results)}
        if not self._store.finish(
            job, results, stopped=reporter.stopped, notes=to_json(reporter.notes)
        ):
            raise Abandoned
        self._files.remove_old_attempts(job.id, names | reporter.preview_files)

    def _check(
        self, job: Attempt, inputs: codec.Inputs, pair: PagePair, notes: list[Note]
    ) -> tuple[codec.Source, str]:
        """Decode a page, check it, and note the things that the result cannot hold."""
        source = inputs.source(pair)
        if source.mask is not None and not job.parameters.mask_confirmed:
            refuse_inverted(source.mask, source.photo.pixels.shape, _CONFIRM)
        form = codec.result_format(job.parameters, source)
        notes += codec.losses(job.parameters, form, source)
        return source, form

    def _fit_one(
        self,
        job: Attempt,
        network: str,
        inputs: codec.Inputs,
        source: codec.Source,
        form: str,
        reporter: Reporter,
    ) -> dict[str, Any]:
        """Restore all pages with one network; write the result and describe it.

        Parameters
        ----------
        source : Source
            The first page.
        """
        from dip.restore import Restoration

        settings = replace(job.parameters.settings, network=network)
        first: dict[str, Any] = {}
        data: Buffer = b""
        for number, pair in enumerate(inputs.pages):
            if number:
                source = inputs.source(pair, bytes(data))
            restoration = Restoration(source.photo.pixels, source.mask, settings)
            self._admit(restoration)
            reporter.begin(network, restoration, source.photo, pair[0])
            reporter.show()
            for step in restoration:
                if not reporter.note(step):
                    break
            last = network == job.parameters.networks[-1]
            samples, place = codec.take(job.parameters.part, restoration, source, last=last)
            del restoration
            reporter.end_fit()
            release_freed_memory()  # of fills and texture; the file takes its place
            channels = 1 if samples.ndim == 2 else samples.shape[2]
            first = first or {**place, "channels": channels, "samples": samples.dtype.name}
            try:
                data = codec.encode(samples, form, job.parameters, source)
            except OutputError as error:
                # A fit that is done is never thrown away.
                reporter.notes.append(Note("plain_tiff", reason=error.message))
                earlier = [page for page, _ in inputs.pages[:number]]
                form, data = "tiff", plain_tiff(bytes(data), earlier, samples)
                break
        name = f"result.{network}.{job.attempt}"
        if not write_result(self._store, self._files, job, name, data):
            raise Abandoned
        return {
            **first,
            "network": network,
            "part": job.parameters.part,
            "format": form,
            "bytes": memoryview(data).nbytes,
            "sha256": hashlib.sha256(data).hexdigest(),
            "file": name,
            **reporter.figures(),
        }

    def _end(self, job: Attempt, failure: ServiceError) -> None:
        """Record a failure; where even the reserve of the disk is used up, when there is space."""
        while True:
            try:
                self._store.fail(job, failure)
            except ServiceError as error:
                _log.error("the failure cannot be recorded: %s", error, extra={"job": job.id})
            else:
                return
            time.sleep(_FULL_DISK_WAIT_S)


def _failure(error: Exception) -> ServiceError:
    """The error of a job that ended with an exception."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, DipError):
        return ServiceError(error.code, error.message, error.hint)
    out_of_memory = isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__
    if out_of_memory:
        return ServiceError(
            NotEnoughMemory.code,
            "Memory ran out during the work.",
            "Close other programs, choose the preset 'fast', or set max_memory_mb.",
        )
    return ServiceError("internal", f"The work failed: {type(error).__name__}: {error}.")


def _exit_with_the_service() -> None:
    # Not sys.stdin: a thread that waits for it makes the interpreter abort at exit.
    while os.read(0, 1024):
        pass
    os._exit(EXIT_ORPHANED)


def introduction() -> dict[str, Any]:
    """The devices of this machine, for the HTTP process, which has no torch."""
    import torch

    from dip import restore  # noqa: F401  # slow imports before the first job

    devices = ["cpu"]
    if torch.cuda.is_available():
        devices.append("cuda")
    if torch.backends.mps.is_available():
        devices.append("mps")
    names = ("torch", "numpy", "pyvips")
    return {"devices": devices, "versions": {name: version(name) for name in names}}


def _free_memory() -> None:
    import torch

    release_freed_memory()

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


if __name__ == "__main__":
    sys.exit(main())
