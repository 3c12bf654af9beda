"""Schedules of the learning rate and of the membrane penalty."""

from __future__ import annotations

import math

_FINAL_RATE = 0.05


def rate_factor(iteration: int, iterations: int) -> float:
    """Cosine decay of the learning rate: 1 at iteration 0, a twentieth at the last.

    Parameters
    ----------
    iteration : int
        0-based.
    iterations : int
        Of the whole fit.
    """
    turn = math.cos(math.pi * min(iteration / iterations, 1))
    return _FINAL_RATE + (1 - _FINAL_RATE) * (1 + turn) / 2


def penalty_weight(iteration: int, iterations: int, weights: tuple[float, float]) -> float:
    """Weight of the membrane penalty, linear from the first to the second over half of the fit.

    Parameters are those of `rate_factor`, and `FitConfig.membrane_penalty`.
    """
    start, end = weights
    return end + (start - end) * max(0.0, 1 - 2 * iteration / iterations)
