"""The plan of a restoration: patches and regions, how each is fitted, and the predicted memory.

Preset and free memory limit the size of a region.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dip.config import DAMAGES, Damage, FitConfig, Settings
from dip.errors import NotEnoughMemory
from dip.filling.texture import texture_mb
from dip.fitting import memory
from dip.machine.device import Compute
from dip.machine.memory import USABLE_SHARE, free_memory_mb
from dip.notes import Note
from dip.presets import PRESETS, gain_share, max_pixels, recipe
from dip.regions.box import Box
from dip.regions.patches import Patch, covered, find_patches, in_stacks
from dip.regions.region import ENOUGH_REGIONS, Region, plan_regions

_SMALLEST_REGION_PX = 160 * 160
_SMALL_PX = 100_000
"""Up to this size a step is too small for several threads to be much faster."""

_SHARED_UP_TO_PX = 400_000
"""Larger regions have all cores, for memory."""

_RESIDUAL_FILL_PLANES = 11
"""Measured memory of a hole's residual fill, in copies of its box in float32."""

_STACK_PLANES = 5
"""Copies of all patches in float32: targets, kriged fills, and work on a part of them."""

_SHARPEST_REDUCTION = 3
"""A fill is no sharper than a third of the full size, so less reduction loses nothing."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The regions of an image, and the work and memory that they need.

    Parameters
    ----------
    patches : mapping
        Side of a patch, px, to all patches of this size.
    gain_share : float
        See `dip.presets.Work`.
    stack_pixels : int
        Largest stack of patches that one network is fitted to.
    fits_at_once : int
        Number of stacks and regions that are fitted side by side.
    side_by_side : frozenset of Region
        The regions that are fitted so, a core each; the others have all cores.
    regions : tuple of Region
    recipes : mapping
        The configuration of a fit, for each kind of damage.
    at_once : mapping
        Number of runs of a region that are fitted side by side.
    memory_mb : float
        Predicted peak of the process.
    notes : tuple of Note
        Messages for the user about tiles and reduced sizes.
    """

    patches: Mapping[int, list[Patch]]
    gain_share: float
    stack_pixels: int
    fits_at_once: int
    side_by_side: frozenset[Region]
    regions: tuple[Region, ...]
    recipes: Mapping[Damage, FitConfig]
    at_once: Mapping[Region, int]
    memory_mb: float
    notes: tuple[Note, ...]

    @property
    def iterations(self) -> int:
        """Iterations of all fits, if every patch needs one; exact where there are no patches."""
        speck, most = self.recipes["speck"].total_iterations, self.stack_pixels
        stacks = sum(-(-len(each) * side**2 // most) for side, each in self.patches.items())
        regions = sum(self.recipe(region).total_iterations for region in self.regions)
        return stacks * speck + regions

    def recipe(self, region: Region) -> FitConfig:
        """The configuration of a region's fit."""
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
    """Divide an image into regions that fit into memory.

    Parameters
    ----------
    unknown : ndarray
        (H, W), bool: the pixels to restore.
    settings : Settings
    channels : int
        Channels of the image.
    image_bytes : int
        Size of the image in memory.
    compute : Compute
    threads : int
        CPU threads of a fit.

    Raises
    ------
    NotEnoughMemory
        Even the smallest region does not fit.
    """
    preset, network, low_compute = settings.preset, settings.network, compute.low_compute
    recipes = {
        damage: recipe(preset, network, damage, settings.iterations, low_compute=low_compute)
        for damage in DAMAGES
    }
    budget_mb = settings.max_memory_mb or USABLE_SHARE * free_memory_mb(compute)
    affordable = _affordable_pixels(budget_mb, recipes, channels, compute)
    wanted = max_pixels(preset, low_compute=low_compute)
    limits = {damage: min(affordable, wanted[damage]) for damage in DAMAGES}
    published = PRESETS[preset].published
    patches, rest = ([], unknown) if published else find_patches(unknown)
    # Several runs of a region share the cores themselves, and the published recipe fits it whole.
    shares_cores = recipes["thin"].runs == 1 and not published
    regions: tuple[Region, ...] = ()
    if not patches or rest.any():
        regions = tuple(plan_regions(unknown, max_pixels=limits, damage=rest, halve=shares_cores))
    patches = [each for each in patches if not covered(each, regions)]
    side_by_side = _side_by_side(regions) if shares_cores else frozenset()
    shared = [(limits["speck"], recipes["speck"])] if patches else []
    shared += [(each.fitted_pixels, recipes[each.damage]) for each in side_by_side]
    shared_mb = max((memory.fit_mb(*each, channels, compute) for each in shared), default=0)
    fits_at_once = 1
    if shared and compute.device.type == "cpu":
        fits_at_once = max(1, min(threads, int((budget_mb - memory.BASE_MB) / shared_mb)))
    at_once = {
        region: _at_once(region, recipes[region.damage], threads, budget_mb, channels, compute)
        for region in regions
    }
    images_mb = 3 * image_bytes / 2**20
    stacks_mb = _STACK_PLANES * 4 * channels * sum(each.box.area for each in patches) / 2**20

    def work_mb(region: Region) -> float:
        config = recipes[region.damage]
        fill_mb = _fill_mb(region, config, settings, channels)
        if region in side_by_side:
            return fill_mb
        fit_mb = memory.fit_mb(region.fitted_pixels, config, channels, compute)
        fits_mb = at_once[region] * fit_mb
        # Between its steps a fit holds little; holes are predicted with a reserve.
        return fits_mb + fill_mb if config.extrapolates_residual else max(fits_mb, fill_mb)

    side_by_side_mb = stacks_mb + fits_at_once * shared_mb
    return Plan(
        patches=in_stacks(patches, Box.of(unknown)),
        gain_share=gain_share(preset, settings.iterations, low_compute=compute.low_compute),
        stack_pixels=limits["speck"],
        fits_at_once=fits_at_once,
        side_by_side=side_by_side,
        regions=regions,
        recipes=recipes,
        at_once=at_once,
        memory_mb=memory.BASE_MB + images_mb + max([side_by_side_mb, *map(work_mb, regions)]),
        notes=tuple(_notes(regions, bool(patches), limits, wanted, settings)),
    )


def _affordable_pixels(
    budget_mb: float, recipes: Mapping[Damage, FitConfig], channels: int, compute: Compute
) -> int:
    """The largest region, in pixels, that each recipe can fit within the budget."""
    affordable = min(
        memory.max_pixels(budget_mb, each, channels, compute) for each in recipes.values()
    )
    if affordable < _SMALLEST_REGION_PX:
        needed = max(
            memory.peak_mb(_SMALLEST_REGION_PX, each, channels, compute)
            for each in recipes.values()
        )
        raise NotEnoughMemory(
            f"A fit may take {budget_mb:.0f} MB of memory; the smallest takes about "
            f"{needed:.0f} MB.",
            "Close other programs, raise the limit, or choose the preset 'fast'.",
        )
    return affordable


def _side_by_side(regions: Sequence[Region]) -> frozenset[Region]:
    thin = [region for region in regions if region.damage == "thin"]
    enough = len(thin) >= ENOUGH_REGIONS
    return frozenset(
        region
        for region in thin
        if (enough or region.tiled) and region.fitted_pixels <= _SHARED_UP_TO_PX
    )


def _at_once(
    region: Region,
    config: FitConfig,
    threads: int,
    budget_mb: float,
    channels: int,
    compute: Compute,
) -> int:
    """Number of runs to fit side by side: small regions on a CPU get one for each thread."""
    if compute.device.type != "cpu" or region.fitted_pixels > _SMALL_PX:
        return 1
    room = (budget_mb - memory.BASE_MB) / memory.fit_mb(
        region.fitted_pixels, config, channels, compute
    )
    return max(1, min(config.runs, threads, int(room)))


def _fill_mb(region: Region, config: FitConfig, settings: Settings, channels: int) -> float:
    """Memory of the residual fill and of the texture, which are made at full size."""
    area, hole = region.box.area, config.extrapolates_residual
    planes_mb = _RESIDUAL_FILL_PLANES * 4 * channels * area / 2**20 if hole else 0
    return planes_mb + (texture_mb(area, channels, hole=hole) if settings.texture else 0)


def _notes(
    regions: Sequence[Region],
    has_patches: bool,
    limits: Mapping[Damage, int],
    wanted: Mapping[Damage, int],
    settings: Settings,
) -> Iterator[Note]:
    if has_patches and limits["speck"] < wanted["speck"]:
        yield Note("smaller_groups", pixels=limits["speck"], wanted=wanted["speck"])
    tiles = sum(region.tiled for region in regions)
    if tiles and limits["thin"] < wanted["thin"]:
        yield Note("tiled", count=tiles, megapixels=limits["thin"] / 1e6)
    reduction = max((region.reduction for region in regions), default=1)
    if reduction > _SHARPEST_REDUCTION:
        code = "enlarged_copied" if settings.texture else "enlarged_smooth"
        yield Note(code, reduction=reduction)
