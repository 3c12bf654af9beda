"""A network on its device, and tensors beside it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call

from dip.config import NetworkConfig
from dip.fitting import networks
from dip.machine.device import Compute


class Model:
    """A network with random initial weights, on its device; call it with an input code.

    Parameters
    ----------
    config : NetworkConfig
    in_channels, out_channels : int
        Channels of the input code and of the image.
    compute : Compute
    generator : torch.Generator
        Source of the initial weights.
    colour : Tensor, optional
        (out_channels,), in [0, 1]: the initial output is near it; gray when None.

    Attributes
    ----------
    network : nn.Module
    """

    def __init__(
        self,
        config: NetworkConfig,
        *,
        in_channels: int,
        out_channels: int,
        compute: Compute,
        generator: torch.Generator,
        colour: Tensor | None = None,
    ) -> None:
        self._compute = compute
        network = networks.build(
            config,
            in_channels=in_channels,
            out_channels=out_channels,
            generator=generator,
            colour=colour,
        )
        layout = {"memory_format": torch.channels_last} if compute.channels_last else {}
        self.network = network.to(compute.device, **layout)  # type: ignore[call-overload]

    def __call__(self, code: Tensor, parameters: dict[str, Tensor] | None = None) -> Tensor:
        """Compute the output, (1, C, H, W), for a code (1, C_in, H, W).

        `parameters`, by name, replace the network's own when given.
        """
        device, low_precision = self._compute.device.type, self._compute.low_precision
        # No cache of converted weights: a step must not depend on the step before.
        with torch.autocast(device, torch.bfloat16, enabled=low_precision, cache_enabled=False):
            output: Tensor = (
                functional_call(self.network, parameters, code)
                if parameters
                else self.network(code)
            )
        return output


def place(tensor: Tensor, compute: Compute) -> Tensor:
    """Move a tensor to the device, in its memory format."""
    if compute.channels_last:
        return tensor.to(compute.device, memory_format=torch.channels_last)
    return tensor.to(compute.device).contiguous()


def image_tensor(image: NDArray[np.float32], compute: Compute) -> Tensor:
    """Convert an image (H, W, C) to (1, C, H, W) on the device; a stack to (N, C, H, W)."""
    stack = image.reshape(-1, *image.shape[-3:])
    return place(torch.from_numpy(stack).permute(0, 3, 1, 2), compute)


def mask_tensor(mask: NDArray[np.bool_], compute: Compute) -> Tensor:
    """Convert a mask (H, W) to floats (1, 1, H, W) on the device; a stack to (N, 1, H, W)."""
    stack = mask.reshape(-1, 1, *mask.shape[-2:])
    return place(torch.from_numpy(stack).float(), compute)


def image_array(tensor: Tensor) -> NDArray[np.float32]:
    """Convert a tensor (1, C, H, W) to an image (H, W, C); this waits for a GPU."""
    return image_stack(tensor)[0]


def image_stack(tensor: Tensor) -> NDArray[np.float32]:
    """Convert a tensor (N, C, H, W) to images (N, H, W, C); this waits for a GPU."""
    images: NDArray[np.float32] = tensor.permute(0, 2, 3, 1).float().cpu().numpy()
    return images
