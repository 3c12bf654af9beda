"""A map of damage: a sensitivity thresholds its level."""

from __future__ import annotations

import numpy as np
import pytest

from dip.detection import NAMES, DamageMap, threshold
from dip.errors import InputError, SettingError
from dip.image_io import encode_photo


@pytest.fixture
def found() -> DamageMap:
    """A certain dark speck of 2 px, a doubtful bright scratch of 20 px, a crease between."""
    level, kind = np.zeros((30, 40), np.uint8), np.zeros((30, 40), np.uint8)
    level[2:4, 2:4], kind[2:4, 2:4] = 250, 2
    level[10, 5:25], kind[10, 5:25] = 60, 3
    level[20, 0:40], kind[20, 0:40] = 130, 6
    return DamageMap(level=level, kind=kind)


@pytest.mark.parametrize(
    ("sensitivity", "marks"), [(0, 0), (0.02, 0), (0.03, 1), (0.5, 2), (0.76, 2), (0.77, 3), (1, 3)]
)
def test_more_sensitivity_marks_more(found: DamageMap, sensitivity: float, marks: int) -> None:
    assert found.count(sensitivity) == marks
    expected = found.level >= 256 - round(255 * sensitivity)
    np.testing.assert_array_equal(found.mask(sensitivity), expected)


def test_level_zero_is_never_marked() -> None:
    assert threshold(1) == 1
    assert threshold(0) == 256


def test_kinds_and_polarities_are_chosen(found: DamageMap) -> None:
    assert found.mask(1, ["specks"]).sum() == 4
    assert found.mask(1, ["dark-specks", "bright-scratches"]).sum() == 24
    assert not found.mask(1, ["bright-specks"]).any()
    assert found.mask(1, NAMES).sum() == found.mask(1).sum()


def test_marks_longer_than_the_largest_are_left_out(found: DamageMap) -> None:
    assert found.count(1, largest=39) == 2
    assert found.count(1, largest=19) == 1
    assert found.count(1, largest=40) == 3


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        ((1.5,), "1.5"),
        ((-0.1,), "-0.1"),
        ((0.5, ["dust"]), "dust"),
        ((0.5, ["specks"], 0), "0 px"),
    ],
)
def test_wrong_choices_are_refused(found: DamageMap, arguments: tuple, seen: str) -> None:
    with pytest.raises(SettingError, match=seen):
        found.mask(*arguments)


def test_a_map_survives_its_png(found: DamageMap) -> None:
    again = DamageMap.from_png(found.to_png())
    np.testing.assert_array_equal(again.level, found.level)
    np.testing.assert_array_equal(again.kind, found.kind)


def test_another_picture_is_no_map() -> None:
    with pytest.raises(InputError, match="no map of damage"):
        DamageMap.from_png(encode_photo(np.zeros((4, 4), np.uint8), "png"))
