"""How long a batch will take, said before it starts.

From what photos took earlier with the same settings, where the manifest knows of at least three;
otherwise from fits of a few of them that are cut off after a while, all processes at work, so that
what they take from each other is in the figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from dip.batch.files import ResultWriter, load_photo
from dip.batch.fit_process import Outcome, Task
from dip.batch.manifest import Manifest, digest_of_settings
from dip.batch.pairing import Item
from dip.batch.worker_pool import WorkerPool
from dip.console import format_duration
from dip.errors import InputError

FEWEST_EARLIER = 3
TRIED = 4
TRY_S = 8.0


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What is expected of a batch.

    Parameters
    ----------
    seconds_each : float
        Of one worker, for one photo.
    photos, workers : int
    basis : str
        Where the figure comes from.
    """

    seconds_each: float
    photos: int
    workers: int
    basis: str

    @property
    def seconds(self) -> float:
        """Of the whole, by the clock."""
        rounds = max(1.0, self.photos / self.workers)
        return self.seconds_each * (rounds if self.photos else 0.0)

    def describe(self) -> str:
        """One line for a person."""
        each = format_duration(self.seconds_each)
        return (
            f"about {format_duration(self.seconds)}: {self.photos} photos at {each} each, "
            f"{self.workers} at a time ({self.basis})"
        )


def estimate(
    items: Sequence[Item], writer: ResultWriter, manifest: Manifest, pool: WorkerPool, workers: int
) -> Estimate | None:
    """Say how long these photos will take; None where none of those tried could be restored."""
    earlier = [
        seconds
        for file_format in {item.file_format for item in items}
        for seconds in manifest.seconds_with(digest_of_settings(writer.settings, file_format))
    ]
    if len(earlier) >= FEWEST_EARLIER:
        basis = f"the mean of {len(earlier)} done before"
        return Estimate(seconds_each=mean(earlier), photos=len(items), workers=workers, basis=basis)
    outcomes = pool.time(_trials(items, writer))
    seconds = [_whole_s(each) for each in outcomes if each.error is None]
    if not seconds:
        return None
    basis = f"from {len(seconds)} begun for {TRY_S:.0f} s on this machine"
    return Estimate(seconds_each=mean(seconds), photos=len(items), workers=workers, basis=basis)


def _trials(items: Sequence[Item], writer: ResultWriter) -> Iterator[Task]:
    """Photos of different sizes: the smallest, the largest, and some between."""

    def size(item: Item) -> int:
        try:
            return Path(writer.folder / item.photo).stat().st_size
        except OSError:
            return 0

    ordered = sorted(items, key=size)
    count = min(TRIED, len(ordered))
    # The middle of each of as many equal parts stands for that part.
    for number in range(count):
        item = ordered[(2 * number + 1) * len(ordered) // (2 * count)]
        try:
            loaded = load_photo(writer.folder, item)
        except InputError:
            continue
        yield replace(loaded.task(writer.settings), limit_s=TRY_S)


def _whole_s(outcome: Outcome) -> float:
    figures = outcome.figures
    share = figures["iterations"] / max(1, figures["planned_iterations"])
    return float(figures["fit_s"] / max(share, 1e-6))
