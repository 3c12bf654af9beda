"""U-Net as Deep Image Prior uses it.

Papers: Ronneberger, Fischer, Brox, *U-Net*, MICCAI 2015, arXiv:1505.04597; the shape is that of
Ulyanov, Vedaldi, Lempitsky, *Deep Image Prior*, CVPR 2018, arXiv:1711.10925.

Differences from the first: strided convolutions instead of max-pooling, BatchNorm, LeakyReLU, zero
padding, narrow skips through a 1×1 convolution (or no skips: they let the noise of the code pass
the bottleneck into large holes). Difference from the second: decoders interpolate to the size in
the encoder, so that any image size works without cropping. Two options save time at the finest
scales: a decoder can reduce its channels before upsampling, and the finest decoder can upsample by
pixel shuffle (Shi et al., CVPR 2016, arXiv:1609.05158).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dip.config import NetworkConfig
from dip.fitting.networks.blocks import BatchNorm, ConvNormAct, Head, interpolate


class _Scale(nn.Module):
    """One scale: halves the size in the encoder; restores it and joins the skip in the decoder."""

    def __init__(self, config: NetworkConfig, index: int, in_channels: int) -> None:
        super().__init__()
        width, skip = config.channels[index], config.skip_channels[index]
        below = config.channels[min(index + 1, len(config.channels) - 1)]
        pad = config.padding
        self.down = nn.Sequential(
            ConvNormAct(in_channels, width, config.kernel_down, 2, pad),
            ConvNormAct(width, width, config.kernel_down, 1, pad),
        )
        self.skip = ConvNormAct(in_channels, skip, 1) if skip else None
        self.upsampling: str = config.upsampling
        kernel = config.kernel_up
        if index == 0 and config.shuffle_channels:
            self.upsampling = "shuffle"
            width = config.shuffle_channels
            self.before: nn.Module = ConvNormAct(below, 4 * width, config.shuffle_kernel, 1, pad)
            self.up = nn.Sequential(ConvNormAct(width + skip, width, kernel, 1, pad))
            return
        joined: nn.Module
        if config.reduce_first:
            self.before, joined = ConvNormAct(below, width, 1), nn.Identity()
            below = width
        else:
            self.before, joined = nn.Identity(), BatchNorm(below + skip)
        self.up = nn.Sequential(
            joined,
            ConvNormAct(below + skip, width, kernel, 1, pad),
            ConvNormAct(width, width, 1),
        )

    def decode(self, below: Tensor, entered: Tensor) -> Tensor:
        """Map (1, C_below, h, w) and the scale's input (1, C_in, H, W) to (1, width, H, W)."""
        x = self._upsample(self.before(below), entered.shape[-2:])
        if self.skip is not None:
            x = torch.cat([self.skip(entered), x], dim=1)  # (1, C_skip + C, H, W)
        up: Tensor = self.up(x)
        return up

    def _upsample(self, x: Tensor, size: torch.Size) -> Tensor:
        if self.upsampling == "shuffle":
            return F.pixel_shuffle(x, 2)[..., : size[0], : size[1]]
        if self.upsampling == "bilinear":
            return interpolate(x, *size)
        return F.interpolate(x, size=size, mode="nearest")


class UNet(nn.Module):
    """U-Net from (1, in_channels, H, W) to (1, out_channels, H, W).

    The output is in [0, 1] unless it is a correction.

    Parameters
    ----------
    config : NetworkConfig
        All fields but `convolutions` are used.
    in_channels, out_channels : int
    """

    def __init__(self, config: NetworkConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        entering = (in_channels, *config.channels[:-1])
        self.scales = nn.ModuleList(
            _Scale(config, index, channels) for index, channels in enumerate(entering)
        )
        finest = config.shuffle_channels or config.channels[0]
        self.head = Head(finest, out_channels, config.correction)

    def forward(self, code: Tensor) -> Tensor:
        scales = cast("list[_Scale]", list(self.scales))
        x, entered = code, []
        for scale in scales:
            entered.append(x)
            x = scale.down(x)
        for scale, before in zip(reversed(scales), reversed(entered), strict=True):
            x = scale.decode(x, before)
        image: Tensor = self.head(x, code)
        return image
