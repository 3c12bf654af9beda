"""Several fits, and what most of them agree on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dip import device
from dip.config import FitConfig, NetworkConfig
from dip.ensemble import Ensemble, Rescaled, trimmed_mean
from dip.fit import Fit
from dip.resample import reduce

SMALL = NetworkConfig(channels=(8, 16), skip_channels=(0, 0))


@pytest.fixture
def begin(photo: Any, mask: Any) -> Any:
    def begin(run: int) -> Fit:
        config = FitConfig(network=SMALL, iterations=4)
        target = photo.astype(np.float32) / 255
        return Fit(target, ~mask, config, compute=device.choose("cpu"), seed=run)

    return begin


def test_the_trimmed_mean_of_all_runs_is_the_result(begin: Any) -> None:
    ensemble = Ensemble(begin, 3)
    steps = list(ensemble)
    outputs = []
    for run in range(3):
        fit = begin(run)
        list(fit)
        outputs.append(fit.output())
    np.testing.assert_array_equal(ensemble.output(), trimmed_mean(np.stack(outputs)))
    assert [step.index for step in steps] == list(range(1, 13))


def test_it_is_said_that_another_run_begins(begin: Any) -> None:
    notes = [step.note for step in Ensemble(begin, 3) if step.note]
    assert notes == [
        "run 2 of 3; the result is what most of them agree on",
        "run 3 of 3; the result is what most of them agree on",
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


@pytest.mark.parametrize("runs", [3, 4, 5, 8])
def test_a_run_that_is_far_off_has_no_weight(runs: int) -> None:
    outputs = np.random.default_rng(0).random((runs, 4, 5, 3)).astype(np.float32)
    expected = np.sort(outputs, axis=0)
    outputs[1] = 1000
    wild = trimmed_mean(outputs)
    assert wild.max() <= expected.max()


@pytest.mark.parametrize(("values", "mean"), [([2], 2), ([1, 2], 1.5), ([1, 2, 9], 2)])
def test_few_runs(values: list[float], mean: float) -> None:
    outputs = np.array(values, dtype=np.float32).reshape(-1, 1, 1, 1)
    assert trimmed_mean(outputs).item() == pytest.approx(mean)


def test_a_run_at_another_size_gives_what_the_others_give(photo: Any, mask: Any) -> None:
    height, width = mask.shape
    target, known = photo.astype(np.float32) / 255, ~mask
    runs = []
    for factor in (2, 3):
        small = reduce(target, known, factor)
        config = FitConfig(network=SMALL, iterations=60)
        runs.append(Fit(*small, config, compute=device.choose("cpu"), seed=1))
    fine, coarse = runs[0], Rescaled(runs[1], height, width, 3, 2)
    assert coarse.output().shape == fine.output().shape
    for run in (fine, coarse):
        list(run)
    # The same picture in the same place: moved by two pixels it fits less well.
    away = [
        np.square(np.roll(coarse.output(), shift, 1) - fine.output()).mean() for shift in (0, 2, -2)
    ]
    assert away[0] < min(away[1:])
