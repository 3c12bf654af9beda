"""Tells the store how a job goes, often enough for a person and at a small, bounded cost."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dip.image_io import Metadata, Photo, encode_photo
from dip.samples import to_8_bit
from server.errors import ServiceError
from server.jobs.files import JobFiles
from server.jobs.job import Attempt

if TYPE_CHECKING:
    from dip.restore import Restoration, Step

PROGRESS_EVERY_S = 0.2
PROGRESS_PART = 1 / 2000
"""Of the time so far: an hour's job reports every 2 s, and a day's has some 13 000 events."""

PREVIEW_EVERY_S = 0.5
PREVIEW_SHARE = 0.02
"""Of the time, at most."""

MOST_EVENTS = 20_000
MOST_PREVIEW_PX = 1280
"""To a side; larger regions are shown reduced."""

Array = NDArray[Any]


class JobStore(Protocol):
    """Where a worker writes down how a job goes: the store, or a wire that ends there."""

    def wanted(self, job: Attempt) -> tuple[bool, int | None]: ...

    def note_progress(
        self, job: Attempt, data: dict[str, Any], *, steps: int, notes: list[str]
    ) -> bool: ...

    def note_preview(self, job: Attempt, data: dict[str, Any]) -> bool: ...

    def finish(
        self, job: Attempt, results: list[dict[str, Any]], *, stopped: bool, notes: list[str]
    ) -> bool: ...

    def fail(self, job: Attempt, error: ServiceError) -> bool: ...

    def ids_with_pixels(self) -> set[str]: ...


class Abandoned(Exception):
    """The job was cancelled, or given to another: what is done here is of no use any more."""


class Reporter:
    """Reports one attempt at one job.

    Parameters
    ----------
    job : Attempt
    store : JobStore
    blobs : JobFiles

    Attributes
    ----------
    stopped : bool
        Whether somebody asked to finish with the best so far.
    notes : list of str
        What the engine said aloud.
    preview_files : set of str
        The preview that the store knows of.
    """

    def __init__(self, job: Attempt, store: JobStore, blobs: JobFiles) -> None:
        self._job, self._store, self._blobs = job, store, blobs
        self.stopped = False
        self.notes: list[str] = []
        self.preview_files: set[str] = set()
        self._began = time.monotonic()
        self._next_progress = self._next_preview = 0.0
        self._previews = self._events = 0
        self._networks_done = -1
        self._iteration = 0
        self._loss: float | None = None
        self._psnr_db: float | None = None

    def begin(self, network: str, restoration: Restoration, photo: Photo) -> None:
        """Turn to the next network, which is fitted to a photo."""
        image = photo.pixels
        self._network, self._restoration = network, restoration
        # Its colours mean what those of the photo mean; nothing else of it is told.
        self._colours = Photo(
            pixels=image[:1, :1], format="jpeg", metadata=Metadata(icc=photo.metadata.icc)
        )
        self._network_began = time.monotonic()
        self._networks_done += 1
        self._iteration = 0
        self._loss = self._psnr_db = None
        for note in restoration.notes:
            if note not in self.notes:
                self.notes.append(note)

    def show(self) -> None:
        """Show what there is, unless that was done a moment ago: before the first step as well.

        Raises
        ------
        Abandoned
        """
        now = time.monotonic()
        if now >= self._next_preview:
            self._show_preview(now)

    def note(self, step: Step) -> bool:
        """Take note of a step. False: stop here.

        Raises
        ------
        Abandoned
        """
        self._iteration = step.iteration
        self._loss = _finite(step.loss, self._loss)
        self._psnr_db = _finite(step.validation_psnr_db, self._psnr_db)
        if step.note and step.note not in self.notes:
            self.notes.append(step.note)
        wanted, stop_at = self._store.wanted(self._job)
        if not wanted:
            raise Abandoned
        now = time.monotonic()
        last = step.iteration == step.iterations
        if (now >= self._next_progress or last or step.note) and self._events < MOST_EVENTS:
            self._tell_progress(step, now)
        self.show()
        steps = self._networks_done * step.iterations + step.iteration
        self.stopped = stop_at is not None and steps >= stop_at
        return not self.stopped

    def figures(self) -> dict[str, Any]:
        """What a result says of its making."""
        return {
            "iterations": self._iteration,
            "validation_psnr_db": self._psnr_db,
            "seconds": round(time.monotonic() - self._network_began, 3),
        }

    def _tell_progress(self, step: Step, now: float) -> None:
        networks = len(self._job.parameters.networks)
        steps = self._networks_done * step.iterations + step.iteration
        fraction = steps / (networks * step.iterations)
        elapsed_s = now - self._began
        data = {
            "state": "running",
            "attempt": self._job.attempt,
            "network": self._network,
            "iteration": step.iteration,
            "iterations": step.iterations,
            "region": step.region,
            "regions": step.regions,
            "fraction": round(fraction, 5),
            "loss": self._loss,
            "validation_psnr_db": self._psnr_db,
            "elapsed_s": round(elapsed_s, 3),
            "remaining_s": round(elapsed_s / fraction - elapsed_s, 1),
            "note": step.note,
        }
        if not self._store.note_progress(self._job, data, steps=steps, notes=self.notes):
            raise Abandoned
        self._events += 1
        self._next_progress = now + max(PROGRESS_EVERY_S, PROGRESS_PART * elapsed_s)

    def _show_preview(self, now: float) -> None:
        preview = self._restoration.preview()
        box, levels = preview.box, to_8_bit(preview.pixels)
        if levels.shape[2] in (2, 4):
            levels = levels[:, :, :-1]  # what is shown has no transparency
        factor = -(-max(box.height, box.width) // MOST_PREVIEW_PX)
        data = encode_photo(_reduced(levels, factor), "jpeg", like=self._colours)
        self._previews += 1
        name = f"preview.{self._job.attempt}.{self._previews}"
        try:
            self._blobs.write(self._job.id, name, data, durable=False)
        except FileNotFoundError:
            raise Abandoned from None  # cancelled: the folder is gone
        shown = {
            "number": self._previews,
            "network": self._network,
            "iteration": self._iteration,
            "top": box.top,
            "left": box.left,
            "height": box.height,
            "width": box.width,
            "file": name,
        }
        if not self._store.note_preview(self._job, shown):
            raise Abandoned
        for old in self.preview_files:
            self._blobs.remove(self._job.id, old)
        self.preview_files = {name}
        cost_s = time.monotonic() - now
        self._next_preview = now + max(PREVIEW_EVERY_S, cost_s / PREVIEW_SHARE)


def _finite(value: float | None, otherwise: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else otherwise


def _reduced(levels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """(H, W, C) uint8, as means over squares of `factor` pixels."""
    if factor <= 1:
        return levels
    height, width = (length // factor * factor for length in levels.shape[:2])
    squares = levels[:height, :width].reshape(
        height // factor, factor, width // factor, factor, -1
    )  # (H/f, f, W/f, f, C)
    return squares.mean(axis=(1, 3)).astype(np.uint8)
