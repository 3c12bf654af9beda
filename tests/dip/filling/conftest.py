"""A periodic pattern that tests of kriging and of texture share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture(scope="session")
def brick_joints() -> Callable[[int, int, int, int], NDArray[np.bool_]]:
    """Draw the joints of a wall; bricks are twice as wide as high, odd courses shifted by half."""

    def draw(height: int, width: int, course_px: int, joint_px: int) -> NDArray[np.bool_]:
        rows, columns = np.mgrid[:height, :width]
        course = rows // course_px
        across = (columns + course % 2 * course_px) % (2 * course_px)
        joints: NDArray[np.bool_] = (rows % course_px < joint_px) | (across < joint_px)
        return joints

    return draw
