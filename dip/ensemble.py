"""Several fits of one region from different random starts, and their trimmed mean.

A large hole constrains a network so little that now and then a start ends in a fill that is far
off. Pixel by pixel the lowest and the highest quarter are left out, and the rest is averaged: what
differs between runs is error too, and the paper averages them for the same reason
(arXiv:1711.10925, section 4.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dip.config import FitConfig
from dip.fit import Fit, FitStep
from dip.resample import enlarge, reduce


class Run(Protocol):
    """What an ensemble needs of a fit."""

    @property
    def config(self) -> FitConfig: ...

    def __iter__(self) -> Iterator[FitStep]: ...

    def output(self) -> NDArray[np.float32]: ...


class Rescaled:
    """A fit of the same image at another size, its output brought to the size of the others.

    Parameters
    ----------
    fit : Fit
    height, width : int
        Of the image at full size.
    factor, to_factor : int
        By which the fit's target and those of the others are reduced.
    """

    def __init__(self, fit: Fit, height: int, width: int, factor: int, to_factor: int) -> None:
        self.config = fit.config
        self._fit = fit
        self._shape = (height, width)
        self._factor, self._to_factor = factor, to_factor

    def __iter__(self) -> Iterator[FitStep]:
        return iter(self._fit)

    def output(self) -> NDArray[np.float32]:
        full = enlarge(self._fit.output(), *self._shape, self._factor)
        return reduce(full, np.ones(self._shape, dtype=bool), self._to_factor)[0]


class Ensemble:
    """Fits one after the other; iterate and ask for the output as with `dip.fit.Fit`.

    Parameters
    ----------
    begin : callable
        Makes the fit of a run, 0-based.
    runs : int
    """

    def __init__(self, begin: Callable[[int], Run], runs: int) -> None:
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
                    note = (
                        f"run {run + 1} of {self._runs}; the result is what most of them agree on"
                    )
                yield replace(step, index=run * iterations + step.index, note=note)
            self._outputs.append(self._fit.output())

    def output(self) -> NDArray[np.float32]:
        """The trimmed mean of the runs that are done, (H, W, C), float32 in [0, 1].

        Until the first is done, what it has so far.
        """
        if not self._outputs:
            return self._fit.output()
        return trimmed_mean(np.stack(self._outputs))


def trimmed_mean(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean without the lowest and the highest quarter, but of three without these two.

    Parameters
    ----------
    outputs : ndarray
        (runs, H, W, C)

    Returns
    -------
    ndarray
        (H, W, C)
    """
    count = len(outputs)
    left_out = max(count // 4, 1 if count > 2 else 0)
    middle: NDArray[np.float32] = np.sort(outputs, axis=0)[left_out : count - left_out]
    return middle.mean(axis=0, dtype=np.float32)
