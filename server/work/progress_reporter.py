"""Reports the progress of a job to the store: often enough for people, at a small, bounded cost."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dip.image_io import Metadata, Photo, encode_photo
from dip.notes import Note, to_json
from dip.regions.box import Box
from dip.samples import to_8_bit
from server.jobs.job import Attempt
from server.work.full_disk import reports_left_out
from server.work.job_store import JobStore, PixelFiles

if TYPE_CHECKING:
    from dip.restore import Restoration
    from dip.step import Step

PROGRESS_EVERY_S = 0.2
PROGRESS_PART = 1 / 2000
"""Share of the elapsed time: a job of an hour reports every 2 s, one of a day 13 000 times."""

PREVIEW_EVERY_S = 0.5
PREVIEW_SHARE = 0.02
"""Largest share of the time that previews may take."""

MAX_EVENTS = 20_000
MAX_PREVIEW_PX = 1280
"""Length of the longer side; larger regions are reduced."""

Array = NDArray[Any]


class Abandoned(Exception):
    """The job was cancelled, or another worker has it: this attempt is of no use any more."""


class Reporter:
    """Reports one attempt at one job.

    Parameters
    ----------
    job : Attempt
    store : JobStore
    files : PixelFiles
    pages : int
        The number of pages that each network restores.

    Attributes
    ----------
    stopped : bool
        Whether a user asked to stop with the best result so far.
    notes : list of Note
        Of the engine for the user; one may be there several times.
    preview_files : set of str
        The file of the preview that the store shows.
    """

    def __init__(self, job: Attempt, store: JobStore, files: PixelFiles, pages: int = 1) -> None:
        self._job, self._store, self._files = job, store, files
        self.stopped = False
        self.notes: list[Note] = []
        self.preview_files: set[str] = set()
        self._began = time.monotonic()
        self._next_progress = self._next_preview = 0.0
        self._previews = self._events = 0
        self._fits = len(job.parameters.networks) * pages
        self._fits_done = -1
        self._network = ""
        self._page: int | None = None
        self._steps = self._earlier_iterations = self._iteration = 0
        self._loss: float | None = None
        self._psnr_db: float | None = None
        self._worst_psnr_db: float | None = None

    def announce(self, notes: list[Note]) -> None:
        """Report the things that the result cannot hold, before the work.

        Raises
        ------
        Abandoned
        """
        self.notes += notes
        with reports_left_out():
            if not self._store.note_remarks(self._job, to_json(self.notes)):
                raise Abandoned

    def begin(
        self, network: str, restoration: Restoration, photo: Photo, page: int | None = None
    ) -> None:
        """Begin the reports on the next fit: of the next page, or with the next network."""
        image = photo.pixels
        now = time.monotonic()
        self._steps += self._iteration
        if network == self._network:
            self._earlier_iterations += self._iteration
            self._worst_psnr_db = self._worst_of_pages()
        else:
            self._earlier_iterations, self._worst_psnr_db = 0, None
            self._network_began = now
        self._network, self._page = network, page
        self._restoration: Restoration | None = restoration
        # Previews have the photo's colour profile, and no other metadata.
        self._colours = Photo(
            pixels=image[:1, :1], format="jpeg", metadata=Metadata(icc=photo.metadata.icc)
        )
        self._page_began = self._fit_began = now
        self._fits_done += 1
        self._iteration = 0
        self._loss = self._psnr_db = None
        self.notes += restoration.notes

    def show(self) -> None:
        """Write a preview, unless the last one is recent; also before the first step.

        Raises
        ------
        Abandoned
        """
        now = time.monotonic()
        if now >= self._next_preview:
            self._show_preview(now)

    def note(self, step: Step) -> bool:
        """Report a step; False where the fit must stop here.

        Raises
        ------
        Abandoned
        """
        self._iteration = step.iteration
        self._loss = _finite(step.loss, self._loss)
        self._psnr_db = _finite(step.validation_psnr_db, self._psnr_db)
        if step.note:
            self.notes.append(step.note)
        wanted, stop_at = self._store.wanted(self._job)
        if not wanted:
            raise Abandoned
        now = time.monotonic()
        if step.fraction == 0:
            self._fit_began = now  # the first fill of all damage is no measure of the rest
        last = step.fraction == 1
        if (now >= self._next_progress or last or step.note) and self._events < MAX_EVENTS:
            self._report_progress(step, now)
        self.show()
        steps = self._steps + step.iteration
        self.stopped = stop_at is not None and steps >= stop_at
        return not self.stopped

    def end_fit(self) -> None:
        """Forget the restoration, which is as large as its photo."""
        self._restoration = None

    def figures(self) -> dict[str, Any]:
        """Figures of the finished network, for its result."""
        return {
            "iterations": self._earlier_iterations + self._iteration,
            "validation_psnr_db": self._worst_of_pages(),
            "seconds": round(time.monotonic() - self._network_began, 3),
        }

    def _worst_of_pages(self) -> float | None:
        found = [each for each in (self._worst_psnr_db, self._psnr_db) if each is not None]
        return min(found, default=None)

    def _report_progress(self, step: Step, now: float) -> None:
        steps = self._steps + step.iteration
        fraction = (self._fits_done + step.fraction) / self._fits
        elapsed_s = now - self._began
        data = {
            "state": "running",
            "attempt": self._job.attempt,
            "network": self._network,
            "page": None if self._page is None else self._page + 1,
            "iteration": step.iteration,
            "iterations": step.iterations,
            "region": step.region,
            "regions": step.regions,
            "run": step.run,
            "fraction": round(fraction, 5),
            "loss": self._loss,
            "validation_psnr_db": self._psnr_db,
            "elapsed_s": round(elapsed_s, 3),
            "remaining_s": self._remaining_s(step.fraction, now),
            "note": step.note,
            "coded_note": step.note and step.note.to_json(),
        }
        with reports_left_out():
            notes = to_json(self.notes)
            if not self._store.note_progress(self._job, data, steps=steps, notes=notes):
                raise Abandoned
            self._events += 1
        self._next_progress = now + max(PROGRESS_EVERY_S, PROGRESS_PART * elapsed_s)

    def _remaining_s(self, done: float, now: float) -> float | None:
        """Predict the time left from the share of the work of this fit."""
        if not done:
            return None
        fits_left = self._fits - self._fits_done
        left_s = (now - self._fit_began) * (fits_left / done - 1)
        limit_s = self._job.parameters.settings.time_s
        if limit_s is not None:
            left_s = min(left_s, fits_left * limit_s - (now - self._page_began))
        return round(max(0.0, left_s), 1)

    def _show_preview(self, now: float) -> None:
        assert self._restoration is not None
        preview = self._restoration.preview()
        box, levels = preview.box, to_8_bit(preview.pixels)
        if levels.shape[2] in (2, 4):
            levels = levels[:, :, :-1]  # a preview has no transparency
        factor = -(-max(levels.shape[:2]) // MAX_PREVIEW_PX)
        data = encode_photo(_reduced(levels, factor), "jpeg", like=self._colours)
        self._previews += 1
        with reports_left_out():
            self._store_preview(box, data)
        cost_s = time.monotonic() - now
        self._next_preview = now + max(PREVIEW_EVERY_S, cost_s / PREVIEW_SHARE)

    def _store_preview(self, box: Box, data: bytes) -> None:
        name = f"preview.{self._job.attempt}.{self._previews}"
        try:
            self._files.write(self._job.id, name, data, durable=False)
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
            self._files.remove(self._job.id, old)
        self.preview_files = {name}


def _finite(value: float | None, otherwise: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else otherwise


def _reduced(levels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Reduce (H, W, C) uint8 by means over squares of `factor` pixels."""
    if factor <= 1:
        return levels
    height, width = (length // factor * factor for length in levels.shape[:2])
    squares = levels[:height, :width].reshape(
        height // factor, factor, width // factor, factor, -1
    )  # (H/f, f, W/f, f, C)
    return squares.mean(axis=(1, 3)).astype(np.uint8)
