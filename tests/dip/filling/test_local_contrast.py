"""The contrast of a picture, continued through its damage."""

from __future__ import annotations

import numpy as np

from dip.filling.local_contrast import local_contrast


def test_it_is_measured_where_known_and_continued_where_not():
    image = np.full((80, 200, 3), 0.5, dtype=np.float32)
    image[:, 100:] += 0.1 * np.random.default_rng(0).standard_normal((80, 100, 3))
    unknown = np.zeros((80, 200), dtype=bool)
    unknown[20:60, 80:120] = True
    contrast = local_contrast(image, unknown)
    assert contrast.dtype == np.float32
    assert contrast[:, :70].max() < 0.01
    assert abs(contrast[:, 140:].mean() - 0.1) < 0.02
    inside = contrast[20:60, 80:120].mean(0)
    assert inside[0] < inside[20] < inside[-1]
    image[unknown] = 7
    assert np.array_equal(local_contrast(image, unknown), contrast)
