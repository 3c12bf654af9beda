"""Progress counts work, and a time limit shortens fits."""

from __future__ import annotations

import time

from dip.config import FitConfig, NetworkConfig
from dip.fit_schedule import FitSchedule
from dip.fitting.fit import FitStep


def config(iterations: int, runs: int = 1) -> FitConfig:
    return FitConfig(network=NetworkConfig(), iterations=iterations, runs=runs)


def test_the_fraction_is_the_share_of_the_work() -> None:
    schedule = FitSchedule([(92_000, config(10)), (12_000, config(50))])
    assert schedule.iterations == 60
    assert schedule.step(0).fraction == 0
    assert schedule.step(0, FitStep(index=5)).fraction == 0.25
    schedule.end(0)  # five iterations early
    assert schedule.step(1, FitStep(index=25)).fraction == 0.75
    last = schedule.step(1, FitStep(index=50))
    assert (last.iteration, last.iterations, last.fraction) == (60, 60, 1)


def test_without_any_fit_the_work_is_done() -> None:
    step = FitSchedule([]).step(0, note="nothing to do")
    assert (step.iterations, step.fraction, step.note) == (0, 1, "nothing to do")


def test_without_a_limit_nothing_is_shortened() -> None:
    whole = config(100, runs=3)
    schedule = FitSchedule([(10_000, whole)])
    assert schedule.config(0) is whole
    assert not schedule.is_late


def test_a_fit_gets_as_many_iterations_as_the_time_allows() -> None:
    work = [(100_000_000, config(1000, runs=2))]
    assert FitSchedule(work, time.monotonic() - 1).config(0) is None
    assert FitSchedule(work, time.monotonic() - 1).is_late
    shortened = FitSchedule(work, time.monotonic() + 50_000).config(0)
    assert shortened is not None
    assert shortened.runs == 1
    assert 20 <= shortened.iterations < 1000
    assert FitSchedule(work, time.monotonic() + 1e9).config(0) == work[0][1]
