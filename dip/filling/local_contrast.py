"""How rich in detail a picture is around each pixel, continued through its damage.

A smooth fill resembles plain places, even in the middle of rich ones. So whatever copies pieces of
the picture into a fill has to look for places of this contrast as well as for places of its colour.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from dip.filling.blur import blur
from dip.filling.membrane import extend

Array = NDArray[np.float32]

_BASE_PX = 4.0
"""Detail is the image minus a blur of this standard deviation."""
_AROUND_PX = 5.0
"""Its mean square is taken over such a Gaussian window."""
_CONTINUED_PX = 3.0
_LEAST = np.float32(1e-3)
"""Half of a level of 8 bits is no contrast."""


def local_contrast(image: Array, unknown: NDArray[np.bool_]) -> Array:
    """Measure the root mean square of the detail around each pixel.

    Parameters
    ----------
    image : ndarray
        (H, W, C), float32, in units of full scale
    unknown : ndarray
        (H, W) bool; the image is ignored there, and the contrast continued as a logarithm.

    Returns
    -------
    ndarray
        (H, W), float32, in units of full scale
    """
    planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    known = torch.from_numpy(~unknown).to(torch.float32)
    base = blur(planes * known, _BASE_PX) / blur(known, _BASE_PX).clamp(min=1e-4)
    squares = (planes - base).square().mean(0) * known
    mean = blur(squares, _AROUND_PX) / blur(known, _AROUND_PX).clamp(min=1e-3)
    contrast: Array = mean.sqrt().numpy()
    logarithms = np.where(unknown, np.float32(0), np.log(contrast + _LEAST))
    continued = np.exp(extend(logarithms[None], ~unknown[None], smoothing_px=_CONTINUED_PX)[0])
    return np.where(unknown, continued - _LEAST, contrast).astype(np.float32, copy=False)
