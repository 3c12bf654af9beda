"""The input code: coordinates and noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from dip.config import FitConfig, NetworkConfig
from dip.fitting.input_code import input_code, input_picture


def config(code: Any) -> FitConfig:
    return FitConfig(network=NetworkConfig(), iterations=1, code=code)


@pytest.mark.parametrize(("code", "channels"), [("coordinates", 2), ("noise", 32), ("both", 34)])
def test_the_input_code(code: Any, channels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    z = input_code(config(code), 20, 30, generator)
    assert z.shape == (1, channels, 20, 30)
    assert 0 <= z.min() <= z.max() <= 1


def test_coordinates_are_square_and_row_first() -> None:
    z = input_code(config("coordinates"), 20, 40, torch.Generator())
    x, y = z[0]
    assert (x[0, 0], y[0, 0]) == (0, 0)
    torch.testing.assert_close(x[0, 1] - x[0, 0], y[1, 0] - y[0, 0])
    assert x.max() > y.max()


TARGET = np.full((20, 30, 3), 0.5, dtype=np.float32)
KNOWN = np.ones((20, 30), dtype=bool)


@pytest.mark.parametrize(
    ("code", "factors"), [("noise", (10, 10, 10)), ("coordinates", (1, 1)), ("both", (1, 1, 10))]
)
def test_the_picture_of_an_input_shows_its_first_channels(code: Any, factors: Any) -> None:
    z = input_code(config(code), 20, 30, torch.Generator().manual_seed(7))
    picture = input_picture(config(code), TARGET, KNOWN, torch.Generator().manual_seed(7))
    assert picture.shape == (20, 30, 3)
    assert picture.dtype == np.float32
    assert 0.9 < picture.max() <= 1
    for channel, factor in enumerate(factors):
        wanted = factor * z[0, channel].numpy()
        np.testing.assert_allclose(picture[:, :, channel], wanted, atol=1e-6)
    other = input_picture(config(code), TARGET, KNOWN, torch.Generator().manual_seed(8))
    assert np.array_equal(picture, other) is (code == "coordinates")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_the_picture_of_a_fill_is_a_fill(channels: int) -> None:
    known = np.random.default_rng(0).random((20, 30)) < 0.6
    target = np.where(known[:, :, None], TARGET[:, :, :1], np.float32(0)).repeat(channels, axis=2)
    network = NetworkConfig(correction=True)
    picture = input_picture(
        FitConfig(network=network, iterations=1, code="fill"), target, known, torch.Generator()
    )
    assert picture.shape == (20, 30, 3)
    np.testing.assert_allclose(picture, 0.5, atol=0.01)
