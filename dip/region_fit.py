"""The restoration of one region: first fill → fit → residual fill → texture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from dip.config import FitConfig, Settings
from dip.filling.continuation import continue_picture
from dip.filling.kriging import krige, krige_detail
from dip.filling.membrane import membrane
from dip.filling.resample import enlarge, reduce
from dip.filling.residual import extrapolate_residual
from dip.filling.texture import add_texture
from dip.fitting.ensemble import Ensemble, seed_of_run
from dip.fitting.fallback import FittingDevice
from dip.fitting.fit import Fit, FitStep, begin_fit
from dip.fitting.input_code import input_picture
from dip.machine.device import Compute
from dip.plan import Plan
from dip.regions.box import Box
from dip.regions.damaged_image import DamagedImage, ImageCrop
from dip.regions.picture_edge import unsupported_pixels, unsupported_weight
from dip.regions.region import Region

Array = NDArray[np.float32]


class RegionFit:
    """The fit of one region, and its fill.

    Parameters
    ----------
    region : Region
    crop : ImageCrop
        Of the region's box.
    config : FitConfig
    settings : Settings
    where : FittingDevice
    seed : int
        Of the fit.
    at_once : int
        Number of runs that are fitted side by side.
    shares_cores : bool
        Whether it is fitted with a core beside others, instead of with all cores.
    unsupported : ndarray, optional
        (height, width) bool, of the box; see `dip.regions.picture_edge`.

    Attributes
    ----------
    gain_density : float
        After the first fill, a guess of the gain of a fit for each pixel and iteration: the
        variance of the detail in the box stands for the error of the first fill.
    """

    def __init__(
        self,
        region: Region,
        crop: ImageCrop,
        config: FitConfig,
        settings: Settings,
        where: FittingDevice,
        *,
        seed: int,
        at_once: int,
        shares_cores: bool = False,
        unsupported: NDArray[np.bool_] | None = None,
    ) -> None:
        self.region, self.crop, self.config = region, crop, config
        self._unsupported = unsupported
        self._settings, self._where, self._seed, self._at_once = settings, where, seed, at_once
        self._fit: Fit | Ensemble | None = None
        self.shares_cores = shares_cores
        self.gain_density = 0.0

    @property
    def pixels(self) -> int:
        """Pixels that the network produces."""
        return self.region.fitted_pixels

    @property
    def is_begun(self) -> bool:
        """Whether there is an output."""
        return self._fit is not None

    def first_fill(self, *, kriged: bool) -> Array:
        """Fill without a network, (height, width, C) of the box in units of full scale."""
        target, known = self._reduced()
        smooth = membrane(target, known)
        detail = np.square(target - smooth).mean(2)[known].mean(dtype=np.float64)
        unknown = known.size - np.count_nonzero(known)
        if self._unsupported is not None:  # gets no gain
            unknown -= np.count_nonzero(self._unsupported) // self.region.reduction**2
        self.gain_density = detail * unknown / (known.size * self.config.total_iterations)
        return self._at_full_size(krige_detail(target, known, smooth) if kriged else smooth)

    def steps(self, config: FitConfig) -> Iterator[FitStep]:
        """Fit; if a GPU runs out of memory, fit again on the CPU."""
        target, known = self._reduced()

        def begin_run(compute: Compute, run: int) -> Fit:
            return begin_fit(
                target,
                known,
                config,
                compute=compute,
                damage=self.region.damage,
                seed=seed_of_run(self._seed, run),
            )

        def begin(compute: Compute) -> Fit | Ensemble:
            self._fit = None
            if config.runs == 1:
                self._fit = begin_run(compute, 0)
            else:
                self._fit = Ensemble(
                    lambda run: begin_run(compute, run),
                    config.runs,
                    ~known,
                    at_once=self._at_once,
                )
            return self._fit

        return self._where.steps(begin, self.pixels)

    def input_picture(self) -> Array:
        """Draw the input of the first run, (height, width, 3); see `dip.fitting.input_code`."""
        generator = torch.Generator().manual_seed(self._seed)
        code = input_picture(self.config, *self._reduced(), generator)
        box = self.region.box
        return enlarge(code, box.height, box.width, self.region.reduction)

    def end(self) -> None:
        """Release the fit."""
        self._fit = None

    def output(self) -> Array:
        """Return the network's output, (height, width, C) of the box in units of full scale."""
        assert self._fit is not None
        return self._at_full_size(self._fit.output())

    def smooth_fill(self) -> tuple[Array, float]:
        """Fill the region without texture and without a seam at the rim.

        Returns
        -------
        ndarray
            (height, width, C) of the whole box, float32, 1 for full scale.
        float
            Regularity of the surroundings, in [0, 1].
        """
        output, config, known = self.output(), self.config, self.crop.known
        if config.residual_fill == "none":
            return output, 0.0
        residual, regularity = self.crop.floats() - output, 0.0
        if config.residual_fill == "kriging":
            output = output + krige(residual, known)
        else:
            stacked, seed = config.residual_fill == "stacked", self._settings.seed
            extrapolated, regularity = extrapolate_residual(
                residual, known, stacked=stacked, seed=seed
            )
            output = output + extrapolated
        return self._supported(output), regularity

    def _supported(self, output: Array) -> Array:
        """Continue the picture from its last known pixels where the network extrapolates."""
        if self._unsupported is None:
            return output
        target, known, needed = self.crop.floats(), self.crop.known, self._unsupported
        continued = continue_picture(target, known, needed=needed, limits=self.crop.range())
        return output + unsupported_weight(~known, needed) * (continued - output)

    def textured(self, smooth: Array, regularity: float) -> Array:
        """Add the texture of the surroundings to a smooth fill, unless the recipe leaves it raw."""
        if self.config.residual_fill == "none":
            return smooth
        return add_texture(
            smooth,
            self.crop.floats(),
            self.crop.known,
            hole=self.region.damage == "hole",
            strength=self._settings.texture,
            regularity=regularity,
            unsupported=self._unsupported,
            seed=self._settings.seed,
        )

    def _reduced(self) -> tuple[Array, NDArray[np.bool_]]:
        """The target of a fit, (h, w, C) in [0, 1], zero at unknown pixels, and `known`."""
        return reduce(*self.crop.target(), self.region.reduction)

    def _at_full_size(self, output: Array) -> Array:
        """Enlarge a fit's output to the whole box, (height, width, C), in units of full scale."""
        low, high = self.crop.range()
        box = self.region.box
        output = enlarge(output, box.height, box.width, self.region.reduction)
        return output * np.float32(high - low) + np.float32(low)


def region_fits(
    damaged: DamagedImage, plan: Plan, settings: Settings, where: FittingDevice
) -> list[RegionFit]:
    """Return the fit of each region of a plan."""
    unsupported = unsupported_pixels(damaged.soft_mask.unknown) if plan.regions else None

    def unsupported_in(box: Box) -> NDArray[np.bool_] | None:
        crop = None if unsupported is None else unsupported[box.slices]
        return crop.copy() if crop is not None and crop.any() else None

    return [
        RegionFit(
            region,
            damaged.crop(region.box),
            plan.recipe(region),
            settings,
            where,
            seed=settings.seed + number,
            at_once=plan.at_once[region],
            shares_cores=region in plan.side_by_side,
            unsupported=unsupported_in(region.box),
        )
        for number, region in enumerate(plan.regions)
    ]
