"""Blurs as products of matrices are those of scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from dip.filling.blur import blur, blur_matrix


@pytest.mark.parametrize("shape", [(5, 3), (16, 40), (3, 64, 65), (2, 3, 130, 200)])
@pytest.mark.parametrize("sigma_px", [0.8, 2.0, 5.0])
def test_a_blur_is_that_of_scipy_also_at_the_border(shape: tuple[int, ...], sigma_px: float):
    planes = np.random.default_rng(0).random(shape, dtype=np.float32)
    sigmas = (*(0,) * (len(shape) - 2), sigma_px, sigma_px)
    expected = ndimage.gaussian_filter(planes, sigmas, truncate=3.0)
    np.testing.assert_allclose(blur(torch.from_numpy(planes), sigma_px), expected, atol=2e-6)


def test_a_row_times_the_matrix_is_the_blurred_row():
    row = np.random.default_rng(1).random(12, dtype=np.float32)
    expected = ndimage.gaussian_filter1d(row, 1.5, truncate=3.0)
    np.testing.assert_allclose(torch.from_numpy(row) @ blur_matrix(12, 1.5), expected, atol=1e-6)
