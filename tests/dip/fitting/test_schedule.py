"""Schedules of the learning rate and the membrane penalty."""

from __future__ import annotations

import pytest

from dip.fitting.schedule import penalty_weight, rate_factor


def test_the_rate_falls_to_a_twentieth() -> None:
    factors = [rate_factor(index, 100) for index in range(101)]
    assert factors[0] == 1
    assert factors[-1] == pytest.approx(0.05)
    assert factors == sorted(factors, reverse=True)


def test_the_penalty_falls_over_half_of_the_iterations() -> None:
    weights = [penalty_weight(index, 100, (3.0, 0.5)) for index in range(100)]
    assert weights[0] == 3
    assert weights[25] == pytest.approx(1.75)
    assert weights[50:] == [0.5] * 50
    assert penalty_weight(0, 10, (0.0, 0.0)) == 0
