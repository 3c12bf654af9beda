"""The first answer: how certain a pixel is damage by classical measures alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


_SPOT, _LINE = 1.4, 2.7
"""Evidence at which a pixel is as likely damage as not."""


def evidence(plane: Mapping[str, Floats]) -> tuple[Floats, Floats]:
    """The evidence that a pixel belongs to a spot, to a line.

    Parameters
    ----------
    plane : mapping
        By name, (H, W) float32 arrays: see `dip.detection.features`.

    Returns
    -------
    spot, line : (H, W) float32 arrays
        About 0 where something is somewhat brighter than its surroundings.
    """
    # Dust and scratches are sharper than the picture, and stand out in absolute terms.
    common = 1.5 * np.minimum(plane["sharpness"] - 0.8, 0.5)
    common += 0.5 * np.minimum(plane["contrast"] - 0.5, 1)
    spot = plane["top-hat 9"] + plane["peak"] - 4.2 + common
    line = plane["line 16"] + plane["line 16 against other directions"] - 4.6 + common
    return spot, line


def certainty(measures: Mapping[str, Floats]) -> Floats:
    """The certainty of damage by classical measures alone, from 0 to 1, (H, W)."""
    spot, line = evidence(measures)
    sure: Floats = 1 / (1 + np.exp(-3 * np.maximum(spot - _SPOT, line - _LINE)))
    return sure.astype(np.float32, copy=False)
