"""Several fits, and their median."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dip import device
from dip.config import FitConfig, NetworkConfig
from dip.ensemble import Ensemble
from dip.fit import Fit

SMALL = NetworkConfig(channels=(8, 16), skip_channels=(0, 0))


@pytest.fixture
def begin(photo: Any, mask: Any) -> Any:
    def begin(run: int) -> Fit:
        config = FitConfig(network=SMALL, iterations=4)
        target = photo.astype(np.float32) / 255
        return Fit(target, ~mask, config, compute=device.choose("cpu"), seed=run)

    return begin


def test_the_median_of_all_runs_is_the_result(begin: Any) -> None:
    ensemble = Ensemble(begin, 3)
    steps = list(ensemble)
    outputs = []
    for run in range(3):
        fit = begin(run)
        list(fit)
        outputs.append(fit.output())
    np.testing.assert_array_equal(ensemble.output(), np.median(outputs, axis=0))
    assert [step.index for step in steps] == list(range(1, 13))


def test_it_is_said_that_another_run_begins(begin: Any) -> None:
    notes = [step.note for step in Ensemble(begin, 3) if step.note]
    assert notes == [
        "run 2 of 3; the result is the median of all runs",
        "run 3 of 3; the result is the median of all runs",
    ]


def test_there_is_an_output_at_any_moment(begin: Any) -> None:
    ensemble = Ensemble(begin, 2)
    before = ensemble.output()
    steps = iter(ensemble)
    next(steps)
    during = ensemble.output()
    assert not np.array_equal(during, before)
    for step in steps:
        if step.index == 6:
            break
    first = begin(0)
    list(first)
    np.testing.assert_array_equal(ensemble.output(), first.output())
