"""The input code: coordinates and noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dip.config import FitConfig, NetworkConfig
from dip.fitting.input_code import input_code


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
