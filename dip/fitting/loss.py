"""The loss, over the known pixels only."""

from __future__ import annotations

from torch import Tensor

from dip.config import Loss


def masked_loss(reconstruction: Tensor, target: Tensor, weight: Tensor, kind: Loss) -> Tensor:
    """Mean error over the pixels, by weight.

    Parameters
    ----------
    reconstruction, target : Tensor
        (1, C, H, W)
    weight : Tensor
        (1, 1, H, W), in [0, 1]: 0 for a pixel that is unknown or held out.
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
