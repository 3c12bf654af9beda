"""The input code z: the network's input, the same for the whole fit."""

from __future__ import annotations

import torch
from torch import Tensor

from dip.config import FitConfig


def input_code(config: FitConfig, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Make an input code of coordinates, noise or both.

    Coordinates contain no detail, so the network cannot copy noise into a large hole. Noise fills
    thin damage with texture in fewer iterations.

    Parameters
    ----------
    config : FitConfig
        `code`, not 'fill', and `code_channels` are used.
    height, width : int
        px
    generator : torch.Generator

    Returns
    -------
    Tensor
        (1, channels, height, width); coordinates in [0, 1] along the longer side, noise uniform
        in [0, 0.1] as in the paper.
    """
    parts = []
    if config.code in ("coordinates", "both"):
        longer = max(height, width)
        y, x = torch.meshgrid(
            torch.arange(height) / longer, torch.arange(width) / longer, indexing="ij"
        )
        parts.append(torch.stack([x, y]))
    if config.code in ("noise", "both"):
        shape = (config.code_channels, height, width)
        parts.append(0.1 * torch.rand(shape, generator=generator))
    return torch.cat(parts).unsqueeze(0)  # (1, channels, height, width)
