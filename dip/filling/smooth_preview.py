"""The first preview of a restoration: a smooth fill, without a network."""

from __future__ import annotations

from dip.filling.membrane import membrane
from dip.presets import max_pixels
from dip.regions.damaged_image import Array, DamagedImage
from dip.regions.preview import Preview
from dip.regions.region import plan_regions


def smooth_preview(image: Array, mask: Array | None, growth_px: int = 0) -> Preview:
    """Fill the first region of damage smoothly; fast, and without torch.

    Parameters and errors are those of `DamagedImage`.
    """
    damaged = DamagedImage(image, mask, growth_px)
    regions = plan_regions(damaged.soft_mask.unknown, max_pixels=max_pixels("balanced"))
    crop = damaged.crop(regions[0].box)
    return crop.preview(membrane(crop.floats(), crop.known))
