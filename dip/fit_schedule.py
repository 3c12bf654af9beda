"""The schedule of the fits of a restoration: their order, the work done, and the time limit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from dip.config import FitConfig
from dip.fitting.fit import FitStep
from dip.notes import Note
from dip.step import Step

_OVERHEAD_PX = 8_000
"""An iteration of the smallest fit takes as long as the arithmetic for so many pixels."""

_FIRST_GUESS_PX_PER_S = 300_000
"""Pixels times iterations in a second, before the speed of this machine has been measured."""

_FEWEST_ITERATIONS = 20
"""A fit with a time limit has at least so many iterations, or is left out."""


class FitSchedule:
    """The fits of a restoration, in their order.

    Parameters
    ----------
    fits : sequence of tuple
        The size, in pixels, and the configuration of each fit.
    deadline : float, optional
        The value of `time.monotonic` at which the work ends.
    """

    def __init__(
        self, fits: Sequence[tuple[int, FitConfig]], deadline: float | None = None
    ) -> None:
        self._sizes = [pixels + _OVERHEAD_PX for pixels, _ in fits]
        self._iterations = [config.total_iterations for _, config in fits]
        self._configs = [config for _, config in fits]
        self._done = [0] * len(fits)
        self._over = [False] * len(fits)
        self._cut = [False] * len(fits)
        self._deadline = deadline
        self._began = time.monotonic()

    @property
    def iterations(self) -> int:
        """Iterations of all fits."""
        return sum(self._iterations)

    @property
    def is_late(self) -> bool:
        """Whether the time is over."""
        return self._deadline is not None and time.monotonic() >= self._deadline

    @property
    def is_complete(self) -> bool:
        """Whether all fits have ended, and the time sufficed for their iterations."""
        return all(self._over)

    def config(self, number: int) -> FitConfig | None:
        """The configuration of a fit, with as many iterations as the time allows.

        None if the time does not suffice for a useful fit.
        """
        config = self._configs[number]
        if self._deadline is None:
            return config
        now = time.monotonic()
        done = self._work(self._done)
        rate = done / max(now - self._began, 1e-3) if done else _FIRST_GUESS_PX_PER_S
        possible = int((self._deadline - now) * rate / self._sizes[number])
        if possible >= config.total_iterations:
            return config
        self._cut[number] = True
        if possible < min(_FEWEST_ITERATIONS, config.iterations):
            return None
        return replace(config, runs=1, iterations=min(possible, config.iterations))

    def end(self, number: int) -> None:
        """Count a fit as done, also where it ended early, unless the time did not suffice."""
        self._over[number] = not self._cut[number]

    def step(self, number: int, step: FitStep | None = None, note: Note | None = None) -> Step:
        """Describe the progress after a step of a fit, or after the first fill."""
        if step is not None:
            self._done[number] = step.index
        counted = [
            planned if over else done
            for planned, over, done in zip(self._iterations, self._over, self._done, strict=True)
        ]
        total = self._work(self._iterations)
        return Step(
            iteration=sum(counted),
            iterations=self.iterations,
            region=number,
            regions=max(1, len(self._sizes)),
            fraction=min(1.0, self._work(counted) / total) if total else 1.0,
            loss=step.loss if step else None,
            validation_psnr_db=step.validation_psnr_db if step else None,
            note=(step.note if step else None) or note,
            run=step.run if step else 0,
        )

    def _work(self, iterations: Sequence[int]) -> int:
        return sum(size * each for size, each in zip(self._sizes, iterations, strict=True))
