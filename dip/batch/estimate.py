"""An estimate of the duration of a batch, for `dip batch --dry-run`.

Where the manifest has at least three photos with the same settings, their mean duration counts.
Otherwise a few photos are fitted for some seconds, in all processes at once: processes that share
a machine slow each other down.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

from dip.batch.files import load_photo
from dip.batch.fit_process import Outcome, Task
from dip.batch.manifest import Manifest, digest_of_settings
from dip.batch.pairing import Item
from dip.batch.worker_pool import WorkerPool
from dip.console import format_duration
from dip.errors import InputError

MIN_RECORDS = 3
TRIALS = 4
TRIAL_S = 8.0


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The expected duration of a batch.

    Parameters
    ----------
    seconds_each : float
        Duration of one photo on one worker.
    photos, workers : int
    basis : str
        The measurements behind the estimate, for a message.
    """

    seconds_each: float
    photos: int
    workers: int
    basis: str

    @property
    def seconds(self) -> float:
        """Duration of the whole batch."""
        rounds = max(1.0, self.photos / self.workers)
        return self.seconds_each * (rounds if self.photos else 0.0)

    def describe(self) -> str:
        """The estimate in one line."""
        each = format_duration(self.seconds_each)
        return (
            f"about {format_duration(self.seconds)}: {self.photos} photos at {each} each, "
            f"{self.workers} at a time ({self.basis})"
        )


def estimate(
    items: Sequence[Item], folder: Path, manifest: Manifest, pool: WorkerPool, workers: int
) -> Estimate | None:
    """Estimate how long these photos take; None where all trials failed.

    Parameters
    ----------
    items : sequence of Item
    folder : Path
        Folder of the photos.
    manifest : Manifest
    pool : WorkerPool
        Runs the trials; its settings are those of the batch.
    workers : int
        Photos restored at the same time.
    """
    earlier = [
        seconds
        for chosen in {(item.file_format, item.page) for item in items}
        for seconds in manifest.seconds_with(digest_of_settings(pool.settings, *chosen))
    ]
    if len(earlier) >= MIN_RECORDS:
        basis = f"the mean of {len(earlier)} done before"
        return Estimate(seconds_each=mean(earlier), photos=len(items), workers=workers, basis=basis)
    outcomes = pool.run_trials(_trials(items, folder, pool.settings))
    seconds = [_full_fit_s(each) for each in outcomes if each.error is None]
    if not seconds:
        return None
    basis = f"from {len(seconds)} trials of {TRIAL_S:.0f} s on this machine"
    return Estimate(seconds_each=mean(seconds), photos=len(items), workers=workers, basis=basis)


def _trials(items: Sequence[Item], folder: Path, settings: dict[str, Any]) -> Iterator[Task]:
    """Tasks with a time limit, of photos of different sizes."""

    def size(item: Item) -> int:
        try:
            return (folder / item.photo).stat().st_size
        except OSError:
            return 0

    ordered = sorted(items, key=size)
    count = min(TRIALS, len(ordered))
    # Ordered by size and divided into equal parts: the middle photo stands for its part.
    for number in range(count):
        item = ordered[(2 * number + 1) * len(ordered) // (2 * count)]
        try:
            loaded = load_photo(folder, item)
        except InputError:
            continue
        # A mask that the batch will refuse is as good as another for an estimate.
        yield replace(loaded.task(settings, mask_confirmed=True), limit_s=TRIAL_S)


def _full_fit_s(outcome: Outcome) -> float:
    """Duration of the whole fit, extrapolated from its first iterations, s."""
    figures = outcome.figures
    share = figures["fraction"]
    return float(figures["fit_s"] / max(share, 1e-6))
