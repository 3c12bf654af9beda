"""What a restoration is going to do, worked out before it starts: its regions, within memory.

The image is divided into regions that a preset, and the memory that there is, allow to be fitted;
with them go the recipes, the iterations in all, the predicted peak, and what must be said aloud.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from dip.config import Damage, FitConfig, Settings
from dip.errors import NotEnoughMemory
from dip.filling.texture import TEXTURE_MB
from dip.fitting import memory
from dip.machine.device import Compute
from dip.machine.memory import USABLE_SHARE, free_memory_mb
from dip.presets import most_pixels, recipe
from dip.regions.region import Region, plan_regions

_SMALLEST_REGION_PX = 160 * 160
_SMALL_PX = 100_000
"""Up to here a step is too small for more threads to help it much."""

_FINISH_PLANES = 11
"""Copies of a hole's box in float32 that its membrane and its kriging take at once; measured."""

_DAMAGES: tuple[Damage, ...] = get_args(Damage)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The regions of an image, and what they take.

    Parameters
    ----------
    regions : tuple of Region
    recipes : mapping
        How a region is fitted, for each kind of damage.
    at_once : mapping
        How many runs of a region are fitted side by side.
    memory_mb : float
        Predicted peak of the process.
    notes : tuple of str
        What had to give, to be said aloud.
    """

    regions: tuple[Region, ...]
    recipes: Mapping[Damage, FitConfig]
    at_once: Mapping[Region, int]
    memory_mb: float
    notes: tuple[str, ...]

    @property
    def iterations(self) -> int:
        """Over all regions."""
        return sum(self.recipe(region).total_iterations for region in self.regions)

    def recipe(self, region: Region) -> FitConfig:
        """How a region is fitted."""
        return self.recipes[region.damage]


def plan(
    unknown: NDArray[np.bool_],
    settings: Settings,
    *,
    channels: int,
    image_bytes: int,
    compute: Compute,
    threads: int,
) -> Plan:
    """Divide an image into regions that fit into memory, and say what had to give.

    Parameters
    ----------
    unknown : ndarray
        (H, W), bool: the pixels to restore.
    settings : Settings
    channels : int
        Of the image.
    image_bytes : int
        Size of the image in memory.
    compute : Compute
    threads : int
        Of a fit.

    Raises
    ------
    NotEnoughMemory
        Not even the smallest region can be fitted.
    """
    lean, preset, network = compute.is_slow, settings.preset, settings.network
    recipes = {
        damage: recipe(preset, network, damage, settings.iterations, lean=lean)
        for damage in _DAMAGES
    }
    budget_mb = settings.max_memory_mb or USABLE_SHARE * free_memory_mb(compute)
    most = _most_pixels(budget_mb, recipes, channels, compute)
    limits = {damage: min(most, most_pixels(preset, damage, lean=lean)) for damage in _DAMAGES}
    regions = tuple(plan_regions(unknown, max_pixels=limits))
    at_once = {
        region: _at_once(region, recipes[region.damage], threads, budget_mb, channels, compute)
        for region in regions
    }
    images_mb = 3 * image_bytes / 2**20

    def work_mb(region: Region) -> float:
        config = recipes[region.damage]
        fit_mb = memory.fit_mb(region.fitted_pixels, config, channels, compute)
        return at_once[region] * fit_mb + _finish_mb(region, config, settings, channels)

    return Plan(
        regions=regions,
        recipes=recipes,
        at_once=at_once,
        memory_mb=memory.BASE_MB + images_mb + max(map(work_mb, regions)),
        notes=tuple(_notes(regions, limits, settings)),
    )


def _most_pixels(
    budget_mb: float, recipes: Mapping[Damage, FitConfig], channels: int, compute: Compute
) -> int:
    """How large a region may be, in pixels, for every recipe to fit it within memory."""
    most = min(memory.most_pixels(budget_mb, each, channels, compute) for each in recipes.values())
    if most < _SMALLEST_REGION_PX:
        needed = max(
            memory.peak_mb(_SMALLEST_REGION_PX, each, channels, compute)
            for each in recipes.values()
        )
        raise NotEnoughMemory(
            f"A fit may take {budget_mb:.0f} MB; the smallest takes about {needed:.0f} MB.",
            "Close other programs, raise the limit, or choose the preset 'fast'.",
        )
    return most


def _at_once(
    region: Region,
    config: FitConfig,
    threads: int,
    budget_mb: float,
    channels: int,
    compute: Compute,
) -> int:
    """Runs to fit side by side: of small regions on a CPU, as many as there are threads."""
    if compute.device.type != "cpu" or region.fitted_pixels > _SMALL_PX:
        return 1
    room = (budget_mb - memory.BASE_MB) / memory.fit_mb(
        region.fitted_pixels, config, channels, compute
    )
    return max(1, min(config.runs, threads, int(room)))


def _finish_mb(region: Region, config: FitConfig, settings: Settings, channels: int) -> float:
    """What a hole's finishing takes; it is done at full size."""
    if not config.fills_holes:
        return 0
    planes_mb = _FINISH_PLANES * 4 * channels * region.box.area / 2**20
    return planes_mb + (TEXTURE_MB if settings.texture else 0)


def _notes(
    regions: Sequence[Region], limits: Mapping[Damage, int], settings: Settings
) -> Iterator[str]:
    tiles = sum(region.tiled for region in regions)
    if tiles:
        yield (
            f"worked on in {tiles} overlapping tiles of at most "
            f"{limits['thin'] / 1e6:.2g} megapixels"
        )
    reduction = max(region.reduction for region in regions)
    if reduction > 3:  # a fill is no sharper than a third of the size as it is
        detail = "is copied from around it" if settings.texture else "is missing"
        yield (
            f"a hole is too large to be fitted at full size: it is filled at 1/{reduction} of "
            f"its size and enlarged; its finest detail {detail}"
        )
