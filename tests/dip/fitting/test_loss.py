"""The loss over weighted pixels."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dip.fitting.loss import masked_loss


@pytest.mark.parametrize(("kind", "expected"), [("l1", 0.5), ("mse", 0.25)])
def test_the_loss_is_a_weighted_mean(kind: Any, expected: float) -> None:
    image, target = torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.5)
    weight = torch.zeros(1, 1, 4, 4)
    weight[..., :2] = 1
    target[..., 2:] = 1000
    assert masked_loss(image, target, weight, kind) == pytest.approx(expected)
