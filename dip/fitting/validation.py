"""Knowing how good a fit is without the truth, when to stop, and which of its outputs to trust.

A few per cent of the known pixels are kept from the loss. How well they are predicted is the
question that a restoration asks, so their PSNR is the figure shown to the user, and outputs count
by it: those of different moments are averaged, as the best of them by a few thousand pixels is
often not the best. Where a fit goes on to spoil them, as it does in texture, it is stopped.

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
_CELL_PX = 12
_FEWEST = 32

_MANY = 4000
_SPOILED_DB = 0.5
"""A loss of that much is no chance with so many held-out pixels; fewer must lose more."""

_POWER = 8
"""A moment counts by its squared error to the minus 8th: 1 dB worse, a sixth as much."""


def held_out(
    known: NDArray[np.bool_], fraction: float, damage: Damage, seed: int
) -> NDArray[np.bool_]:
    """Choose known pixels to be kept from the loss.

    Parameters
    ----------
    known : ndarray
        (H, W) bool
    fraction : float
        Part of the known pixels within 24 px of an unknown one.
    damage : str
        Thin damage is imitated by pieces of itself, mirrored and moved; where that hits too
        little, and for holes, by 3×3 blocks near it; scattered damage by single pixels near it.
    seed : int

    Returns
    -------
    ndarray
        (H, W) bool, a subset of `known`; empty where there would be too few to say anything.
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
    """About so many pixels that the damage would hit elsewhere, in squares drawn at random."""
    shift = tuple(rng.integers(0, known.shape))
    moved = np.roll(~known[::-1, ::-1], shift, (0, 1)) & known
    rows, columns = (np.arange(side) // _CELL_PX for side in known.shape)
    turns = rng.random((rows[-1] + 1, columns[-1] + 1))[rows[:, None], columns]
    return moved & (turns <= np.sort(turns[moved])[:wanted].max(initial=0))


class Validation:
    """The PSNR of held-out pixels over a fit, and what its estimate is made from.

    Parameters
    ----------
    target : Tensor
        (1, C, H, W) in [0, 1]
    where : Tensor
        (H, W) bool, the held-out pixels.
    averages : bool
        Whether all moments are to count, the better the more, or the best alone.

    Attributes
    ----------
    kept : list of Tensor or None
        The states of the moments that were measured, averaged, or that of the best.
    """

    def __init__(self, target: Tensor, where: Tensor, *, averages: bool = True) -> None:
        self._target = target
        self._averages = averages
        self._where = where.nonzero(as_tuple=True)  # now: counting them waits for a GPU
        count = len(self._where[0])
        self._spoiled_db = _SPOILED_DB * max(1.0, math.sqrt(_MANY / max(1, count)))
        self._weight = 0.0
        self.kept: list[Tensor] | None = None
        self.best_psnr_db = self.latest_psnr_db = -math.inf

    def measure(self, output: Tensor) -> Tensor:
        """Logarithm of the mean squared error of an output (1, C, H, W); nothing waits for it."""
        rows, columns = self._where
        error = (output - self._target)[..., rows, columns]
        return torch.log10(error.square().mean() + 1e-10)

    def hear(self, logarithm: float, state: list[Tensor]) -> float:
        """PSNR, dB, peak 1, of what was measured; the state of that moment is taken into `kept`.

        The state must be a copy: it may be changed.
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
    def spoiled(self) -> bool:
        """Whether the fit has gone on to something clearly worse than its best output."""
        return self.latest_psnr_db < self.best_psnr_db - self._spoiled_db
