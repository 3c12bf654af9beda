"""Marks: connected pixels that are credible as a whole."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dip.detection.damage_map import CODES
from dip.detection.marks import delimit

Floats = NDArray[np.float32]


@pytest.fixture
def certainty() -> Floats:
    """A speck and a hair, equally doubtful, and a single certain pixel."""
    plane = np.zeros((60, 80), np.float32)
    plane[10:13, 10:13] = plane[30:32, 10:70] = 0.3
    plane[50, 50] = 1
    return plane


def test_a_mark_is_as_certain_as_its_highest_pixel_and_reaches_to_half_of_it() -> None:
    plane = np.zeros((40, 40), np.float32)
    plane[10:16, 10:16], plane[12:14, 12:14], plane[10:16, 16:20] = 0.6, 0.8, 0.3
    level, _ = delimit(plane, np.zeros_like(plane))
    assert level[10, 10] == level[12, 12] == round(0.8 * 255)
    assert 0 < level[10, 18] < level[10, 10]


def test_caution_lowers_the_levels_of_a_kind(certainty: Floats) -> None:
    dark = np.zeros_like(certainty)
    (bold, _), (careful, kind) = (
        delimit(certainty, dark, caution) for caution in ((0, 0, 0), (0, 1.5, 1.5))
    )
    assert 0 < careful[31, 40] < bold[31, 40]
    assert careful[11, 11] == bold[11, 11] > 0
    assert kind[31, 40] == CODES["scratches", "bright"]
    assert kind[11, 11] == CODES["specks", "bright"]


def test_marks_of_a_few_pixels_are_left_out(certainty: Floats) -> None:
    level, _ = delimit(certainty, np.zeros_like(certainty))
    assert level[11, 11] > 0
    assert level[50, 50] == 0
