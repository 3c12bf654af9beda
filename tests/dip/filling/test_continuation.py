"""Pictures that go on beyond their last known pixels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dip.bench.metrics import psnr_db
from dip.filling.continuation import continue_picture
from dip.filling.membrane import membrane

Array = NDArray[np.float32]
Plane = NDArray[np.bool_]


def torn_corner(height: int = 160, width: int = 200, size: int = 70) -> Plane:
    rows, columns = np.mgrid[:height, :width]
    return np.asarray(rows + width - 1 - columns >= size)


def layers(height: int = 160, width: int = 200) -> Array:
    """Sky, hills and a lake: colours change from row to row."""
    bright = 0.5 + 0.4 * np.sin(np.arange(height) / 9)
    picture = np.stack([bright, 0.8 * bright, 1 - bright], 1).astype(np.float32)
    return np.broadcast_to(picture[:, None], (height, width, 3)).copy()


@pytest.mark.parametrize("turned", [False, True])
def test_layers_continue_along_themselves(turned: bool) -> None:
    truth, known = layers(), torn_corner()
    if turned:
        truth, known = truth.swapaxes(0, 1).copy(), known.T.copy()
    found = psnr_db(continue_picture(truth, known), truth, ~known)
    assert found > psnr_db(membrane(truth, known), truth, ~known) + 10
    assert found > 28


def test_a_plain_margin_stays_plain() -> None:
    truth = np.full((120, 160, 3), 0.92, dtype=np.float32)
    truth[30:, 30:] = 0.4
    known = np.ones((120, 160), dtype=bool)
    known[:14] = False
    result = continue_picture(truth, known)
    assert np.abs(result - truth)[~known].max() < 0.03


def test_unknown_pixels_are_ignored() -> None:
    truth, known = layers(), torn_corner()
    result = continue_picture(truth, known)
    truth[~known] = np.nan
    assert np.array_equal(continue_picture(truth, known), result)


@pytest.mark.parametrize("channels", [1, 4])
def test_a_picture_with_little_around_gets_a_membrane(channels: int) -> None:
    truth = np.random.default_rng(0).random((24, 24, channels), dtype=np.float32)
    known = np.zeros((24, 24), dtype=bool)
    known[:4] = True
    clean = np.where(known[:, :, None], truth, np.float32(0))
    assert np.array_equal(continue_picture(truth, known), membrane(clean, known))
