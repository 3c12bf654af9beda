"""Prediction of the peak memory of a fit."""

from __future__ import annotations

from functools import cache

import torch

from dip.config import FitConfig, NetworkConfig
from dip.fitting import networks
from dip.fitting.correction import FOLDS
from dip.machine.device import Compute

_PROBE_PX = 64
_OVERHEAD = 1.6
"""Measured peak, relative to the activations that autograd keeps: it includes gradients, scratch
space and the allocator's reserve."""

BASE_MB = 350.0 if torch.version.cuda is None else 650.0
"""The process without a fit: the interpreter, torch and its libraries, which CUDA has more of."""


@cache
def _saved_samples_per_pixel(network: NetworkConfig, in_channels: int, channels: int) -> float:
    """Activations that one step keeps for the backward pass, in samples per pixel."""
    module = networks.build(
        network,
        in_channels=in_channels,
        out_channels=channels,
        generator=torch.Generator().manual_seed(0),
    )
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.data_ptr()] = tensor.numel() * (4 if tensor.dtype == torch.int64 else 1)
        return tensor

    code = torch.zeros(1, in_channels, _PROBE_PX, _PROBE_PX)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        module(code)
    for parameter in module.parameters():
        kept.pop(parameter.data_ptr(), None)  # their size does not depend on the image
    return sum(kept.values()) / _PROBE_PX**2


def bytes_per_pixel(config: FitConfig, channels: int, compute: Compute) -> float:
    """Peak memory of a fit per fitted pixel.

    Parameters
    ----------
    config : FitConfig
    channels : int
        Of the image.
    compute : Compute

    Returns
    -------
    float
        bytes
    """
    in_channels = config.input_channels(channels)
    activations = _saved_samples_per_pixel(config.network, in_channels, channels)
    planes = 4 * (in_channels + 8 * channels)  # target, averages, kriging: single precision
    if config.code == "fill":
        planes += 4 * (FOLDS + 1) * (in_channels + 1)
    return _OVERHEAD * activations * compute.bytes_per_sample + planes


def peak_mb(pixels: int, config: FitConfig, channels: int, compute: Compute) -> float:
    """Predict the peak memory of a process that fits a region of this size, MB."""
    return BASE_MB + fit_mb(pixels, config, channels, compute)


def fit_mb(pixels: int, config: FitConfig, channels: int, compute: Compute) -> float:
    """Predict the memory of a fit of this size, without the process itself, MB."""
    return pixels * bytes_per_pixel(config, channels, compute) / 2**20


def max_pixels(budget_mb: float, config: FitConfig, channels: int, compute: Compute) -> int:
    """The largest region, in pixels, whose fit stays within a memory budget; 0 if none does."""
    room = (budget_mb - BASE_MB) * 2**20
    return max(0, int(room / bytes_per_pixel(config, channels, compute)))
