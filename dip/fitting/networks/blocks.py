"""Building blocks of both networks."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dip.config import Padding

_DARKEST = 0.02
"""Nearer to black or white than this, the gradient of a sigmoid is too small to learn."""

_CORRECTION_SCALE = 0.1
"""Factor of the last layer's output in a correction, which is small."""

_FEW_PX = 128
"""Up to this side, interpolation by a product of matrices is faster than torch's kernel."""


def _has_faster_kernels(x: Tensor) -> bool:
    """Whether it is a single contiguous image on a CPU, for which torch has faster kernels."""
    return len(x) == 1 and x.device.type == "cpu" and x.is_contiguous()


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation by the statistics of the present image, without running statistics."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] * x.shape[3] == 1:  # a single pixel has no variance
            return x * self.weight[:, None, None] + self.bias[:, None, None]
        if _has_faster_kernels(x):
            # The same for a single image; its kernels take half the time, forward and backward.
            return F.group_norm(x, x.shape[1], self.weight, self.bias, self.eps)
        return super().forward(x)


class Conv(nn.Conv2d):
    """Convolution; a 1×1 kernel with few output channels is computed as a product of matrices."""

    def forward(self, x: Tensor) -> Tensor:
        out, into, *kernel = self.weight.shape
        is_pointwise = kernel == [1, 1] and self.stride == (1, 1)
        if not is_pointwise or 4 * out > into or not _has_faster_kernels(x):
            return super().forward(x)
        # On two cores this takes 0.3 to 0.5 of the time of torch's convolution.
        mixed = (self.weight.view(out, into) @ x.view(into, -1)).view(1, out, *x.shape[2:])
        return mixed if self.bias is None else mixed + self.bias[:, None, None]


class ConvNormAct(nn.Module):
    """Convolution, BatchNorm, LeakyReLU(0.2); the kernel is odd and the padding keeps the size.

    Maps (1, in_channels, H, W) to (1, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1,
        padding: Padding = "zeros",
    ) -> None:  # fmt: skip
        super().__init__()
        self.margin = kernel // 2
        self.reflects = padding == "reflect" and self.margin > 0
        # No bias: BatchNorm would remove it.
        self.convolution = Conv(
            in_channels, out_channels, kernel, stride, 0 if self.reflects else self.margin,
            bias=False,
        )  # fmt: skip
        self.norm = BatchNorm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        if self.reflects:
            # A side that is not longer than the margin cannot be reflected: pad with zeros.
            mode = "reflect" if min(x.shape[-2:]) > self.margin else "constant"
            x = F.pad(x, (self.margin,) * 4, mode)
        return F.leaky_relu(self.norm(self.convolution(x)), 0.2, inplace=True)


def interpolate(x: Tensor, height: int, width: int) -> Tensor:
    """Bilinear interpolation of (1, C, h, w) to (1, C, height, width)."""
    h, w = x.shape[2:]
    if max(h, w) <= _FEW_PX and _has_faster_kernels(x):
        # Two products of matrices, though mostly zeros, take 0.3 to 0.6 of the kernel's time.
        return _weights(h, height) @ (x @ _weights(w, width).mT)
    return F.interpolate(x, size=(height, width), mode="bilinear", align_corners=False)


@cache
def _weights(length: int, new_length: int) -> Tensor:
    """Matrix (new_length, length) that interpolates a row of samples."""
    impulses = torch.eye(length)[None]
    return F.interpolate(impulses, size=new_length, mode="linear", align_corners=False)[0].mT


class Head(nn.Module):
    """The output layer: a 1×1 convolution from features to an image, in single precision.

    Parameters
    ----------
    in_channels, out_channels : int
    correction : bool
        Whether the output is the image in the network's input plus a correction, zero before the
        first step; otherwise a sigmoid maps it to [0, 1].
    """

    def __init__(self, in_channels: int, out_channels: int, correction: bool = False) -> None:
        super().__init__()
        self.convolution = Conv(in_channels, out_channels, 1)
        self.correction = correction

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """Map features (1, in_channels, H, W) and the network's input to an image."""
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 would show as bands
            image: Tensor = self.convolution(x.float())
            if self.correction:
                return code[:, : image.shape[1]].float() + _CORRECTION_SCALE * image
            return torch.sigmoid(image)

    @torch.no_grad()
    def start_from(self, colour: Tensor) -> None:
        """Set the bias so that the initial image is near a colour, (out_channels,), in [0, 1]."""
        bias = self.convolution.bias
        assert bias is not None
        bias.copy_(torch.logit(colour, eps=_DARKEST))
