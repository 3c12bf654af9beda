"""Several fits and their weighted mean."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from dip.config import FitConfig, NetworkConfig
from dip.fitting.ensemble import Ensemble, weighted_mean
from dip.fitting.fit import Fit, begin_fit
from dip.machine import device

SMALL = NetworkConfig(channels=(8, 16), skip_channels=(0, 0))


@pytest.fixture
def begin(photo: Any, mask: Any) -> Any:
    def begin(run: int) -> Fit:
        config = FitConfig(network=SMALL, iterations=4)
        target = photo.astype(np.float32) / 255
        return begin_fit(target, ~mask, config, compute=device.choose("cpu"), seed=run)

    return begin


def test_the_result_is_the_weighted_mean_of_all_runs(begin: Any, mask: Any) -> None:
    ensemble = Ensemble(begin, 3, mask)
    steps = list(ensemble)
    outputs = []
    for run in range(3):
        fit = begin(run)
        list(fit)
        outputs.append(fit.output())
    np.testing.assert_array_equal(ensemble.output(), weighted_mean(np.stack(outputs), mask))
    assert [step.index for step in steps] == list(range(1, 13))
    assert [step.run for step in steps] == [0] * 4 + [1] * 4 + [2] * 4


def test_a_note_says_that_another_run_begins(begin: Any, mask: Any) -> None:
    notes = [step.note for step in Ensemble(begin, 3, mask) if step.note]
    assert notes == [
        "run 2 of 3; the result is a mean of the runs that agree",
        "run 3 of 3; the result is a mean of the runs that agree",
    ]


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("runs", [2, 3])
def test_side_by_side_they_are_what_they_are_with_one_thread(
    begin: Any, mask: Any, runs: int
) -> None:
    ensemble = Ensemble(begin, runs, mask, at_once=2)
    steps = list(ensemble)
    indices = [step.index for step in steps]
    assert [step.run for step in steps] == [0, 1] * 4 + [2] * 4 * (runs - 2)
    assert torch.get_num_threads() == 2
    assert indices == list(range(1, 4 * runs + 1))
    torch.set_num_threads(1)
    alone = Ensemble(begin, runs, mask)
    list(alone)
    np.testing.assert_array_equal(ensemble.output(), alone.output())


@pytest.mark.usefixtures("two_threads")
def test_side_by_side_nothing_goes_on_behind_a_step(begin: Any, mask: Any) -> None:
    ensemble = Ensemble(begin, 2, mask, at_once=2)
    threads = threading.active_count()
    steps = iter(ensemble)
    next(steps)
    before = ensemble.output()
    time.sleep(0.3)
    np.testing.assert_array_equal(ensemble.output(), before)
    steps.close()  # type: ignore[attr-defined]
    assert threading.active_count() == threads


def test_a_failure_side_by_side_is_raised(begin: Any, mask: Any) -> None:
    def begin_badly(run: int) -> Any:
        fit = begin(run)
        if run == 1:
            fit._step = None  # type: ignore[assignment]
        return fit

    with pytest.raises(TypeError):
        list(Ensemble(begin_badly, 2, mask, at_once=2))


def test_there_is_an_output_at_any_moment(begin: Any, mask: Any) -> None:
    ensemble = Ensemble(begin, 2, mask)
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


@pytest.mark.parametrize(("runs", "bad"), [(3, 1), (4, 2), (6, 2), (8, 4)])
def test_bad_runs_that_differ_from_each_other_have_no_weight(runs: int, bad: int) -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((12, 15, 3)).astype(np.float32)
    outputs = truth + rng.normal(0, 0.02, (runs, *truth.shape)).astype(np.float32)
    for run in range(bad):
        outputs[run] = truth + rng.choice([-0.3, 0.3], (1, 1, 3)) * (1 + run / 2)
    error = np.abs(weighted_mean(outputs, np.ones(truth.shape[:2], dtype=bool)) - truth)
    assert error.mean() < 0.02


def test_distances_of_runs_are_measured_at_unknown_pixels_alone() -> None:
    unknown = np.zeros((6, 6), dtype=bool)
    unknown[2:4, 2:4] = True
    outputs = np.random.default_rng(0).normal(0.5, 0.01, (4, 6, 6, 1)).astype(np.float32)
    outputs[0][~unknown] = 0.9
    weighed = weighted_mean(outputs, unknown)
    assert 0.55 < weighed[~unknown].mean() < 0.85


@pytest.mark.parametrize(("values", "mean"), [([2], 2), ([1, 2], 1.5), ([1, 2, 9], 1.5)])
def test_few_runs(values: list[float], mean: float) -> None:
    outputs = np.array(values, dtype=np.float32).reshape(-1, 1, 1, 1)
    found = weighted_mean(outputs, np.ones((1, 1), dtype=bool)).item()
    assert found == pytest.approx(mean, abs=0.01)


def test_runs_that_are_equal_are_not_divided_by_nothing() -> None:
    outputs = np.ones((4, 2, 2, 1), dtype=np.float32)
    np.testing.assert_allclose(weighted_mean(outputs, np.ones((2, 2), dtype=bool)), 1)
