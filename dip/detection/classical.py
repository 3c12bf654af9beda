"""The first answer: how certain a pixel is damage by classical measures alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dip.detection.features import NAMES

Floats = NDArray[np.float32]


def certainty(measures: Floats) -> Floats:
    """The certainty of damage, from the measures of `dip.detection.features`.

    Parameters
    ----------
    measures : (F, H, W) float32 array

    Returns
    -------
    (H, W) float32 array in [0, 1]
    """
    plane = dict(zip(NAMES, measures, strict=True))
    spot = plane["top-hat 9"] + plane["peak"] - 4.2
    line = plane["line 16"] + plane["line 16 against other directions"] - 4.6
    evidence = np.maximum(spot, line) + 1.5 * np.minimum(plane["sharpness"] - 0.8, 0.5)
    evidence += 0.5 * np.minimum(plane["contrast"] - 0.5, 1)
    sure: Floats = (1 / (1 + np.exp(-2 * evidence))).astype(np.float32)
    return sure
