"""A stack of patches: filled at once without a network, and a prediction of the gain of fitting.

The gain is concentrated: half of the specks of a photo hold nearly all that fitting gains over
kriging. It is predicted from two measures, each above the noise of the photo: the error of kriging
at copies of the damage's own shape, hidden at known pixels of its patch, and the variance of the
pixels around the damage. Their geometric mean sorts specks better than either: the error alone is
also large where no network does better, in random texture.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dip.filling.stack import fill_stack, krige_stack
from dip.machine.threads import side_by_side
from dip.regions.damaged_image import DamagedImage
from dip.regions.patches import Patch

Array = NDArray[np.float32]
Plane = NDArray[np.bool_]

_PART_PX = 300_000
"""Pixels of patches that are filled together, by one thread; for memory. No patch depends on
another."""

_COPIES = 2
"""Hidden copies of a damage in its patch."""

_RING_PX = 6
"""The pixels around a damage reach this far."""

_LEVEL_8_BIT = 1 / 255

_TRUST = 2.0
"""A network counts half as much as kriging where its error at hidden pixels is this many times that
of kriging: a few hidden pixels are weak evidence."""


@dataclass(eq=False)
class PatchStack:
    """Patches of one size, with their pixels.

    Attributes
    ----------
    patches : list of Patch
        N patches, S px wide.
    targets : ndarray
        (N, S, S, C), float32 in units of each patch's `ranges`; 0 where unknown.
    known, own, hidden : ndarray
        (N, S, S), bool; `own` are the pixels that a patch fills; `hidden` are known pixels that
        measure quality, and no fit sees.
    ranges : ndarray
        (N, 2), the samples that 0 and 1 stand for, in units of full scale.
    first : ndarray
        (N, S, S, C): the kriged fill.
    error : ndarray
        (N,), mean squared error of kriging at hidden pixels.
    gain : ndarray
        (N,), a prediction of how much a fit lowers the summed squared error; only the ratios of
        these numbers mean something.
    """

    patches: list[Patch]
    targets: Array
    known: Plane
    own: Plane
    hidden: Plane
    ranges: Array
    first: Array
    error: NDArray[np.float64]
    gain: NDArray[np.float64]

    def part(self, chosen: NDArray[np.intp]) -> PatchStack:
        """The stack of some of the patches."""
        return PatchStack(
            patches=[self.patches[number] for number in chosen],
            targets=self.targets[chosen],
            known=self.known[chosen],
            own=self.own[chosen],
            hidden=self.hidden[chosen],
            ranges=self.ranges[chosen],
            first=self.first[chosen],
            error=self.error[chosen],
            gain=self.gain[chosen],
        )

    @classmethod
    def joined(cls, parts: list[PatchStack]) -> PatchStack:
        """The patches of several stacks as one."""
        patches = [patch for part in parts for patch in part.patches]
        names = [field.name for field in fields(cls) if field.name != "patches"]
        planes = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return cls(patches=patches, **planes)

    @property
    def pixels(self) -> int:
        """Pixels of all patches."""
        return self.known.size

    def fill(self, outputs: Array) -> Array:
        """Make fills from the outputs of a network.

        The residuals are kriged. Where the network predicts hidden pixels worse than kriging, its
        share in the fill falls.

        Parameters
        ----------
        outputs : ndarray
            (N, S, S, C), in the units of `targets`.

        Returns
        -------
        ndarray
            (N, S, S, C), in the units of `targets`.
        """
        residuals = self.targets - outputs
        seen = self.known & ~self.hidden
        error = _hidden_error(residuals - krige_stack(residuals, seen, self.hidden), self.hidden)
        ratio = error / np.maximum(self.error, _LEVEL_8_BIT**2 / 4)
        weight = 1 / (1 + np.square(ratio / _TRUST))
        share = np.nan_to_num(weight).astype(np.float32)[:, None, None, None]
        fitted = np.nan_to_num(outputs + krige_stack(residuals, self.known, self.own))
        return self.first + share * (fitted - self.first)


def make_stack(damaged: DamagedImage, patches: list[Patch], seed: int) -> PatchStack:
    """Cut patches of one size from an image, fill them, and predict the gains of a fit.

    Parameters
    ----------
    damaged : DamagedImage
    patches : list of Patch
    seed : int
        Of the places of hidden copies.
    """
    count = max(1, _PART_PX // patches[0].box.area)
    parts = [patches[start : start + count] for start in range(0, len(patches), count)]
    with side_by_side(torch.get_num_threads()) as pool:
        return PatchStack.joined(
            list(pool.map(lambda part: _make_part(damaged, part, seed), parts))
        )


def _make_part(damaged: DamagedImage, patches: list[Patch], seed: int) -> PatchStack:
    crops = [damaged.crop(patch.box) for patch in patches]
    targets = np.stack([crop.target()[0] for crop in crops])
    known = np.stack([crop.known for crop in crops])
    own = np.zeros_like(known)
    for plane, patch in zip(own, patches, strict=True):
        plane[patch.core.within(patch.box)] = patch.weight > 0
    hidden = _hidden_copies(own, known, patches, seed)
    seen = known & ~hidden
    first = fill_stack(targets, known, own)
    error = _hidden_error(targets - fill_stack(targets, seen, hidden), hidden)
    noise = _noise(targets, known)
    excess = np.clip(error - noise, 0, None)
    contrast = np.clip(_variance_around(own, targets, known) - noise, 0, None)
    count = np.array([patch.weight.sum(dtype=np.float64) for patch in patches])
    return PatchStack(
        patches=patches,
        targets=targets,
        known=known,
        own=own,
        hidden=hidden,
        ranges=np.array([crop.range() for crop in crops], dtype=np.float32),
        first=first,
        error=error,
        gain=np.sqrt(excess * contrast) * count,
    )


def _hidden_error(error: Array, hidden: Plane) -> NDArray[np.float64]:
    """Mean squared error of each patch at its hidden pixels; 0 where it has none."""
    squares = np.square(error, dtype=np.float64).mean(-1) * hidden
    total: NDArray[np.float64] = squares.sum((1, 2)) / np.maximum(1, hidden.sum((1, 2)))
    return total


def _noise(targets: Array, known: Plane) -> NDArray[np.float64]:
    """Variance of the white noise of each patch, from the median of its second differences.

    Source: Immerkær, *Fast noise variance estimation*, Computer Vision and Image Understanding
    64(2), 1996; the median instead of the mean leaves edges out.
    """
    differences = targets[:, :, :-2] - 2 * targets[:, :, 1:-1] + targets[:, :, 2:]
    usable = known[:, :, :-2] & known[:, :, 1:-1] & known[:, :, 2:]
    values = np.where(usable[..., None], np.abs(differences), np.float32(np.inf))
    values = np.sort(values.reshape(len(targets), -1), axis=1)
    count = usable.sum((1, 2)) * targets.shape[-1]
    middle = np.stack([(count - 1) // 2, count // 2], 1).clip(0)
    median = np.take_along_axis(values, middle, axis=1).mean(1)
    median[count == 0] = 0
    variance: NDArray[np.float64] = np.square(median / 0.6745, dtype=np.float64) / 6
    return variance


def _variance_around(own: Plane, targets: Array, known: Plane) -> NDArray[np.float64]:
    """Variance of the known pixels around each patch's damage, the mean of the channels."""
    grown = torch.from_numpy(own).float()[:, None]
    for axis in range(2):  # one axis after the other is faster
        side = [1, 1]
        side[axis] = 2 * _RING_PX + 1
        grown = F.max_pool2d(grown, side, 1, [each // 2 for each in side])
    ring = ((grown[:, 0] > 0).numpy() & known)[..., None]
    count = np.maximum(1, ring.sum((1, 2)))
    mean = (targets * ring).sum((1, 2), dtype=np.float64) / count
    squares = (np.square(targets) * ring).sum((1, 2), dtype=np.float64) / count
    variance: NDArray[np.float64] = np.clip(squares - np.square(mean), 0, None).mean(-1)
    return variance


def _hidden_copies(own: Plane, known: Plane, patches: list[Patch], seed: int) -> Plane:
    """Known pixels under moved copies of each patch's damage, clear of damage where possible."""
    side = own.shape[-1]
    shapes, blocked = torch.from_numpy(own).float(), torch.from_numpy(~known).float()
    free = 1 - F.max_pool2d(blocked[:, None], 3, 1, 1)[:, 0]
    size = (2 * side, 2 * side)
    # Pixels under the shape that are unknown or outside, for each of its shifts.
    conflicts = shapes.sum((1, 2), keepdim=True) - _correlate(free, shapes, size).round()
    hidden = np.zeros_like(own)
    for number, patch in enumerate(patches):
        rng = np.random.default_rng((seed, patch.box.top, patch.box.left))
        rows, columns = np.nonzero(own[number])
        costs = conflicts[number].flatten().numpy()
        for _ in range(_COPIES):
            shift = int(np.argmin(costs + 0.9 * rng.random(costs.size)))
            down, right = (
                place - size[0] if place >= side else place for place in divmod(shift, size[1])
            )
            moved = rows + down, columns + right
            inside = (np.stack(moved) >= 0).all(0) & (np.stack(moved) < side).all(0)
            hidden[number][moved[0][inside], moved[1][inside]] = True
    return hidden & known


def _correlate(planes: Tensor, shapes: Tensor, size: tuple[int, int]) -> Tensor:
    """Sums of planes under shapes, for all shifts of the shapes."""
    product = torch.fft.rfft2(planes, size) * torch.fft.rfft2(shapes, size).conj()
    return torch.fft.irfft2(product, size)
