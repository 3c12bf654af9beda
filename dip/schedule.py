"""How the learning rate falls."""

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
