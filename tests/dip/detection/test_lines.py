from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dip.detection.lines import followed

WIDTH = 200
FAINT = 0.12
"""The certainty of a pixel of a line, far below what is marked by itself."""


def noise() -> NDArray[np.float32]:
    """Certainties as they are where nothing is damaged."""
    random = np.random.default_rng(5)
    return (0.008 * np.exp(random.normal(0, 0.5, (260, WIDTH)))).astype(np.float32)


def drawn(rows: slice) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Certainties with a faint line that winds down through some rows, and its columns."""
    certainty = noise()
    columns = (90 + 12 * np.sin(np.arange(260) / 25)).astype(int)
    for row in range(*rows.indices(260)):
        certainty[row, columns[row] : columns[row] + 3] = FAINT
    return certainty, columns


def test_nothing_is_followed_where_nothing_stands_out() -> None:
    assert (followed(noise()) < 0.5).all()


def test_a_long_faint_line_is_certain_and_a_short_one_is_not() -> None:
    certainty, columns = drawn(slice(20, 240))
    sure = followed(certainty)
    inner = np.arange(40, 220)
    assert (sure[inner, columns[inner] + 1] >= 0.5).mean() > 0.95
    assert (sure >= 0.5).mean() < 0.03
    short, _ = drawn(slice(120, 132))
    assert (followed(short) < 0.5).all()


def test_a_line_is_followed_across_as_down() -> None:
    certainty, _ = drawn(slice(20, 240))
    across = followed(np.ascontiguousarray(certainty.T))
    np.testing.assert_array_equal(across, followed(certainty).T)


def test_a_gap_is_bridged_and_a_line_ends_where_it_ends() -> None:
    certainty, columns = drawn(slice(20, 200))
    for row in range(100, 106):
        certainty[row] = noise()[row]
    sure = followed(certainty)
    assert (sure[100:106, columns[103] : columns[103] + 3] >= 0.5).any(axis=1).all()
    assert (sure[210:] < 0.5).all()


def test_rows_of_letters_are_no_lines() -> None:
    certainty = noise()
    random = np.random.default_rng(2)
    letters = random.uniform(size=(7, WIDTH // 2)) < 0.7
    certainty[100:114] = (
        np.where(letters, np.float32(0.5), 0.01).repeat(2, axis=0).repeat(2, axis=1)
    )
    assert (followed(certainty) >= 0.5).mean() < 0.01
