"""Validation: the quality of a fit without the truth, the weights of its outputs, and when to stop.

A few per cent of the known pixels are held out of the loss. To predict them is the task of a
restoration in small, so their PSNR is shown to the user and weights the outputs. Outputs of
different iterations are averaged: the one that is best at a few thousand pixels is often not the
best. A fit in texture can get worse again; then it is stopped. Where the picture is flat,
the figure steers the fit all the same, but is not shown: 99 dB in a clear sky say nothing.

Source of the averaging: exponential weights; Leung, Barron, *Information theory and mixing
least-squares regressions*, IEEE Trans. Inf. Theory 52(8), 2006, DOI 10.1109/TIT.2006.878172.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from dip.config import Damage

_NEAR_PX = 24
"""Pixels up to this distance from the damage can be held out."""

_CELL_PX = 12
"""Side of the squares in which thin damage is imitated."""

_FEWEST = 32
"""With fewer held-out pixels there is no validation."""

_MANY = 4000
_WORSE_DB = 0.5
"""With `_MANY` held-out pixels, a result this far below the best one counts as worse; with fewer
pixels the difference must be larger."""

FLAT_STD = 1 / 255
"""A picture that varies less than this, one level of 8 bit, is flat: any fill predicts its held-out
pixels at 50 to 100 dB, which says nothing about the quality of this one."""

_POWER = 8
"""The weight of an output is its squared error to the power of -8: at 1 dB less, a sixth."""


def held_out(
    known: NDArray[np.bool_], fraction: float, damage: Damage, seed: int
) -> NDArray[np.bool_]:
    """Choose known pixels to hold out of the loss.

    Parameters
    ----------
    known : ndarray
        (H, W) bool
    fraction : float
        Part of the known pixels within 24 px of an unknown one.
    damage : str
        Thin damage is imitated by mirrored and moved pieces of itself. Holes, and thin damage whose
        pieces hold too few known pixels, are imitated by 3×3 blocks near the damage; scattered
        damage by single pixels near it.
    seed : int

    Returns
    -------
    ndarray
        (H, W) bool, a subset of `known`; empty if too few pixels can be held out.
    """
    near = known & (ndimage.distance_transform_edt(known) <= _NEAR_PX)
    rng = np.random.default_rng(seed)
    wanted = round(fraction * np.count_nonzero(near))
    chosen = _pieces(known, wanted, rng) if damage == "thin" else np.zeros_like(known)
    if np.count_nonzero(chosen) < wanted / 2:
        block = 1 if damage == "scattered" else 3
        seeds = rng.random(known.shape) < fraction / block**2
        chosen = near & ndimage.binary_dilation(seeds, np.ones((block, block)))
    enough = _FEWEST <= np.count_nonzero(chosen) <= np.count_nonzero(known) // 4
    return chosen if enough else np.zeros_like(known)


def _pieces(known: NDArray[np.bool_], wanted: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """About `wanted` known pixels in the shape of the damage, in squares drawn at random."""
    shift = tuple(rng.integers(0, known.shape))
    moved = np.roll(~known[::-1, ::-1], shift, (0, 1)) & known
    rows, columns = (np.arange(side) // _CELL_PX for side in known.shape)
    turns = rng.random((rows[-1] + 1, columns[-1] + 1))[rows[:, None], columns]
    return moved & (turns <= np.sort(turns[moved])[:wanted].max(initial=0))


def is_flat(image: NDArray[np.float32], known: NDArray[np.bool_], where: NDArray[np.bool_]) -> bool:
    """Whether an image is flat around the held-out pixels, so that their PSNR is no figure.

    Parameters
    ----------
    image : ndarray
        (H, W, C), float32 in [0, 1], 0 at unknown pixels.
    known : ndarray
        (H, W) bool
    where : ndarray
        (H, W) bool, the held-out pixels, a subset of `known`.

    Returns
    -------
    bool
        Whether the known pixels within 24 px of a held-out one have a standard deviation below one
        level of 8 bit: the root mean square over the held-out pixels and the channels.
    """

    def mean_nearby(values: NDArray[np.float32]) -> NDArray[np.float32]:
        mean: NDArray[np.float32] = ndimage.uniform_filter(
            values, 2 * _NEAR_PX + 1, mode="constant"
        )
        return mean[where]

    share = mean_nearby(known.astype(np.float32))
    variances = [
        mean_nearby(np.square(plane)) / share - np.square(mean_nearby(plane) / share)
        for plane in np.moveaxis(image, -1, 0)
    ]
    return bool(np.mean(variances) < FLAT_STD**2)


class Validation:
    """The PSNR of held-out pixels during a fit, and the best state of the fit.

    Parameters
    ----------
    target : Tensor
        (1, C, H, W) in [0, 1]
    where : Tensor
        (H, W) bool, the held-out pixels.
    averages : bool
        Whether measured states are averaged by weight; otherwise the best one is kept.
    flat : bool
        Whether the picture is flat there; see `is_flat`.

    Attributes
    ----------
    flat : bool
    kept : list of Tensor or None
        The average of the measured states, or the best one; None before the first measurement.
    best_psnr_db, latest_psnr_db : float
    """

    def __init__(
        self, target: Tensor, where: Tensor, *, averages: bool = True, flat: bool = False
    ) -> None:
        self.flat = flat
        self._target = target
        self._averages = averages
        self._where = where.nonzero(as_tuple=True)  # here, because counting them waits for a GPU
        count = len(self._where[0])
        self._worse_db = _WORSE_DB * max(1.0, math.sqrt(_MANY / max(1, count)))
        self._weight = 0.0
        self.kept: list[Tensor] | None = None
        self.best_psnr_db = self.latest_psnr_db = -math.inf

    def measure(self, output: Tensor) -> Tensor:
        """Logarithm (base 10) of an output's mean squared error; it does not wait for a GPU.

        Parameters
        ----------
        output : Tensor
            (1, C, H, W)
        """
        rows, columns = self._where
        error = (output - self._target)[..., rows, columns]
        return torch.log10(error.square().mean() + 1e-10)

    def update(self, logarithm: float, state: list[Tensor]) -> float:
        """Take a measured state into `kept`.

        Parameters
        ----------
        logarithm : float
            The result of `measure`.
        state : list of Tensor
            A copy, which may be changed.

        Returns
        -------
        float
            PSNR, dB, for a peak of 1.
        """
        self.latest_psnr_db = -10 * logarithm
        if self.kept is None or (not self._averages and self.latest_psnr_db > self.best_psnr_db):
            self.kept = state
        self.best_psnr_db = max(self.best_psnr_db, self.latest_psnr_db)
        if self._averages:
            weight = 10 ** (-_POWER * logarithm)
            self._weight += weight
            torch._foreach_lerp_(self.kept, state, weight / self._weight)
        return self.latest_psnr_db

    @property
    def is_worse(self) -> bool:
        """Whether the latest output is clearly worse than the best one."""
        return self.latest_psnr_db < self.best_psnr_db - self._worse_db
