"""SegNet as a prior for images.

Paper: Badrinarayanan, Kendall, Cipolla, *SegNet*, TPAMI 2017, arXiv:1511.00561.

Differences: narrow scales and LeakyReLU; an image at the end instead of class scores; pooling also
covers the incomplete window at an odd border, so that any image size works. As in the paper there
is no concatenation: the decoder gets only the positions of the maxima from the encoder.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from dip.config import NetworkConfig, Padding
from dip.fitting.networks.blocks import ConvNormAct, Head


def unpool(x: Tensor, indices: Tensor, size: tuple[int, int]) -> Tensor:
    """Put each value at the position of its maximum, zero elsewhere.

    Parameters
    ----------
    x : Tensor
        (1, C, h, w)
    indices : Tensor
        (1, C, h, w), from `max_pool2d`: flat positions in an image of `size`.
    size : tuple of int
        (H, W) before pooling.

    Returns
    -------
    Tensor
        (1, C, H, W)
    """
    height, width = size
    flat = x.new_zeros(*x.shape[:2], height * width)
    # Not max_unpool2d: it does not support bfloat16 on a CPU.
    return flat.scatter(2, indices.flatten(2), x.flatten(2)).unflatten(2, (height, width))


class SegNet(nn.Module):
    """SegNet from (1, in_channels, H, W) to (1, out_channels, H, W).

    The output is in [0, 1] unless it is a correction.

    Parameters
    ----------
    config : NetworkConfig
        `channels`, `convolutions`, `kernel_down`, `kernel_up`, `correction`, `padding` are used.
    in_channels, out_channels : int
    """

    def __init__(self, config: NetworkConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        widths, pad = config.channels, config.padding
        self.encoders, self.decoders = nn.ModuleList(), nn.ModuleList()
        for index, (width, count) in enumerate(zip(widths, config.convolutions, strict=True)):
            above = widths[index - 1] if index else in_channels
            down = [above] + [width] * count
            up = [width] * count + [widths[max(index - 1, 0)]]
            self.encoders.append(_chain(down, config.kernel_down, pad))
            self.decoders.append(_chain(up, config.kernel_up, pad))
        self.head = Head(widths[0], out_channels, config.correction)

    def forward(self, code: Tensor) -> Tensor:
        x, pooled = code, []
        for encode in self.encoders:
            x = encode(x)
            size = (x.shape[-2], x.shape[-1])
            x, indices = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
            pooled.append((indices, size))
        for decode, (indices, size) in zip(reversed(self.decoders), reversed(pooled), strict=True):
            x = decode(unpool(x, indices, size))
        image: Tensor = self.head(x, code)
        return image


def _chain(widths: list[int], kernel: int, padding: Padding) -> nn.Sequential:
    return nn.Sequential(*(ConvNormAct(a, b, kernel, 1, padding) for a, b in pairwise(widths)))
