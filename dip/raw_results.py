"""The results of a restoration for measurements: raw outputs of the networks, and smooth fills."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dip.region_fit import RegionFit
from dip.regions.box import Box
from dip.samples import to_floats
from dip.specks import PatchFill

Array = NDArray[np.float32]


class RawResults:
    """Raw outputs and smooth fills, each in a copy of the image.

    Parameters
    ----------
    image : ndarray
        (H, W, C)

    Attributes
    ----------
    reconstruction, smooth : ndarray
        (H, W, C), float32, 1 for full scale.
    """

    def __init__(self, image: NDArray[Any]) -> None:
        self.reconstruction, self.smooth = to_floats(image), to_floats(image)

    def keep_first(self, core: Box, pixels: Array, inside: NDArray[np.bool_]) -> None:
        """Keep a first fill, (height, width, C), at some pixels of its core."""
        self.smooth[core.slices][inside] = pixels[inside]

    def keep_region(self, fit: RegionFit, fill: Array) -> None:
        """Keep the output of a region's fit and its smooth fill, (height, width, C) of the box."""
        self.reconstruction[fit.region.box.slices] = fit.output()
        self.keep_first(fit.region.box, fill, fit.crop.soft_mask[:] > 0)

    def keep_patch(self, fill: PatchFill) -> None:
        """Keep the output and the fill of a patch, by its weight."""
        core, weight = fill.patch.core, fill.patch.weight
        within = core.within(fill.patch.box)
        for kept, pixels in ((self.smooth, fill.pixels), (self.reconstruction, fill.output)):
            if pixels is not None:
                old = kept[core.slices]
                old += weight[:, :, None] * (pixels[within] - old)
