"""Seeded samples that tests of image files share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest


@pytest.fixture(scope="session")
def samples() -> Callable[..., npt.NDArray[Any]]:
    """Draw random samples: (33, 47), or (33, 47, C)."""

    def draw(dtype: str, channels: int | None, seed: int = 0) -> npt.NDArray[Any]:
        shape = (33, 47) if channels is None else (33, 47, channels)
        values = np.random.default_rng(seed).random(shape, dtype=np.float32)
        if dtype == "float32":
            return 1.5 * values - np.float32(0.2)  # beyond [0, 1]: those must stay
        return (values * np.iinfo(dtype).max).astype(dtype)

    return draw
