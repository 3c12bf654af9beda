"""Several fits of one region from different random starts, and their median.

A large hole constrains a network so little that now and then a start ends in a fill that is far
off. The median of several leaves such a one out, and the rest of what differs between them is
error too: the paper averages runs for the same reason (arXiv:1711.10925, section 4.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dip.fit import Fit, FitStep


class Ensemble:
    """Fits one after the other; iterate and ask for the output as with `dip.fit.Fit`.

    Parameters
    ----------
    begin : callable
        Makes the fit of a run, 0-based.
    runs : int
    """

    def __init__(self, begin: Callable[[int], Fit], runs: int) -> None:
        self._begin = begin
        self._runs = runs
        self._outputs: list[NDArray[np.float32]] = []
        self._fit = begin(0)

    def __iter__(self) -> Iterator[FitStep]:
        iterations = self._fit.config.iterations
        for run in range(self._runs):
            if run:
                self._fit = self._begin(run)
            for step in self._fit:
                note = step.note
                if run and step.index == 1:
                    note = f"run {run + 1} of {self._runs}; the result is the median of all runs"
                yield replace(step, index=run * iterations + step.index, note=note)
            self._outputs.append(self._fit.output())

    def output(self) -> NDArray[np.float32]:
        """The median of the runs that are done, (H, W, C), float32 in [0, 1].

        Until the first is done, what it has so far.
        """
        if not self._outputs:
            return self._fit.output()
        median: NDArray[np.float32] = np.median(self._outputs, axis=0).astype(np.float32)
        return median
