"""The restoration of an image: mask → regions → fit → residual fill → texture → composite.

`Restoration` is one job: iterate to work, read the result at any time, stop iterating to cancel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from dip.config import FitConfig, InputCode, Settings
from dip.errors import NotEnoughMemory
from dip.filling.kriging import krige
from dip.filling.membrane import membrane
from dip.filling.resample import enlarge, reduce
from dip.filling.residual import extrapolate_residual
from dip.filling.texture import add_texture
from dip.fitting.ensemble import Ensemble
from dip.fitting.fit import Fit, FitStep, begin_fit
from dip.fitting.input_code import input_picture
from dip.machine import device
from dip.machine.memory import release_freed_memory
from dip.plan import plan
from dip.regions.composite import Canvas, composite
from dip.regions.damaged_image import Array, DamagedImage, ImageCrop, Preview
from dip.regions.region import Box, Region
from dip.samples import full_scale, to_floats
from dip.step import Step

_RUN_SEEDS = 1_000_003
"""Distance between the seeds of runs; the seeds between belong to other regions."""


@dataclass(frozen=True, kw_only=True)
class Fill:
    """Filled pixels of one rectangle.

    Parameters
    ----------
    box : Box
    pixels : ndarray
        (height, width, C), of the image's sample type, not blended with the image; valid where
        `soft_mask` is above 0.
    soft_mask : ndarray
        (height, width), float32 in [0, 1]: the opacity of the pixels over the image.
    """

    box: Box
    pixels: Array
    soft_mask: NDArray[np.float32]


class Restoration:
    """The restoration of one image.

    Parameters
    ----------
    image : ndarray
        (H, W) or (H, W, C), C from 1 to 4, the last of 2 or 4 being alpha; uint8, uint16, or
        float32 with a nominal range of [0, 1].
    mask : ndarray or None
        (H, W): bool, unsigned integers or floats; full scale = restore. None takes transparent
        pixels as the damage and returns them opaque.
    settings : Settings
    keep_reconstruction : bool
        Whether `reconstruction` and `smooth` are available; each takes a copy of the image in
        float32.

    Attributes
    ----------
    regions : tuple of Region
    iterations : int
        Planned number, over all regions.
    memory_mb : float
        Predicted peak of the process.
    notes : tuple of str
        Messages for the user before the start.

    Raises
    ------
    DipError
        Image, mask, settings or device cannot be used; found before any fitting. See `dip.errors`.
    """

    def __init__(
        self,
        image: Array,
        mask: Array | None,
        settings: Settings | None = None,
        *,
        keep_reconstruction: bool = False,
    ) -> None:
        self.settings = settings or Settings()
        self._shape = image.shape
        damaged = DamagedImage(image, mask)
        self._make_opaque = mask is None
        self._compute = device.choose(self.settings.device)
        threads = self.settings.threads or device.cores()
        torch.set_num_threads(threads)
        self._plan = plan(
            damaged.soft_mask.unknown,
            self.settings,
            channels=damaged.samples.shape[2],
            image_bytes=damaged.samples.nbytes,
            compute=self._compute,
            threads=threads,
        )
        self.regions, self.notes = self._plan.regions, self._plan.notes
        self.iterations, self.memory_mb = self._plan.iterations, self._plan.memory_mb
        crops = {region: damaged.crop(region.box) for region in self.regions}
        self._input: tuple[Array, dict[Region, ImageCrop]] | None = damaged.samples, crops
        self._canvas = Canvas(self._image)
        self._reconstruction = to_floats(self._image) if keep_reconstruction else None
        self._smooth = to_floats(self._image) if keep_reconstruction else None
        self._fit: Fit | Ensemble | None = None
        self._region = self.regions[0]

    def __iter__(self) -> Iterator[Step]:
        release_freed_memory()  # the memory of the mask, of reading and of planning
        done = 0
        for number, region in enumerate(self.regions):
            config = self._plan.recipe(region)
            self._region = region
            for step in self._steps(region, config, self.settings.seed + number):
                yield Step(
                    iteration=done + step.index,
                    iterations=self.iterations,
                    region=number,
                    regions=len(self.regions),
                    loss=step.loss,
                    validation_psnr_db=step.validation_psnr_db,
                    note=step.note,
                    run=step.run,
                )
            done += config.total_iterations
            self._store_fill()

    def result(self) -> Array:
        """Return the image with all fills so far, in the shape and type of the input.

        Pixels outside the mask are bit for bit those of the input.
        """
        result = self._image.copy()
        self._write_fills(result)
        return result.reshape(self._shape)

    def result_in_place(self) -> Array:
        """Write the result into the input array and return it, without a second one in memory.

        This ends the restoration: afterwards only `reconstruction` and `smooth` are available.

        Raises
        ------
        ValueError
            The array is read-only, or the restoration has already ended.
        """
        result = self._image
        self._write_fills(result)
        self._input = None
        return result.reshape(self._shape)

    def fills(self) -> list[Fill]:
        """Return the fills so far, one rectangle for each region that was begun."""
        return list(self._fills())

    def _write_fills(self, image: Array) -> None:
        for fill in self._fills():
            index = fill.box.slices
            image[index] = composite(image[index], fill.pixels, fill.soft_mask)
            if self._make_opaque:
                alpha = image[index][:, :, -1]
                alpha[fill.soft_mask > 0] = full_scale(alpha.dtype)

    def _fills(self) -> Iterator[Fill]:
        if self._fit is not None:
            scale = full_scale(self._image.dtype)
            fill = self._textured(*self._smooth_fill(self._region, self._fit), self._region)
            self._canvas.write(self._region, fill * scale, provisional=True)
        for region in self.regions:
            within = region.core.within(region.box)
            soft_mask = self._crop(region).soft_mask[within]
            pixels, soft_mask = self._canvas.crop(region.core, soft_mask)
            if soft_mask.any():
                yield Fill(box=region.core, pixels=pixels, soft_mask=soft_mask)

    def preview(self) -> Preview:
        """Return the present state of the region in work; cheap, with a visible rim.

        Before the first step it is a smooth membrane, which takes a moment; a fit can take seconds
        to begin.
        """
        region = self._region
        output = self._fit.output() if self._fit else membrane(*self._reduced(region))
        return self._crop(region).preview(self._at_full_size(output, region))

    def reconstruction(self) -> NDArray[np.float32]:
        """Return the raw output of the networks in their regions, and the input elsewhere.

        Returns
        -------
        ndarray
            (H, W, C), float32, 1 for full scale. Known pixels are the network's as well: the paper
            scores this image.
        """
        if self._reconstruction is None:
            raise ValueError("Restoration was made without keep_reconstruction=True.")
        return self._reconstruction

    def smooth(self) -> NDArray[np.float32]:
        """Return the result without texture, as if `Settings.texture` were 0.

        Returns
        -------
        ndarray
            (H, W, C), float32, 1 for full scale
        """
        if self._smooth is None:
            raise ValueError("Restoration was made without keep_reconstruction=True.")
        return self._smooth

    @property
    def input_codes(self) -> set[InputCode]:
        """The kinds of input that the networks start from; see `FitConfig.code`."""
        return {self._plan.recipe(region).code for region in self.regions}

    def input_picture(self) -> NDArray[np.float32]:
        """Draw what the networks start from; see `dip.fitting.input_code.input_picture`.

        Returns
        -------
        ndarray
            (H, W, 3), float32 in [0, 1]: for each region, the input of its first run; gray outside.
        """
        picture = np.full((*self._image.shape[:2], 3), 0.5, dtype=np.float32)
        for number, region in enumerate(self.regions):
            target, known = self._reduced(region)
            config, seed = self._plan.recipe(region), self.settings.seed + number
            code = input_picture(config, target, known, seed)
            box = region.box
            picture[box.slices] = enlarge(code, box.height, box.width, region.reduction)
        return picture.clip(0, 1)

    @property
    def _image(self) -> Array:
        return self._input_and_crops()[0]

    def _crop(self, region: Region) -> ImageCrop:
        return self._input_and_crops()[1][region]

    def _input_and_crops(self) -> tuple[Array, dict[Region, ImageCrop]]:
        if self._input is None:
            raise ValueError("result_in_place() has ended this restoration.")
        return self._input

    def _steps(self, region: Region, config: FitConfig, seed: int) -> Iterator[FitStep]:
        """Fit a region; if a GPU runs out of memory, fit it again on the CPU."""
        try:
            self._fit = self._begin_region(region, config, seed)
            yield from self._fit
            return
        except RuntimeError as error:
            if not device.is_out_of_memory(error):
                raise
            self._fit = None
            if self._compute.device.type == "cpu":
                raise NotEnoughMemory(
                    f"Memory ran out in a fit of {region.fitted_pixels / 1e6:.2g} megapixels.",
                    "Close other programs, or set a lower memory limit: regions are then smaller.",
                ) from error
        # Here the error is deleted, and with it all tensors that its traceback kept on the GPU.
        note = (
            f"{self._compute.device.type} ran out of memory; this region and the rest use the CPU"
        )
        if self._compute.device.type == "cuda":
            torch.cuda.empty_cache()
        self._compute = device.choose("cpu")
        self._fit = self._begin_region(region, config, seed)
        for step in self._fit:
            yield replace(step, note=note if step.index == 1 else step.note)

    def _reduced(self, region: Region) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The target of a fit, (h, w, C) in [0, 1], zero at unknown pixels, and `known`."""
        return reduce(*self._crop(region).target(), region.reduction)

    def _begin_region(self, region: Region, config: FitConfig, seed: int) -> Fit | Ensemble:
        target, known = self._reduced(region)

        def begin(run: int) -> Fit:
            return begin_fit(
                target,
                known,
                config,
                compute=self._compute,
                damage=region.damage,
                seed=(seed + _RUN_SEEDS * run) % 2**63,
            )

        if config.runs == 1:
            return begin(0)
        return Ensemble(begin, config.runs, ~known, at_once=self._plan.at_once[region])

    def _at_full_size(self, output: NDArray[np.float32], region: Region) -> NDArray[np.float32]:
        """Enlarge a fit's output to the whole box, (height, width, C), in units of full scale."""
        low, high = self._crop(region).range()
        box = region.box
        output = enlarge(output, box.height, box.width, region.reduction)
        return output * np.float32(high - low) + np.float32(low)

    def _smooth_fill(
        self, region: Region, fit: Fit | Ensemble
    ) -> tuple[NDArray[np.float32], float]:
        """Fill a region without texture and without a seam at the rim.

        Returns
        -------
        ndarray
            (height, width, C) of the whole box, float32, 1 for full scale.
        float
            Regularity of the surroundings, in [0, 1].
        """
        output = self._at_full_size(fit.output(), region)
        config, crop = self._plan.recipe(region), self._crop(region)
        if config.residual_fill == "none":
            return output, 0.0
        residual, known = crop.floats() - output, crop.known
        if config.residual_fill == "kriging":
            return output + krige(residual, known), 0.0
        stacked, seed = config.residual_fill == "stacked", self.settings.seed
        extrapolated, regularity = extrapolate_residual(residual, known, stacked=stacked, seed=seed)
        return output + extrapolated, regularity

    def _textured(
        self, smooth: NDArray[np.float32], regularity: float, region: Region
    ) -> NDArray[np.float32]:
        """Add the texture of the surroundings to a smooth fill, unless the recipe leaves it raw."""
        if self._plan.recipe(region).residual_fill == "none":
            return smooth
        crop, settings = self._crop(region), self.settings
        return add_texture(
            smooth,
            crop.floats(),
            crop.known,
            hole=region.damage == "hole",
            strength=settings.texture,
            regularity=regularity,
            seed=settings.seed,
        )

    def _store_fill(self) -> None:
        """Write the fill of a completely fitted region to the canvas."""
        region, fit = self._region, self._fit
        if fit is None:
            return
        fill, regularity = self._smooth_fill(region, fit)
        if self._reconstruction is not None and self._smooth is not None:
            self._reconstruction[region.box.slices] = self._at_full_size(fit.output(), region)
            unknown = ~self._crop(region).known
            self._smooth[region.box.slices][unknown] = fill[unknown]
        self._fit = None
        textured = self._textured(fill, regularity, region)
        self._canvas.write(region, textured * full_scale(self._image.dtype))


def restore(image: Array, mask: Array | None, settings: Settings | None = None) -> Array:
    """Restore an image.

    Parameters and errors are those of `Restoration`.

    Returns
    -------
    ndarray
        The image with its unknown pixels filled; shape and sample type of the input.
    """
    restoration = Restoration(image, mask, settings)
    for _ in restoration:
        pass
    return restoration.result()
