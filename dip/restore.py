"""The restoration of an image: mask → first fill → fits of patches and regions → composite.

All damage is filled at once without a network; then networks are fitted where they pay, the largest
gain for the work first. `Restoration` is one job: iterate to work, read the result at any time,
stop iterating to cancel.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray

from dip.config import InputCode, Settings
from dip.filling.rims import mind_rims
from dip.fit_schedule import FitSchedule
from dip.fitting.fallback import FittingDevice
from dip.fitting.fit import FitStep
from dip.machine import device
from dip.machine.memory import release_freed_memory
from dip.machine.threads import interleave
from dip.notes import Note
from dip.plan import plan
from dip.raw_results import RawResults
from dip.region_fit import RegionFit, region_fits
from dip.regions.box import Box
from dip.regions.composite import Canvas, Fill, composite
from dip.regions.damaged_image import Array, DamagedImage
from dip.regions.mask import PackedPlane
from dip.regions.preview import Preview, preview_of_damage
from dip.samples import full_scale
from dip.specks import Specks, StackFit, soft_masks
from dip.spot_texture import texture_spots
from dip.step import Step

_KRIGED_UP_TO_PX = 1_000_000
"""Regions up to this size together are kriged at first; larger ones get a membrane, which takes a
tenth of the time."""


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
        Of large or dense damage; specks and sparse scratches are in patches.
    iterations : int
        Planned number, over all fits; a guess until the first step.
    memory_mb : float
        Predicted peak of the process.
    notes : tuple of Note
        For the user before the start.

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
        damaged = DamagedImage(image, mask, self.settings.growth_px)
        notes = mind_rims(damaged, self.settings)
        self._make_opaque = mask is None
        compute = device.choose(self.settings.device)
        self._device = FittingDevice(compute)
        threads = self.settings.threads or device.cores()
        torch.set_num_threads(threads)
        self._plan = plan(
            damaged.soft_mask.unknown,
            self.settings,
            channels=damaged.samples.shape[2],
            image_bytes=damaged.samples.nbytes,
            compute=compute,
            threads=threads,
        )
        self.regions, self.notes = self._plan.regions, (*notes, *self._plan.notes)
        self.iterations, self.memory_mb = self._plan.iterations, self._plan.memory_mb
        fits = region_fits(damaged, self._plan, self.settings, self._device)
        self._input: tuple[Array, list[RegionFit]] | None = damaged.samples, fits
        patches = [patch for stack in self._plan.patches.values() for patch in stack]
        self._spots = soft_masks(damaged, patches)
        self._damaged: DamagedImage | None = damaged
        self._unknown = PackedPlane(damaged.hidden())
        damaged.soft_mask.release()
        self._canvas = Canvas(self._image)
        self._textured: list[Fill] | None = None
        self._raw = RawResults(self._image) if keep_reconstruction else None
        self._specks: Specks | None = None
        self._in_work: dict[int, StackFit | RegionFit] = {}

    def __iter__(self) -> Iterator[Step]:
        limit_s = self.settings.time_s
        deadline = None if limit_s is None else time.monotonic() + limit_s
        specks = self._fill_first()
        release_freed_memory()  # the memory of the mask, of reading and of planning
        regions = sorted(self._region_fits, key=lambda fit: -fit.gain_density)
        fits: list[StackFit | RegionFit] = [*specks.fits, *regions]
        schedule = FitSchedule([(fit.pixels, fit.config) for fit in fits], deadline)
        self.iterations = schedule.iterations
        yield schedule.step(0, note=specks.note)
        for shares_cores, group in groupby(enumerate(fits), lambda each: each[1].shares_cores):
            at_once = self._plan.fits_at_once if shares_cores else 1
            yield from self._fit(dict(group), at_once, schedule)
        if not schedule.is_complete:
            yield schedule.step(0, note=Note("time_over"))

    def _fit(
        self, fits: dict[int, StackFit | RegionFit], at_once: int, schedule: FitSchedule
    ) -> Iterator[Step]:
        """Fit side by side, some at once, and write the fills."""
        numbers = list(fits)
        waiting, complete = list(fits), set()

        def steps(number: int) -> Iterator[FitStep]:
            config = schedule.config(number)
            if config is not None:
                yield from fits[number].steps(config)

        for position, step in interleave([partial(steps, each) for each in numbers], at_once):
            number = numbers[position]
            if step is not None:
                self._in_work[number] = fits[number]
                yield schedule.step(number, step)
                if schedule.is_late:
                    break
                continue
            schedule.end(number)
            complete.add(number)
            while waiting and waiting[0] in complete:  # so the result does not depend on the load
                self._store(waiting.pop(0))
        for number in sorted(self._in_work):  # the time is over
            self._store(number)

    def _store(self, number: int) -> None:
        fit = self._in_work.pop(number, None)
        if fit is not None:
            self._write(fit)
            fit.end()

    def _fill_first(self) -> Specks:
        """Fill all damage without a network, once."""
        if self._specks is not None:
            return self._specks
        assert self._damaged is not None
        scale = full_scale(self._image.dtype)
        size = sum(fit.region.fitted_pixels for fit in self._region_fits)
        for fit in self._region_fits:
            region = fit.region
            kriged = size <= _KRIGED_UP_TO_PX and region.damage != "hole"
            within = region.core.within(region.box)
            pixels = fit.first_fill(kriged=kriged)[within]
            self._canvas.begin(region.core, pixels * scale)
            if self._raw is not None:
                self._raw.keep_first(region.core, pixels, fit.crop.soft_mask[within] > 0)
        self._specks = Specks(self._damaged, self._plan, self.settings.seed, self._device)
        for first in self._specks.first_fills():
            core, inside = first.patch.core, first.patch.weight > 0
            pixels = first.pixels[core.within(first.patch.box)]
            self._canvas.blend(core, pixels * scale, inside.astype(np.float32))
            if self._raw is not None:
                self._raw.keep_first(core, pixels, inside)
            # Texture is to see a fill there, not damage.
            box, distrusted = first.patch.box, self._damaged.distrusted_in(first.patch.box)
            self._canvas.blend(box, first.pixels * scale, distrusted.astype(np.float32))
        self._damaged = None  # and with it the mask, which is as large as the image
        return self._specks

    def _write_fits_in_work(self) -> None:
        """Write the fills so far of the fits in work, to be undone."""
        self._canvas.undo_provisional()
        for number in sorted(self._in_work):
            self._write(self._in_work[number], provisional=True)

    def _write(self, fit: StackFit | RegionFit, *, provisional: bool = False) -> None:
        """Write the fills of a fit to the canvas."""
        scale = full_scale(self._image.dtype)
        raw = None if provisional else self._raw
        if isinstance(fit, RegionFit):
            if fit.is_begun:
                fill, regularity = fit.smooth_fill()
                if raw is not None:
                    raw.keep_region(fit, fill)
                pixels = fit.textured(fill, regularity) * scale
                self._canvas.write(fit.region, pixels, provisional=provisional)
            return
        self._textured = None
        for each in fit.fills():
            core, weight = each.patch.core, each.patch.weight
            pixels = each.pixels[core.within(each.patch.box)] * scale
            self._canvas.blend(core, pixels, weight, provisional=provisional)
            if raw is not None:
                raw.keep_patch(each)

    def end_fits(self) -> None:
        """End all fits with their fills so far, and return their memory.

        The texture of the result then takes the place of the networks, and no memory beside theirs.
        """
        self._fill_first()
        for number in sorted(self._in_work):
            self._store(number)
        release_freed_memory()

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
        self.end_fits()
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
        self._fill_first()
        self._write_fits_in_work()
        for core, soft_mask in self._region_masks():
            yield Fill(box=core, pixels=self._canvas.crop(core.slices), soft_mask=soft_mask)
        if not self.settings.texture or self._plan.recipes["speck"].residual_fill == "none":
            for core, soft_mask in self._spots:
                yield Fill(box=core, pixels=self._canvas.crop(core.slices), soft_mask=soft_mask)
            return
        if self._textured is None:  # else there are no new fits
            textured = texture_spots(
                self._image,
                self._unknown,
                self._canvas,
                self._spots,
                strength=self.settings.texture,
                seed=self.settings.seed,
            )
            self._textured = list(textured)
        yield from self._textured

    def _region_masks(self) -> Iterator[tuple[Box, NDArray[np.float32]]]:
        """The soft mask of the damage of each region that fills any."""
        for fit in self._region_fits:
            region = fit.region
            soft_mask = fit.crop.soft_mask[region.core.within(region.box)]
            if soft_mask.any():
                yield region.core, soft_mask

    def preview(self) -> Preview:
        """Return the present state of the region in work, with a visible rim, or of all damage.

        The first one comes from the first fill of all damage, which takes a moment.
        """
        self._fill_first()
        for fit in self._in_work.values():
            if isinstance(fit, RegionFit) and fit.is_begun:
                return fit.crop.preview(fit.output())
        self._write_fits_in_work()
        return preview_of_damage(self._image, self._canvas, [*self._region_masks(), *self._spots])

    def reconstruction(self) -> NDArray[np.float32]:
        """Return the raw output of the networks in their regions, and the input elsewhere.

        Returns
        -------
        ndarray
            (H, W, C), float32, 1 for full scale. Known pixels are the network's as well: the paper
            scores this image.
        """
        return self._raw_results().reconstruction

    def smooth(self) -> NDArray[np.float32]:
        """Return the result without texture, as if `Settings.texture` were 0.

        Returns
        -------
        ndarray
            (H, W, C), float32, 1 for full scale
        """
        return self._raw_results().smooth

    def _raw_results(self) -> RawResults:
        if self._raw is None:
            raise ValueError("Restoration was made without keep_reconstruction=True.")
        return self._raw

    @property
    def input_codes(self) -> set[InputCode]:
        """The kinds of input that the networks start from; see `FitConfig.code`."""
        codes = {fit.config.code for fit in self._region_fits}
        return codes | ({self._plan.recipes["speck"].code} if self._plan.patches else set())

    def input_picture(self) -> NDArray[np.float32]:
        """Draw the input of the networks; see `dip.fitting.input_code.input_picture`.

        Returns
        -------
        ndarray
            (H, W, 3), float32 in [0, 1]: the input of the first run of each fit; gray outside.
        """
        picture = np.full((*self._image.shape[:2], 3), 0.5, dtype=np.float32)
        for stack in self._fill_first().fits:
            for box, code in stack.input_pictures():
                picture[box.slices] = code
        for fit in self._region_fits:
            picture[fit.region.box.slices] = fit.input_picture()
        return picture.clip(0, 1)

    @property
    def _image(self) -> Array:
        return self._input_and_fits()[0]

    @property
    def _region_fits(self) -> list[RegionFit]:
        return self._input_and_fits()[1]

    def _input_and_fits(self) -> tuple[Array, list[RegionFit]]:
        if self._input is None:
            raise ValueError("result_in_place() has ended this restoration.")
        return self._input


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
