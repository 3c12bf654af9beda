"""How the learning rate and the hold of the anchor fall."""

from __future__ import annotations

import math

_FINAL = 0.05


def rate_factor(iteration: int, iterations: int) -> float:
    """Cosine decay: 1 at iteration 0, to a twentieth at the last.

    Parameters
    ----------
    iteration : int
        0-based.
    iterations : int
        In all.
    """
    turn = math.cos(math.pi * min(iteration / iterations, 1))
    return _FINAL + (1 - _FINAL) * (1 + turn) / 2


def anchor_weight(iteration: int, iterations: int, anchor: tuple[float, float]) -> float:
    """Linear from the first weight to the second over half of the iterations.

    Parameters are those of `rate_factor`, and `FitConfig.anchor`.
    """
    start, end = anchor
    return end + (start - end) * max(0.0, 1 - 2 * iteration / iterations)
