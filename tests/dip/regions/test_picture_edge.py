"""Pixels at the picture's edge that known pixels reach from one side alone."""

from __future__ import annotations

import numpy as np
import pytest

from dip.regions.picture_edge import unsupported_pixels, unsupported_weight


def marked(*boxes: tuple[slice, slice]) -> np.ndarray:
    unknown = np.zeros((100, 140), dtype=bool)
    for box in boxes:
        unknown[box] = True
    return unknown


def test_a_strip_along_an_edge_is_unsupported() -> None:
    unknown = marked(np.s_[:12, :])
    np.testing.assert_array_equal(unsupported_pixels(unknown), unknown)


def test_a_frame_is_unsupported() -> None:
    unknown = marked(np.s_[:, :])
    unknown[10:-10, 10:-10] = False
    np.testing.assert_array_equal(unsupported_pixels(unknown), unknown)


def test_of_a_torn_corner_the_part_near_the_picture_is_supported() -> None:
    rows, columns = np.mgrid[:100, :140]
    unknown = rows + columns < 50
    unsupported = unsupported_pixels(unknown)
    assert unsupported is not None
    assert unsupported[0, 0]
    assert not (unsupported & ~unknown).any()
    np.testing.assert_array_equal(unsupported[:, :100], unsupported[:, :100].T)


@pytest.mark.parametrize(
    "box",
    [np.s_[40:60, 40:60], np.s_[1:20, 40:60], np.s_[40:52, :], np.s_[:12, 40:56]],
    ids=["hole", "near the edge", "scratch from edge to edge", "notch"],
)
def test_between_known_pixels_all_are_supported(box: tuple[slice, slice]) -> None:
    assert unsupported_pixels(marked(box)) is None


def test_other_damage_does_not_matter() -> None:
    strip = marked(np.s_[:12, :])
    unsupported = unsupported_pixels(marked(np.s_[:12, :], np.s_[20:30, 40:50]))
    np.testing.assert_array_equal(unsupported, strip)


def test_the_weight_grows_away_from_supported_pixels() -> None:
    unknown = marked(np.s_[:20, :40])
    unsupported = marked(np.s_[:20, :25])
    weight = unsupported_weight(unknown, unsupported)
    assert weight.shape == (100, 140, 1)
    assert weight[5, 0] == 1
    assert not weight[~unsupported].any()
    assert (np.diff(weight[5, :26, 0]) <= 0).all()
    np.testing.assert_array_equal(unsupported_weight(unknown, unknown)[:, :, 0], unknown)
