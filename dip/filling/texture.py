"""Make a smooth fill look like its surroundings: structure through holes, detail everywhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dip.filling.detail import add_detail, detail_mb
from dip.filling.structure import STRUCTURE_MB, add_structure
from dip.regions.picture_edge import unsupported_weight

Array = NDArray[np.float32]


def texture_mb(pixels: int, channels: int, *, hole: bool) -> float:
    """Peak memory of `add_texture` for an image of so many pixels, beside arguments and result."""
    return max(detail_mb(pixels, channels), STRUCTURE_MB if hole else 0)


def add_texture(
    fill: Array,
    target: Array,
    known: NDArray[np.bool_],
    *,
    hole: bool = False,
    strength: float = 1.0,
    regularity: float = 0.0,
    unsupported: NDArray[np.bool_] | None = None,
    seed: int = 0,
) -> Array:
    """Add the texture of its surroundings to a smooth fill.

    Parameters
    ----------
    fill, target : ndarray
        (H, W, C), float32, in units of full scale
    known : ndarray
        (H, W) bool; the target is ignored elsewhere.
    hole : bool
        Whether the damage is so thick that structure has to continue through it.
    strength : float
        In [0, 1]: 0 leaves the fill unchanged, 1 makes it as rich as its surroundings.
    regularity : float
        See `dip.filling.structure.add_structure`.
    unsupported : ndarray, optional
        (H, W) bool, the unknown pixels with known ones on one side alone; see
        `dip.regions.picture_edge`. No structure is copied there: nothing says which is right, and
        the buttons of a sleeve in a corner are worse than a plain corner.
    seed : int

    Returns
    -------
    ndarray
        (H, W, C), float32; `fill` itself at known pixels.
    """
    if hole:
        structured = add_structure(
            fill, target, known, strength=strength, regularity=regularity, seed=seed
        )
        if unsupported is not None:
            structured += unsupported_weight(~known, unsupported) * (fill - structured)
        fill = structured
    return add_detail(fill, target, known, strength=strength, seed=seed)
