"""An ensemble: several fits of one region from different random starts, and their weighted mean.

The differences between runs are errors, and averaging reduces them, as in the paper
(arXiv:1711.10925, section 4.1). But a large hole constrains a network so little that some runs,
sometimes half of them, end far from the truth. Good fills resemble each other, bad fills differ
from all others. So the weight of a run depends on its distance to the other runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dip.fitting.fit import Fit, FitStep
from dip.machine.threads import side_by_side
from dip.notes import Note

_RUN_SEEDS = 1_000_003
"""Distance between the seeds of runs; the seeds between belong to other regions."""

_EQUAL = 1e-8
"""Mean squared distance of outputs that are practically equal."""


class Ensemble:
    """Several fits with the interface of `dip.fitting.fit.Fit`: iterate, and read the output.

    If steps are small, two fits with one core each, side by side, are faster than one after the
    other with two cores. They take each step together, so that nothing is computed between steps.

    Parameters
    ----------
    begin : callable
        Makes the fit of a run; its argument is the 0-based number of the run.
    runs : int
    unknown : ndarray
        (H, W) bool, where the outputs are compared.
    at_once : int
        Number of runs that are fitted side by side on a CPU; they share its threads.
    """

    def __init__(
        self,
        begin: Callable[[int], Fit],
        runs: int,
        unknown: NDArray[np.bool_],
        *,
        at_once: int = 1,
    ) -> None:
        self._begin = begin
        self._runs = range(runs)
        self._unknown = unknown
        self._at_once = at_once
        self._mean: NDArray[np.float32] | None = None
        self._fits = self._begin_from(0)

    def __iter__(self) -> Iterator[FitStep]:
        iterations = self._fits[0].config.iterations
        outputs = []
        for first in self._runs[:: self._at_once]:
            if first:
                self._fits = self._begin_from(first)
            for run, index, step in self._side_by_side():
                note = step.note
                if first and step.index == 1:
                    note = Note("run", run=first + run + 1, runs=len(self._runs))
                index += first * iterations
                yield replace(step, index=index, note=note, run=first + run)
            outputs += [fit.output() for fit in self._fits]
            self._mean = weighted_mean(np.stack(outputs), self._unknown)

    def output(self) -> NDArray[np.float32]:
        """Return the weighted mean of the completed runs, (H, W, C), float32 in [0, 1].

        Before the first run is complete, return its output so far.
        """
        return self._fits[0].output() if self._mean is None else self._mean

    def _begin_from(self, first: int) -> list[Fit]:
        return [self._begin(run) for run in self._runs[first : first + self._at_once]]

    def _side_by_side(self) -> Iterator[tuple[int, int, FitStep]]:
        """Yield the number of the fit, the 1-based index over all fits, and the step."""
        fits = [iter(fit) for fit in self._fits]
        with side_by_side(self._at_once) as pool:
            # A single fit stays in this thread: it must record and replay a GPU's graph in one.
            apply = map if self._at_once == 1 else pool.map
            while any(steps := list(apply(_next, fits))):
                for run, step in enumerate(steps):
                    if step is not None:
                        yield run, (step.index - 1) * len(fits) + run + 1, step


def seed_of_run(seed: int, run: int) -> int:
    """Return the seed of a run, by the seed of the fit and the 0-based number of the run."""
    return (seed + _RUN_SEEDS * run) % 2**63


def _next(steps: Iterator[FitStep]) -> FitStep | None:
    return next(steps, None)


def weighted_mean(outputs: NDArray[np.float32], unknown: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Average outputs, with more weight for outputs that resemble others.

    The weight of an output is the inverse square of its mean squared distance to the nearer half of
    the other outputs, over the unknown pixels.

    Parameters
    ----------
    outputs : ndarray
        (runs, H, W, C)
    unknown : ndarray
        (H, W) bool

    Returns
    -------
    ndarray
        (H, W, C)
    """
    count = len(outputs)
    fills = outputs[:, unknown]
    distances = np.array([[np.square(one - other).mean() for other in fills] for one in fills])
    # The first of a sorted row is an output's distance to itself.
    nearer = np.sort(distances, axis=1)[:, 1 : 1 + max(1, (count - 1) // 2)]
    distance = nearer.mean(axis=1, dtype=np.float64) if count > 1 else np.zeros(1)
    weights = (distance + _EQUAL) ** -2
    weights /= weights.sum()
    mean: NDArray[np.float32] = np.tensordot(weights.astype(np.float32), outputs, axes=1)
    return mean
