"""Several fits of one region from different random starts, and what most of them agree on.

What differs between runs is error, and averaging takes some of it away, as the paper does
(arXiv:1711.10925, section 4.1). But a large hole constrains a network so little that now and then
a start ends in a fill that is far off, and sometimes half of them do. Fills that are right resemble
each other, fills that are wrong are wrong in ways of their own: so each run counts by how near it
is to others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dip.fitting.fit import Fit, FitStep
from dip.machine.threads import side_by_side

_SAME = 1e-8
"""Mean squared distance of outputs that are as good as equal."""


class Ensemble:
    """Several fits; iterate and ask for the output as with `dip.fitting.fit.Fit`.

    Where a step is small, two fits with one core each are done sooner than one after the other
    with two. They go step by step together, so that nothing is computed while a step is looked at.

    Parameters
    ----------
    begin : callable
        Makes the fit of a run, 0-based.
    runs : int
    unknown : ndarray
        (H, W) bool, where they must agree.
    at_once : int
        Runs that are fitted side by side, on a CPU; they share its threads.
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
        self._agreed: NDArray[np.float32] | None = None
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
                    note = (
                        f"run {first + run + 1} of {len(self._runs)}; "
                        "the result is what most of them agree on"
                    )
                yield replace(step, index=first * iterations + index, note=note)
            outputs += [fit.output() for fit in self._fits]
            self._agreed = agreement(np.stack(outputs), self._unknown)

    def output(self) -> NDArray[np.float32]:
        """What the runs that are done agree on, (H, W, C), float32 in [0, 1].

        Until the first is done, what it has so far.
        """
        return self._fits[0].output() if self._agreed is None else self._agreed

    def _begin_from(self, first: int) -> list[Fit]:
        return [self._begin(run) for run in self._runs[first : first + self._at_once]]

    def _side_by_side(self) -> Iterator[tuple[int, int, FitStep]]:
        """The fit, the 1-based index of the step among those of all, and the step."""
        fits = [iter(fit) for fit in self._fits]
        with side_by_side(self._at_once) as pool:
            # One alone stays in this thread: a GPU's graph is recorded in the one that replays it.
            spread = map if self._at_once == 1 else pool.map
            while any(steps := list(spread(_next, fits))):
                for run, step in enumerate(steps):
                    if step is not None:
                        yield run, (step.index - 1) * len(fits) + run + 1, step


def _next(steps: Iterator[FitStep]) -> FitStep | None:
    return next(steps, None)


def agreement(outputs: NDArray[np.float32], unknown: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Average outputs, those that others resemble above all.

    An output weighs as the inverse square of its mean squared distance to the nearer half of the
    others, over the unknown pixels.

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
    apart = np.array([[np.square(one - other).mean() for other in fills] for one in fills])
    # The first of a sorted row is an output's distance to itself.
    nearer = np.sort(apart, axis=1)[:, 1 : 1 + max(1, (count - 1) // 2)]
    distance = nearer.mean(axis=1, dtype=np.float64) if count > 1 else np.zeros(1)
    weights = (distance + _SAME) ** -2
    weights /= weights.sum()
    mean: NDArray[np.float32] = np.tensordot(weights.astype(np.float32), outputs, axes=1)
    return mean
