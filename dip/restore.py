"""A damaged image goes in, a restored one comes out.

The story, top to bottom: mask → regions → fit → finish → composite. `Restoration` is one job:
iterate to work, ask for the result at any time, stop iterating to cancel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dip import device
from dip.composite import Canvas, composite
from dip.config import FitConfig, Settings
from dip.correction import Correction
from dip.ensemble import Ensemble
from dip.errors import (
    ImageTooSmall,
    InputError,
    NotEnoughMemory,
    SamplesNotFinite,
    TooFewKnownPixels,
)
from dip.fit import Fit, FitStep
from dip.harmonise import harmonise, membrane
from dip.kriging import krige
from dip.mask import FEWEST_KNOWN, coverage_from, coverage_from_alpha, rough_thickness_px
from dip.plan import plan
from dip.region import Box, Region
from dip.resample import enlarge, reduce
from dip.samples import full_scale, to_floats, to_samples
from dip.texture import add_texture

Array = NDArray[Any]

SMALLEST_SIDE_PX = 16
_RUN_SEEDS = 1_000_003
"""Seeds of runs lie this far apart: those between belong to other regions."""

_HOLE_RANGE = 0.4
"""Around holes texture runs on further than around thin damage, shelves or joints: so far, in
thicknesses, within limits; the covariance of random texture is not known well at large distances.
"""
_HOLE_RANGE_PX = 20, 40


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
        meaningful where `coverage` is above 0.
    coverage : ndarray
        (height, width), float32 in [0, 1]: the opacity with which the pixels are laid over.
    """

    box: Box
    pixels: Array
    coverage: NDArray[np.float32]


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
        self._given: Array | None = _checked(image)
        self._alpha = self._image.shape[2] in (2, 4)
        self._make_opaque = mask is None
        coverage = (
            coverage_from_alpha(self._image)
            if mask is None
            else coverage_from(mask, self._image.shape)
        )
        self._check_finite(coverage.unknown)
        self._compute = device.choose(self.settings.device)
        torch.set_num_threads(self.settings.threads or device.cores())
        self._plan = plan(
            coverage.unknown,
            self.settings,
            channels=self._image.shape[2],
            image_bytes=self._image.nbytes,
            compute=self._compute,
        )
        self.regions, self.notes = self._plan.regions, self._plan.notes
        self.iterations, self.memory_mb = self._plan.iterations, self._plan.memory_mb
        # Of each region's box alone: nothing as large as the photo is kept but its pixels.
        self._coverage = {region: coverage.crop(region.box.slices) for region in self.regions}
        self._check_known()
        self._canvas = Canvas(self._image)
        self._reconstruction = to_floats(self._image) if keep_reconstruction else None
        self._smooth = to_floats(self._image) if keep_reconstruction else None
        self._fit: Fit | Ensemble | None = None
        self._region = self.regions[0]

    def __iter__(self) -> Iterator[Step]:
        device.release_freed_memory()  # the mask, and what reading and planning took
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
            image[index] = composite(image[index], fill.pixels, fill.coverage)
            if self._make_opaque:
                alpha = image[index][:, :, -1]
                alpha[fill.coverage > 0] = full_scale(alpha.dtype)

    def _fills(self) -> Iterator[Fill]:
        if self._fit is not None:
            scale = full_scale(self._image.dtype)
            smooth = self._smooth_fill(self._region, self._fit)
            fill = self._textured(smooth, self._region) * scale
            self._canvas.lay(self._region, fill, provisional=True)
        for region in self.regions:
            within = region.core.within(region.box)
            pixels, coverage = self._canvas.take(region.core, self._coverage[region][within])
            if coverage.any():
                yield Fill(box=region.core, pixels=pixels, coverage=coverage)

    def preview(self) -> Fill:
        """The region being worked on as it looks now; cheap, and rougher at the rim.

        Before the first step it is filled smoothly from its surroundings: that takes a moment,
        where the beginning of a fit may take seconds.
        """
        region = self._region
        output = self._fit.output() if self._fit else membrane(*self._reduced(region))
        pixels = self._samples(self._at_full_size(output, region), region)
        return Fill(box=region.box, pixels=pixels, coverage=self._coverage[region][:])

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
        if self._given is None:
            raise ValueError("finish() has ended this restoration")
        return self._given

    def _known(self, region: Region) -> NDArray[np.bool_]:
        """The pixels of its box that a fit may see; behind full transparency is no colour."""
        known = self._coverage[region][:] == 0
        if self._alpha:
            known &= self._image[region.box.slices][:, :, -1] > 0
        return known

    def _check_known(self) -> None:
        for region in self.regions:
            known = np.count_nonzero(self._known(region))
            if known < FEWEST_KNOWN:
                raise TooFewKnownPixels(
                    f"Only {known} pixels around the damage are known.",
                    "Mark only the damage; fully transparent pixels do not count as known.",
                )

    def _check_finite(self, unknown: NDArray[np.bool_]) -> None:
        if np.issubdtype(self._image.dtype, np.floating):
            broken = ~np.isfinite(self._image).all(axis=2) & ~unknown
            if broken.any():
                row, column = np.argwhere(broken)[0]
                raise SamplesNotFinite(
                    f"{np.count_nonzero(broken)} known pixels are NaN or infinite, the first at "
                    f"row {row}, column {column}.",
                    "Add them to the mask, or repair them first.",
                )

    def _range(self, region: Region) -> tuple[float, float]:
        """What [0, 1] of the network means: [0, 1], or all known samples where they exceed it."""
        if np.issubdtype(self._image.dtype, np.integer):
            return 0.0, 1.0
        known = self._image[region.box.slices][self._known(region)]
        return min(0.0, float(known.min())), max(1.0, float(known.max()))

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
        known = self._known(region)
        low, high = self._range(region)
        target = (to_floats(self._image[region.box.slices]) - low) / np.float32(high - low)
        target = np.where(known[:, :, None], target, np.float32(0))
        return reduce(target, known, region.reduction)

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
        low, high = self._range(region)
        box = region.box
        output = enlarge(output, box.height, box.width, region.reduction)
        return output * np.float32(high - low) + np.float32(low)

    def _samples(self, output: NDArray[np.float32], region: Region) -> Array:
        scaled = output * np.float32(full_scale(self._image.dtype))
        return to_samples(scaled, self._image.dtype)

    def _smooth_fill(self, region: Region, fit: Fit | Ensemble) -> NDArray[np.float32]:
        """A fit's fill of the whole box, seamless at the rim, in units of full scale."""
        output = self._at_full_size(fit.output(), region)
        finish = self._plan.recipe(region).finish
        if finish == "none":
            return output
        target, known = to_floats(self._image[region.box.slices]), self._known(region)
        if finish == "membrane":
            output = harmonise(output, target, known)
            range_px = np.clip(_HOLE_RANGE * rough_thickness_px(~known), *_HOLE_RANGE_PX)
            return output + krige(target - output, known, range_px=round(float(range_px)))
        return output + krige(target - output, known)

    def _textured(self, smooth: NDArray[np.float32], region: Region) -> NDArray[np.float32]:
        """A smooth fill with the detail of its surroundings, where it is a hole's."""
        if self._plan.recipe(region).finish != "membrane":
            return smooth
        target = to_floats(self._image[region.box.slices])
        strength, seed = self.settings.texture, self.settings.seed
        return add_texture(smooth, target, self._known(region), strength=strength, seed=seed)

    def _finish_region(self) -> None:
        region, fit = self._region, self._fit
        if fit is None:
            return
        fill = self._smooth_fill(region, fit)
        if self._reconstruction is not None and self._smooth is not None:
            self._reconstruction[region.box.slices] = self._at_full_size(fit.output(), region)
            unknown = ~self._known(region)
            self._smooth[region.box.slices][unknown] = fill[unknown]
        self._fit = None
        self._canvas.lay(region, self._textured(fill, region) * full_scale(self._image.dtype))


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


def _checked(image: Array) -> Array:
    """The image as (H, W, C), or an error that says what was seen."""
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 2, 3, 4):
        raise InputError(
            f"The image has shape {image.shape}.",
            "It must be gray or colour, with or without alpha: (H, W) or (H, W, 1 to 4).",
        )
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        raise InputError(f"The image's samples are {image.dtype}.", "Use uint8, uint16 or float32.")
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST_SIDE_PX:
        raise ImageTooSmall(
            f"The image is {width}×{height} px.",
            f"Both sides must be {SMALLEST_SIDE_PX} px or more.",
        )
    return image
