"""The restoration of one region, at the picture's edge."""

from __future__ import annotations

import numpy as np
import pytest

from dip.config import Settings
from dip.restore import restore


@pytest.mark.parametrize("network", ["unet", pytest.param("segnet", marks=pytest.mark.exhaustive)])
def test_a_white_margin_at_the_edge_stays_white(network: str) -> None:
    """The network alone would paint the colours of the print into it."""
    image = np.full((96, 96, 3), 234, dtype=np.uint8)
    image[20:-20, 20:-20] = 128, 96, 80
    noise = np.random.default_rng(0).normal(0, 2, image.shape)
    image = (image + noise).round().clip(0, 255).astype(np.uint8)
    mask = np.full((96, 96), 255, dtype=np.uint8)
    mask[9:-9, 9:-9] = 0
    settings = Settings(network=network, iterations=30, texture=0)
    filled = restore(image, mask, settings)[mask > 0].astype(int)
    difference = np.abs(filled - 234)
    assert np.percentile(difference, 99) <= 6
    assert difference.max() <= 12  # grain included
