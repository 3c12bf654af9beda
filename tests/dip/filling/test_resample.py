"""Images reduced without their unknown pixels, and enlarged again."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dip.filling.resample import enlarge, reduce


@given(st.integers(16, 60), st.integers(16, 60), st.integers(1, 5))
def test_enlarging_restores_the_size(height: int, width: int, factor: int) -> None:
    target = np.full((height, width, 3), 0.4, dtype=np.float32)
    known = np.ones((height, width), dtype=bool)
    small, small_known = reduce(target, known, factor)
    assert small.shape == (-(-height // factor), -(-width // factor), 3)
    assert small_known.all()
    back = enlarge(small, height, width, factor)
    assert back.shape == target.shape
    np.testing.assert_allclose(back, target, atol=1e-5)


def test_a_block_with_an_unknown_pixel_is_unknown() -> None:
    known = np.ones((20, 20), dtype=bool)
    known[5, 7] = False
    small_known = reduce(np.zeros((20, 20, 1), dtype=np.float32), known, 2)[1]
    assert np.argwhere(~small_known).tolist() == [[2, 3]]


def test_reduced_pixels_are_means_of_blocks() -> None:
    target = np.arange(16, dtype=np.float32).reshape(4, 4, 1)
    small = reduce(target, np.ones((4, 4), dtype=bool), 2)[0]
    np.testing.assert_allclose(small[:, :, 0], [[2.5, 4.5], [10.5, 12.5]])
