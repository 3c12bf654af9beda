"""The networks, and `build`, which turns a `NetworkConfig` into a module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dip.config import NetworkConfig
from dip.fitting.networks.segnet import SegNet
from dip.fitting.networks.unet import UNet

_CLASSES: dict[str, type[UNet] | type[SegNet]] = {"unet": UNet, "segnet": SegNet}


def build(
    config: NetworkConfig,
    *,
    in_channels: int,
    out_channels: int,
    generator: torch.Generator,
    colour: Tensor | None = None,
) -> nn.Module:
    """Build a network with random weights.

    Parameters
    ----------
    config : NetworkConfig
    in_channels : int
        Channels of the input code.
    out_channels : int
        Channels of the image.
    generator : torch.Generator
        Source of all random numbers; the global generator is not used.
    colour : Tensor, optional
        (out_channels,), in [0, 1]: the initial output is near it; gray when None. Unused in a
        correction, which starts at zero.

    Returns
    -------
    nn.Module
        Maps (1, in_channels, H, W) to (1, out_channels, H, W), for H and W of 16 or more. The
        output is in [0, 1] unless it is a correction.
    """
    with torch.device("meta"):  # so that the global generator is not used
        network = _CLASSES[config.name](config, in_channels, out_channels)
    for module in network.modules():
        # Not to_empty(): it imports half a second of torch's compiler.
        for name, blank in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(torch.empty(blank.shape)))
        if isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            bound = fan_in**-0.5  # PyTorch's default: uniform, Kaiming with a = sqrt(5)
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
            if module.bias is not None:
                nn.init.uniform_(module.bias, -bound, bound, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    if config.correction:  # the initial correction is zero
        for parameter in network.head.parameters():
            nn.init.zeros_(parameter)
    elif colour is not None:
        network.head.start_from(colour)
    return network
