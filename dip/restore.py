"""A damaged image goes in, a restored one comes out.

The story, top to bottom: mask → regions → fit → finish → composite. `Restoration` is one job:
iterate to work, ask for the result at any time, stop iterating to cancel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from dip.config import FitConfig, Settings
from dip.errors import NotEnoughMemory
from dip.filling.kriging import krige
from dip.filling.membrane import membrane
from dip.filling.resample import enlarge, reduce
from dip.filling.residual import extrapolate_residual
from dip.filling.texture import add_texture
from dip.fitting.correction import Correction
from dip.fitting.ensemble import Ensemble
from dip.fitting.fit import Fit, FitStep
from dip.machine import device
from dip.machine.memory import release_freed_memory
from dip.plan import plan
from dip.regions.composite import Canvas, composite
from dip.regions.damaged_image import Array, DamagedImage, ImageCrop, Preview
from dip.regions.region import Box, Region
from dip.samples import full_scale, to_floats

_RUN_SEEDS = 1_000_003
"""Seeds of runs lie this far apart: those between belong to other regions."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one iteration of a restoration did.

    Parameters
    ----------
    iteration, iterations : int
        1-based, and in all, over every region.
    region, regions : int
        0-based, and how many.
    loss : float, optional
        None where it was not read from the device.
    validation_psnr_db : float, optional
        Of held-out known pixels near the holes; None between measurements.
    note : str, optional
        Something to say aloud.
    """

    iteration: int
    iterations: int
    region: int
    regions: int
    loss: float | None
    validation_psnr_db: float | None
    note: str | None


@dataclass(frozen=True, kw_only=True)
class Fill:
    """Filled pixels of one rectangle.

    Parameters
    ----------
    box : Box
    pixels : ndarray
        (height, width, C), of the image's own sample type, not blended with the image;
        meaningful where `soft_mask` is above 0.
    soft_mask : ndarray
        (height, width), float32 in [0, 1]: the opacity with which the pixels are laid over.
    """

    box: Box
    pixels: Array
    soft_mask: NDArray[np.float32]


class Restoration:
    """One image being restored.

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
        Whether `reconstruction` and `smooth` will be asked for; each costs a copy of the image in
        float32.

    Attributes
    ----------
    regions : tuple of Region
    iterations : int
        Planned, over all regions.
    memory_mb : float
        Predicted peak of the process.
    notes : tuple of str
        Things to say aloud before the start.

    Raises
    ------
    DipError
        Anything that is wrong with image, mask, settings or device is found here, before any
        fitting; see `dip.errors`.
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
        parts = {region: damaged.crop(region.box) for region in self.regions}
        self._given: tuple[Array, dict[Region, ImageCrop]] | None = damaged.samples, parts
        self._canvas = Canvas(self._image)
        self._reconstruction = to_floats(self._image) if keep_reconstruction else None
        self._smooth = to_floats(self._image) if keep_reconstruction else None
        self._fit: Fit | Ensemble | None = None
        self._region = self.regions[0]

    def __iter__(self) -> Iterator[Step]:
        release_freed_memory()  # the mask, and what reading and planning took
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
                )
            done += config.total_iterations
            self._finish_region()

    def result(self) -> Array:
        """The whole image with all that is filled so far, in the shape and type of the input.

        Pixels outside the mask are bit for bit the input's.
        """
        result = self._image.copy()
        self._lay_fills(result)
        return result.reshape(self._shape)

    def finish(self) -> Array:
        """The same as `result`, in the array that was given: there is no second one in memory.

        It ends the restoration: afterwards nothing can be asked for but `reconstruction` and
        `smooth`.

        Raises
        ------
        ValueError
            The array is read-only, or the restoration has ended already.
        """
        result = self._image
        self._lay_fills(result)
        self._given = None
        return result.reshape(self._shape)

    def fills(self) -> list[Fill]:
        """What is filled so far, one rectangle for each region that was begun."""
        return list(self._fills())

    def _lay_fills(self, image: Array) -> None:
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
            soft_mask = self._part(region).soft_mask[within]
            pixels, soft_mask = self._canvas.crop(region.core, soft_mask)
            if soft_mask.any():
                yield Fill(box=region.core, pixels=pixels, soft_mask=soft_mask)

    def preview(self) -> Preview:
        """The region being worked on as it looks now; cheap, and rougher at the rim.

        Before the first step it is filled smoothly from its surroundings: that takes a moment,
        where the beginning of a fit may take seconds.
        """
        region = self._region
        output = self._fit.output() if self._fit else membrane(*self._reduced(region))
        return self._part(region).preview(self._at_full_size(output, region))

    def reconstruction(self) -> NDArray[np.float32]:
        """The raw output of the networks where they were fitted, the input elsewhere.

        Returns
        -------
        ndarray
            (H, W, C), float32, 1 for full scale. The known pixels are not pasted back: this is
            what the paper scores.
        """
        if self._reconstruction is None:
            raise ValueError("keep_reconstruction was not asked for")
        return self._reconstruction

    def smooth(self) -> NDArray[np.float32]:
        """The image as it would be without texture: what `Settings.texture` of 0 gives.

        Returns
        -------
        ndarray
            (H, W, C), float32, 1 for full scale
        """
        if self._smooth is None:
            raise ValueError("keep_reconstruction was not asked for")
        return self._smooth

    @property
    def _image(self) -> Array:
        return self._still_given()[0]

    def _part(self, region: Region) -> ImageCrop:
        return self._still_given()[1][region]

    def _still_given(self) -> tuple[Array, dict[Region, ImageCrop]]:
        if self._given is None:
            raise ValueError("finish() has ended this restoration")
        return self._given

    def _steps(self, region: Region, config: FitConfig, seed: int) -> Iterator[FitStep]:
        """Fit a region; from its beginning on the CPU where a GPU runs out of memory."""
        try:
            self._fit = self._start(region, config, seed)
            yield from self._fit
            return
        except RuntimeError as error:
            if not device.is_out_of_memory(error):
                raise
            self._fit = None
            if self._compute.device.type == "cpu":
                raise NotEnoughMemory(
                    f"Memory ran out in a fit of {region.fitted_pixels / 1e6:.2g} megapixels.",
                    "Close other programs, or set a lower limit: it makes smaller regions.",
                ) from error
        # Out here the error is gone, and with it all that its traceback kept on the GPU.
        note = (
            f"{self._compute.device.type} ran out of memory; this region and the rest use the CPU"
        )
        if self._compute.device.type == "cuda":
            torch.cuda.empty_cache()
        self._compute = device.choose("cpu")
        self._fit = self._start(region, config, seed)
        for step in self._fit:
            yield replace(step, note=note if step.index == 1 else step.note)

    def _reduced(self, region: Region) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """What a fit gets: target, (h, w, C) in [0, 1], zero where it is unknown, and the known."""
        return reduce(*self._part(region).target(), region.reduction)

    def _start(self, region: Region, config: FitConfig, seed: int) -> Fit | Ensemble:
        target, known = self._reduced(region)
        kind = Correction if config.code == "fill" else Fit

        def begin(run: int) -> Fit:
            return kind(
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
        """A fit's output for the whole box, (height, width, C), in units of full scale."""
        low, high = self._part(region).range()
        box = region.box
        output = enlarge(output, box.height, box.width, region.reduction)
        return output * np.float32(high - low) + np.float32(low)

    def _smooth_fill(
        self, region: Region, fit: Fit | Ensemble
    ) -> tuple[NDArray[np.float32], float]:
        """A fit's fill of the whole box, seamless at the rim, in units of full scale.

        And how regular the surroundings are.
        """
        output = self._at_full_size(fit.output(), region)
        config, part = self._plan.recipe(region), self._part(region)
        if config.finish == "none":
            return output, 0.0
        missed, known = part.floats() - output, part.known
        if config.finish == "kriging":
            return output + krige(missed, known), 0.0
        mixed, seed = config.finish == "mixture", self.settings.seed
        added, regularity = extrapolate_residual(missed, known, stacked=mixed, seed=seed)
        return output + added, regularity

    def _textured(
        self, smooth: NDArray[np.float32], regularity: float, region: Region
    ) -> NDArray[np.float32]:
        """A smooth fill with the detail of its surroundings, where it is a hole's."""
        if not self._plan.recipe(region).fills_holes:
            return smooth
        part, settings = self._part(region), self.settings
        return add_texture(
            smooth,
            part.floats(),
            part.known,
            strength=settings.texture,
            regularity=regularity,
            seed=settings.seed,
        )

    def _finish_region(self) -> None:
        region, fit = self._region, self._fit
        if fit is None:
            return
        fill, regularity = self._smooth_fill(region, fit)
        if self._reconstruction is not None and self._smooth is not None:
            self._reconstruction[region.box.slices] = self._at_full_size(fit.output(), region)
            unknown = ~self._part(region).known
            self._smooth[region.box.slices][unknown] = fill[unknown]
        self._fit = None
        textured = self._textured(fill, regularity, region)
        self._canvas.write(region, textured * full_scale(self._image.dtype))


def restore(image: Array, mask: Array | None, settings: Settings | None = None) -> Array:
    """Restore an image: all of a `Restoration` at once.

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
