"""Pictures that show no damage, but much that resembles it, are hardly marked."""

from __future__ import annotations

import numpy as np
import pytest
from scan_cases import HEIGHT, WIDTH, cases, undamaged

from dip.detection import detect

PART = (slice(HEIGHT // 4, 3 * HEIGHT // 4), slice(WIDTH // 4, 3 * WIDTH // 4))


@pytest.mark.slow
def test_little_of_them_is_marked(exhaustive: bool) -> None:
    shares = [
        float(detect(pixels if exhaustive else pixels[PART]).mask().mean())
        for _, pixels in undamaged()
    ]
    assert np.median(shares) < 0.008
    assert max(shares) < 0.04


def test_cases_are_the_same_for_the_same_seed() -> None:
    first, again = next(cases()), next(cases())
    np.testing.assert_array_equal(first.damaged, again.damaged)
    assert len(first.kinds) == len(first.sigmas) == first.labels.max()
    changed = np.abs(first.damaged.astype(int) - first.clean).max(axis=2)
    assert changed[first.labels > 0].mean() > 5 * changed[first.labels == 0].mean()
