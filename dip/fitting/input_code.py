"""The input code z: the network's input, the same for the whole fit."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dip.config import FitConfig
from dip.filling.kriging import krige_image

_NOISE_SCALE = 0.1


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
        parts.append(_NOISE_SCALE * torch.rand(shape, generator=generator))
    return torch.cat(parts).unsqueeze(0)  # (1, channels, height, width)


def input_picture(
    config: FitConfig,
    target: NDArray[np.float32],
    known: NDArray[np.bool_],
    generator: torch.Generator,
) -> NDArray[np.float32]:
    """Draw the input of a fit: the first three channels of its code, as red, green and blue.

    Parameters
    ----------
    config : FitConfig
    target : ndarray
        (H, W, C), float32 in [0, 1]; ignored where unknown.
    known : ndarray
        (H, W) bool
    generator : torch.Generator
        Of the fit; see `dip.fitting.fit.begin_fit`.

    Returns
    -------
    ndarray
        (H, W, 3), float32 in [0, 1]. Noise is scaled to that range. Coordinates are red (x) and
        green (y). The code 'fill' is a kriged fill of the target, without alpha.
    """
    if config.code == "fill":
        filled = krige_image(target, known)
        return np.repeat(filled[:, :, :1], 3, axis=2) if filled.shape[2] < 3 else filled[:, :, :3]
    # The same draw as in `begin_fit`: the code comes before the network's weights.
    height, width = known.shape
    code = input_code(config, height, width, generator)[0, :3]
    picture = np.zeros((height, width, 3), dtype=np.float32)
    picture[:, :, : len(code)] = code.permute(1, 2, 0).numpy()
    coordinates = 2 if config.code in ("coordinates", "both") else 0
    picture[:, :, coordinates:] /= _NOISE_SCALE
    return picture
