"""A small U-Net that tells damage from picture, learned from damage drawn onto free pictures.

It differs from the U-Net of Ronneberger et al. (2015, arXiv:1505.04597) in its input, the measures
of `dip.detection.features` instead of pixels, in its size (360 000 weights), in average pooling,
and in residual blocks with a dilated convolution at the coarser scales. Its weights are made by
`tests/benchmarks/learn_damage.py`.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dip.detection.features import NAMES

Floats = NDArray[np.float32]

WEIGHTS = "damage.npz"
WIDTHS = (16, 24, 32, 48, 64)
REDUCTION = 2 ** (len(WIDTHS) - 1)
_SLOPE = 0.1


class DamageNetwork(nn.Module):
    """Measures, (N, F, H, W), to logits of damage, (N, 1, H, W); `REDUCTION` divides the sides."""

    mean: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.entry = _convolution(len(NAMES), WIDTHS[0], 1)
        self.first = _convolution(WIDTHS[0], WIDTHS[0])
        pairs = list(pairwise(WIDTHS))
        self.down = nn.ModuleList(
            nn.Sequential(
                nn.AvgPool2d(2),
                _convolution(fine, coarse),
                nn.LeakyReLU(_SLOPE, inplace=True),
                _convolution(coarse, coarse),
                nn.LeakyReLU(_SLOPE, inplace=True),
            )
            for fine, coarse in pairs
        )
        self.up = nn.ModuleList(_convolution(fine + coarse, fine) for fine, coarse in pairs)
        self.more = nn.ModuleList(_Residual(width) for width in WIDTHS[1:])
        self.exit = _convolution(WIDTHS[0], 1, 1)
        self.register_buffer("mean", torch.zeros(len(NAMES), 1, 1))
        self.register_buffer("spread", torch.ones(len(NAMES), 1, 1))

    def forward(self, measures: Tensor) -> Tensor:
        """Compute the logits."""
        # The measures less their mean, by their spread: in the weights it needs no further memory.
        weight = self.entry.weight / self.spread
        x = functional.conv2d(measures, weight, self.entry.bias)
        x -= (weight * self.mean).sum(dim=(1, 2, 3))[:, None, None]
        x = _bent(self.first(_bent(x)))
        kept = []
        for down in self.down:
            kept.append(x)
            x = down(x)
        x = self.more[-1](x)
        for scale in reversed(range(len(self.up))):
            x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = _bent(_joined(self.up[scale], kept.pop(), x))
            if scale:
                x = self.more[scale - 1](x)
        logits: Tensor = self.exit(x)
        return logits


class _Residual(nn.Module):
    """Two convolutions that see far, added to their input: at first nothing is added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=2, dilation=2)
        self.second = _convolution(width, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = x + self.second(_bent(self.first(x)))
        return added


def certainty(measures: Floats) -> Floats:
    """The certainty of damage, from the measures of `dip.detection.features`.

    Parameters
    ----------
    measures : (F, H, W) float32 array

    Returns
    -------
    (H, W) float32 array in [0, 1]
    """
    height, width = measures.shape[1:]
    entered = torch.from_numpy(measures)[None]
    below, beside = -height % REDUCTION, -width % REDUCTION
    if below or beside:
        entered = functional.pad(entered, (0, beside, 0, below), mode="replicate")
    # In this order of memory it takes half the time.
    entered = entered.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        logits = _learned()(entered)[0, 0, :height, :width].numpy()
    sure: Floats = np.float32(1) / (1 + np.exp(-logits, dtype=np.float32))
    return sure


@cache
def _learned() -> DamageNetwork:
    network = DamageNetwork()
    with resources.files(__package__).joinpath(WEIGHTS).open("rb") as file:
        weights = np.load(file, allow_pickle=False)
        network.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights.files})
    return network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _convolution(channels: int, out: int, size: int = 3) -> nn.Conv2d:
    return nn.Conv2d(channels, out, size, padding=size // 2)


def _joined(convolution: nn.Module, fine: Tensor, coarse: Tensor) -> Tensor:
    """A convolution of both, the channels of `fine` first, without a copy of them."""
    weight, bias = convolution.parameters()
    of_fine, of_coarse = weight.split([fine.shape[1], coarse.shape[1]], dim=1)
    return functional.conv2d(fine, of_fine, bias, padding=1) + functional.conv2d(
        coarse, of_coarse, padding=1
    )


def _bent(x: Tensor) -> Tensor:
    # Its result tells as much as its input, which is not kept.
    return functional.leaky_relu(x, _SLOPE, inplace=True)
