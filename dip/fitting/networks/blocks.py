"""The pieces that both networks are made of."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dip.config import Padding

_DARKEST = 0.02
"""A sigmoid nearer than this to black or white hardly learns any more."""

_CORRECTION_SCALE = 0.1
"""A correction is small: this much of what the last layer says."""

_FEW_PX = 128
"""Up to this side interpolation is faster by matrices than by going through the pixels."""


def _plain(x: Tensor) -> bool:
    """Whether it is one image, in planes, on a CPU: where torch has faster kernels to offer."""
    return len(x) == 1 and x.device.type == "cpu" and x.is_contiguous()


class BatchNorm(nn.BatchNorm2d):
    """Normalise with the statistics of the one image there is; nothing is kept between steps."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] * x.shape[3] == 1:  # a single pixel has no spread to divide by
            return x * self.weight[:, None, None] + self.bias[:, None, None]
        if _plain(x):
            # The same of a single image, by a kernel that takes half the time forth and back.
            return F.group_norm(x, x.shape[1], self.weight, self.bias, self.eps)
        return super().forward(x)


class Conv(nn.Conv2d):
    """Convolution; where all it does is to mix a pixel's channels to few, a product of matrices."""

    def forward(self, x: Tensor) -> Tensor:
        out, into, *kernel = self.weight.shape
        mixes = kernel == [1, 1] and self.stride == (1, 1)
        if not mixes or 4 * out > into or not _plain(x):
            return super().forward(x)
        # On two cores it takes 0.3 to 0.5 of the time of the convolution's kernels.
        mixed = (self.weight.view(out, into) @ x.view(into, -1)).view(1, out, *x.shape[2:])
        return mixed if self.bias is None else mixed + self.bias[:, None, None]


class ConvNormAct(nn.Module):
    """Convolution, BatchNorm, LeakyReLU(0.2); odd kernel, keeps the size at stride 1.

    (1, in_channels, H, W) to (1, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1,
        padding: Padding = "zeros",
    ) -> None:  # fmt: skip
        super().__init__()
        self.margin = kernel // 2
        self.reflects = padding == "reflect" and self.margin > 0
        # No bias: BatchNorm takes it away again.
        self.convolution = Conv(
            in_channels, out_channels, kernel, stride, 0 if self.reflects else self.margin,
            bias=False,
        )  # fmt: skip
        self.norm = BatchNorm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        if self.reflects:
            # A side that is no longer than the margin has nothing to reflect: zeros there.
            mode = "reflect" if min(x.shape[-2:]) > self.margin else "constant"
            x = F.pad(x, (self.margin,) * 4, mode)
        return F.leaky_relu(self.norm(self.convolution(x)), 0.2, inplace=True)


def interpolate(x: Tensor, height: int, width: int) -> Tensor:
    """Bilinear interpolation of (1, C, h, w) to (1, C, height, width)."""
    h, w = x.shape[2:]
    if max(h, w) <= _FEW_PX and _plain(x):
        # Two products of matrices, mostly of zeros, take 0.3 to 0.6 of the time of the kernel.
        return _weights(h, height) @ (x @ _weights(w, width).mT)
    return F.interpolate(x, size=(height, width), mode="bilinear", align_corners=False)


@cache
def _weights(length: int, wanted: int) -> Tensor:
    """(wanted, length): what each of so many points between takes of the given ones."""
    impulses = torch.eye(length)[None]
    return F.interpolate(impulses, size=wanted, mode="linear", align_corners=False)[0].mT


class Head(nn.Module):
    """1×1 convolution from features to an image, in single precision.

    Parameters
    ----------
    in_channels, out_channels : int
    correction : bool
        Whether the image is what entered the network plus a correction, zero before the first
        step; otherwise it goes through a sigmoid, into [0, 1].
    """

    def __init__(self, in_channels: int, out_channels: int, correction: bool = False) -> None:
        super().__init__()
        self.convolution = Conv(in_channels, out_channels, 1)
        self.correction = correction

    def forward(self, x: Tensor, entered: Tensor) -> Tensor:
        """(1, in_channels, H, W) and the network's input, an image first, to an image."""
        with torch.autocast(x.device.type, enabled=False):  # 8 bits of bfloat16 would band
            image: Tensor = self.convolution(x.float())
            if self.correction:
                return entered[:, : image.shape[1]].float() + _CORRECTION_SCALE * image
            return torch.sigmoid(image)

    @torch.no_grad()
    def start_from(self, colour: Tensor) -> None:
        """Let the image be about one colour, (out_channels,) in [0, 1], before the first step."""
        bias = self.convolution.bias
        assert bias is not None
        bias.copy_(torch.logit(colour, eps=_DARKEST))
