"""The specks of an image: all are filled at once, then networks are fitted where they pay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from dip.config import FitConfig
from dip.errors import FitFailed
from dip.fitting.ensemble import seed_of_run
from dip.fitting.fallback import FittingDevice
from dip.fitting.fit import Fit, FitStep
from dip.fitting.input_code import input_picture
from dip.fitting.patch_reconstruction import PatchReconstruction
from dip.fitting.patch_stack import PatchStack, make_stack
from dip.machine.device import Compute
from dip.machine.untouched_zeros import untouched_zeros
from dip.notes import Note
from dip.plan import Plan
from dip.regions.box import Box
from dip.regions.damaged_image import DamagedImage
from dip.regions.patches import Patch

_FEW_PATCHES = 12
"""A stack with at least twice as many is divided, so that two cores share it."""


@dataclass(frozen=True, eq=False)
class PatchFill:
    """The fill of one patch.

    Parameters
    ----------
    patch : Patch
    pixels : ndarray
        (S, S, C), float32 in units of full scale.
    output : ndarray or None
        The same of the network alone; None where no network was fitted.
    """

    patch: Patch
    pixels: NDArray[np.float32]
    output: NDArray[np.float32] | None = None


class StackFit:
    """The fits of one network, or of several runs, to a stack of patches.

    Parameters
    ----------
    stack : PatchStack
    config : FitConfig
    seed : int
    where : FittingDevice
    """

    def __init__(
        self, stack: PatchStack, config: FitConfig, seed: int, where: FittingDevice
    ) -> None:
        self.stack, self.config = stack, config
        self._seed, self._where = seed, where
        self._outputs: list[NDArray[np.float32]] = []
        self._fit: Fit | None = None

    shares_cores = True

    @property
    def pixels(self) -> int:
        """Pixels that the network produces."""
        return self.stack.pixels

    def steps(self, config: FitConfig) -> Iterator[FitStep]:
        """Fit all runs."""
        self.config = config
        for run in range(self.config.runs):
            done = run * self.config.iterations
            index = 0
            try:
                for step in self._where.steps(partial(self._begin, run), self.stack.pixels):
                    index = step.index
                    yield replace(step, index=done + index, run=run)
            except FitFailed:
                yield FitStep(index=done + index, note=self._note_of_failure())
            assert self._fit is not None
            if self._fit.is_measured:
                # Before it diverged, also: patches with bad outputs keep to their first fill.
                self._outputs.append(self._fit.outputs())
            self._fit = None

    def _note_of_failure(self) -> Note:
        assert self._fit is not None
        code = "spots_keep_last" if self._fit.is_measured else "spots_keep_first"
        return Note(code, count=len(self.stack.patches))

    def input_pictures(self) -> Iterator[tuple[Box, NDArray[np.float32]]]:
        """Yield the box of each patch and the picture of its input; see `input_picture`."""
        generator = torch.Generator().manual_seed(self._seed)
        stack = self.stack
        for patch, target, known in zip(stack.patches, stack.targets, stack.known, strict=True):
            yield patch.box, input_picture(self.config, target, known, generator)

    def _begin(self, run: int, compute: Compute) -> Fit:
        if compute.device.type == "cpu":
            compute = replace(compute, channels_last=len(self.stack.patches) > 1)
        generator = torch.Generator().manual_seed(seed_of_run(self._seed, run))
        objective = PatchReconstruction(
            self.stack, self.config, compute=compute, generator=generator
        )
        self._fit = Fit(objective, self.config, compute=compute, generator=generator)
        return self._fit

    def end(self) -> None:
        """Free the outputs and the network, after the fills have been taken."""
        self._outputs.clear()
        self._fit = None

    def fills(self) -> Iterator[PatchFill]:
        """Yield the fills of all patches: the mean of the complete runs, or the run so far."""
        fit = self._fit
        outputs = self._outputs or ([fit.outputs()] if fit is not None else [])
        if not outputs:
            return
        output = np.mean(outputs, axis=0)
        fill = np.mean([self.stack.fill(each) for each in outputs], axis=0)
        for patch, pixels, raw, (low, high) in zip(
            self.stack.patches, fill, output, self.stack.ranges, strict=True
        ):
            yield PatchFill(patch, pixels * (high - low) + low, raw * (high - low) + low)


class Specks:
    """All patches of an image.

    Parameters
    ----------
    damaged : DamagedImage
    plan : Plan
    seed : int

    Attributes
    ----------
    count, fitted : int
        Numbers of all patches, and of those for which networks are fitted.
    fits : list of StackFit
        The largest gain per pixel first.
    """

    def __init__(self, damaged: DamagedImage, plan: Plan, seed: int, where: FittingDevice) -> None:
        self._stacks = [make_stack(damaged, each, seed) for each in plan.patches.values()]
        self.count = sum(len(stack.patches) for stack in self._stacks)
        self.fits: list[StackFit] = []
        if not self._stacks:
            self.fitted = 0
            return
        least = _least_density(self._stacks, plan.gain_share)
        config = plan.recipes["speck"]
        parts = [part for stack in self._stacks for part in _parts(stack, least, plan.stack_pixels)]
        parts.sort(key=lambda part: -part.gain.sum() / part.pixels)
        self.fitted = sum(len(part.patches) for part in parts)
        self.fits = [
            StackFit(part, config, seed + 7919 * number, where)
            for number, part in enumerate(parts, start=1)
        ]

    @property
    def note(self) -> Note | None:
        """A message for the user about the work."""
        if self.count < 2:
            return None
        return Note("spots_fitted", fitted=self.fitted, count=self.count)

    def first_fills(self) -> Iterator[PatchFill]:
        """Yield the kriged fills of all patches."""
        for stack in self._stacks:
            for patch, pixels, (low, high) in zip(
                stack.patches, stack.first, stack.ranges, strict=True
            ):
                yield PatchFill(patch, pixels * (high - low) + low)
        self._stacks.clear()  # the parts have copies


def _least_density(stacks: list[PatchStack], share: float) -> float:
    """The gain per pixel from which patches hold a share of the gain of all."""
    density = np.concatenate([_density(stack) for stack in stacks])
    gain = np.concatenate([stack.gain for stack in stacks])
    if share >= 1:
        return 0.0
    order = np.argsort(-density, kind="stable")
    held = np.cumsum(gain[order])
    if held[-1] <= 0:
        return float("inf")
    last = min(len(order) - 1, int(np.searchsorted(held, share * held[-1])))
    return float(density[order[last]])


def _density(stack: PatchStack) -> NDArray[np.float64]:
    """Predicted gain of each patch for each pixel of its square, which costs time."""
    side = stack.known.shape[-1]
    return stack.gain / side**2


def _parts(stack: PatchStack, least: float, most_pixels: int) -> Iterator[PatchStack]:
    """Divide the patches worth a fit into equal parts, the largest gains first."""
    density = _density(stack)
    order = np.argsort(-density, kind="stable")
    order = order[density[order] >= least]
    each = stack.known.shape[-1] ** 2
    count = max(-(-len(order) * each // most_pixels), min(2, len(order) // _FEW_PATCHES), 1)
    for part in np.array_split(order, count):
        if len(part):
            yield stack.part(np.sort(part))


def soft_masks(
    damaged: DamagedImage, patches: list[Patch]
) -> list[tuple[Box, NDArray[np.float32]]]:
    """Return the soft mask of each patch's damage; each pixel belongs to one patch."""
    taken = untouched_zeros(damaged.samples.shape[:2], np.dtype(bool))
    found = []
    for patch in patches:
        index = patch.core.slices
        own = (patch.weight > 0) & ~taken[index]
        taken[index] |= own
        found.append((patch.core, np.where(own, damaged.soft_mask[index], np.float32(0))))
    return found
