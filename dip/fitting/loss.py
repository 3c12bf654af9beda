"""The loss, over the known pixels only."""

from __future__ import annotations

from typing import Literal

from torch import Tensor


def masked_loss(
    reconstruction: Tensor, target: Tensor, weight: Tensor, kind: Literal["l1", "mse"]
) -> Tensor:
    """Mean error over the pixels that count.

    Parameters
    ----------
    reconstruction, target : Tensor
        (1, C, H, W)
    weight : Tensor
        (1, 1, H, W): 1 where a pixel counts, 0 where it is unknown or held out.
    kind : str
        'l1' or 'mse'

    Returns
    -------
    Tensor
        A scalar.
    """
    error = (reconstruction - target) * weight
    total = error.abs().sum() if kind == "l1" else error.square().sum()
    return total / (weight.sum() * target.shape[1])
