"""Work on a detection: from the files of a job to the levels of its photo."""

from __future__ import annotations

import hashlib
import time

from dip.errors import DetectionCancelled
from dip.notes import to_json
from dip.regions.rules import DAMAGE_KINDS
from server.jobs.job import Attempt
from server.work import codec
from server.work.full_disk import reports_left_out, write_result
from server.work.job_store import JobStore, PixelFiles
from server.work.progress_reporter import PROGRESS_EVERY_S, Abandoned


def find_damage(job: Attempt, store: JobStore, files: PixelFiles, max_pixels: int) -> None:
    """Find the damage of a job's photo, and complete the job.

    Raises
    ------
    DipError
        The photo or its infrared plane cannot be decoded, is too small or too large, or the plane
        belongs to no such photo.
    Abandoned
        The job was cancelled meanwhile.
    """
    from dip.detection import detect

    began = time.monotonic()
    inputs = codec.Inputs(job.parameters, files, job.id, max_pixels)
    photo = inputs.source(inputs.pages[0]).photo
    progress = _Progress(job, store)
    progress.report(0.0)
    try:
        damage = detect(
            photo.pixels,
            seed=job.parameters.settings.seed,
            infrared=inputs.infrared(photo),
            progress=progress.report,
            should_stop=lambda: not store.wanted(job)[0],
        )
    except DetectionCancelled:
        raise Abandoned from None
    data = damage.to_png()
    name = f"levels.{job.attempt}"
    if not write_result(store, files, job, name, data):
        raise Abandoned
    result = {
        "file": name,
        "height": damage.level.shape[0],
        "width": damage.level.shape[1],
        "marks": {kind: damage.count(kinds=[kind]) for kind in DAMAGE_KINDS},
        "share": float(damage.mask().mean()),
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "seconds": round(time.monotonic() - began, 3),
    }
    if not store.finish(job, [result], stopped=False, notes=to_json(damage.notes)):
        raise Abandoned


class _Progress:
    """Reports the share of the work that is done, at most some times in a second."""

    def __init__(self, job: Attempt, store: JobStore) -> None:
        self._job, self._store = job, store
        self._began = time.monotonic()
        self._next = 0.0

    def report(self, fraction: float) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + PROGRESS_EVERY_S
        elapsed_s = now - self._began
        data = {
            "state": "running",
            "attempt": self._job.attempt,
            "fraction": round(fraction, 5),
            "elapsed_s": round(elapsed_s, 3),
            "remaining_s": round(elapsed_s * (1 / fraction - 1), 1) if fraction else None,
        }
        with reports_left_out():
            if not self._store.note_progress(self._job, data, steps=0, notes=[]):
                raise Abandoned
