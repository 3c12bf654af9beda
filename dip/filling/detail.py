"""Give a smooth fill the grain and the texture of its surroundings, so that it cannot be seen.

A fill is the mean of all likely pictures, and smooth: in a grainy photograph it shows as a spot
without grain (Blau, Michaeli, *The perception-distortion tradeoff*, CVPR 2018, DOI
10.1109/CVPR.2018.00652). The missing detail is taken from this photograph. The detail of similar
places is copied across the damage and its rim. The copy is known at its rim too, so it is filled
there like the photograph. The copy minus that smooth fill is the missing detail: zero at the rim,
and more where the damage is wide. Band by band it is added, as strong as it is missing.

Source: conditional simulation with a kriging of the simulated field: Journel, Huijbregts, *Mining
Geostatistics*, 1978, chapter VII; for images Galerne, Leclaire, *Texture inpainting using efficient
Gaussian conditional simulation*, SIAM J. Imaging Sciences 10(3), 2017, DOI 10.1137/16M1109047.
Theirs simulates a Gaussian field; here it is copied, and a membrane stands for the kriging.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from dip.filling.membrane import harmonise
from dip.filling.resample import enlarge
from dip.filling.whole_copies import SEARCHED_PX, copy_blocks
from dip.machine.threads import side_by_side
from dip.regions.box import Box, tight_box

Array = NDArray[np.float32]
Plane = NDArray[np.bool_]

_TILE_PX = 384
"""Damage is worked on in squares of this size, for memory, and as most of a photo is whole."""
_COARSEST_PX = 5.0
"""Detail is the image minus its blur of this standard deviation."""
_BANDS_PX = (0.8, 1.6, 3.2)
"""Standard deviations of the blurs between the bands of detail."""
_RIM_PX = 8
"""Known pixels this near to the damage say how much detail there is."""
_FARTHER_PX = 8, 16, 32
"""Where no known pixel is near, the range of values is looked for so much further, step by step."""
_MEASURED_PX = 24
"""Energies are measured this far around a tile."""
_CELL_PX = 4
"""Energies are measured in cells of this size, and smoothed over `_CELLS` of them."""
_CELLS = 1.5
_RIM_RATIO = 3.0
"""The copy's energy is corrected by the energy of the rim over that of its own rim, at most so
much: both are uncertain where few pixels are known."""
_MEMBRANE_PX = 2.0
"""See `dip.filling.membrane.harmonise`."""
_LARGEST_GAIN = 2.5
_MASKED_FROM = 0.19
"""Detail with this standard deviation, in units of full scale, gets half of its energy, and weaker
detail nearly all: the eye compares contrasts, and strong detail costs most fidelity."""
_PLANES = 11
"""Memory of a tile, in copies of its pixels in float32."""
_TINY = np.float32(1e-10)


def detail_mb(pixels: int, channels: int) -> float:
    """Peak memory of `add_detail` beside arguments and result, with two threads; measured."""
    tile = (_TILE_PX + 2 * SEARCHED_PX) ** 2
    return _PLANES * 4 * channels * min(pixels, 2 * tile) / 2**20


def add_detail(
    fill: Array,
    target: Array,
    known: Plane,
    *,
    needed: Plane | None = None,
    strength: float = 1.0,
    seed: int = 0,
) -> Array:
    """Add the detail of the known pixels to a smooth fill, wherever it lacks detail.

    Parameters
    ----------
    fill, target : ndarray
        (H, W, C), float32, in units of full scale
    known : ndarray
        (H, W) bool; the target is ignored elsewhere.
    needed : ndarray, optional
        (H, W) bool, the unknown pixels that get detail; all when None.
    strength : float
        In [0, 1]: 0 leaves the fill unchanged, 1 gives it as much detail as its surroundings.
    seed : int

    Returns
    -------
    ndarray
        (H, W, C), float32; `fill` itself at known pixels, and where no place is known that could
        be copied.
    """
    result = fill.copy()
    if strength <= 0:
        return result
    frame = Box.of(known)
    wanted = ~known if needed is None else needed

    def work(core: Box) -> None:
        seen, rimmed = core.expanded(SEARCHED_PX, frame), core.expanded(_MEASURED_PX, frame)
        unknown = ~known[seen.slices]
        guide = np.where(unknown[:, :, None], fill[seen.slices], target[seen.slices])
        near = rimmed.within(seen)
        generator = np.random.default_rng((seed, core.top, core.left))
        missing = _missing_detail(guide, unknown, near, generator)
        if missing is None:
            return
        detailed = guide[near] + np.float32(strength) * missing
        widest = guide[~unknown].min(0), guide[~unknown].max(0)
        detailed = _within_local_range(detailed, guide[near], unknown[near], widest)
        inside = core.within(rimmed)
        changed = wanted[core.slices]
        result[core.slices][changed] = detailed[inside][changed]

    with side_by_side(torch.get_num_threads()) as pool:
        for _ in pool.map(work, _cores(wanted)):
            pass
    return result


def _cores(unknown: Plane) -> Iterator[Box]:
    """The parts of the tiles that contain damage."""
    frame = Box.of(unknown)
    for top in range(0, frame.height, _TILE_PX):
        for left in range(0, frame.width, _TILE_PX):
            tile = Box(top, left, _TILE_PX, _TILE_PX).intersection(frame)
            core = tight_box(unknown, tile)
            if core is not None:
                yield core


def _missing_detail(
    guide: Array, unknown: Plane, near: tuple[slice, slice], generator: np.random.Generator
) -> Array | None:
    """The detail of its surroundings that the fill in a guide lacks, in a part of it."""
    detail = guide - _blur(guide, _COARSEST_PX)
    wanted = np.zeros_like(unknown)
    wanted[near] = ndimage.maximum_filter(unknown[near], 2 * _RIM_PX + 1)
    copied = copy_blocks(detail, guide, unknown, wanted, generator)
    if copied is None:
        return None
    detail, copied, unknown = detail[near], copied[near], unknown[near]
    zero = np.broadcast_to(np.float32(0), copied.shape)
    added = copied - harmonise(zero, copied, ~unknown, smoothing_px=_MEMBRANE_PX)
    added[~unknown] = 0
    inside, rim = _Where(unknown), _Where(wanted[near] & ~unknown)
    # Of each band: the detail of the fill, of the copy, and the detail that can be added.
    bands = list(zip(_bands(detail), _bands(copied), _bands(added), strict=True))
    goals = []
    for present, wanting, _ in bands:
        # One where no rim is near, deep in a hole.
        ratio = (rim.energy(present) + _TINY) / (rim.energy(wanting) + _TINY)
        goals.append(inside.energy(wanting) * ratio.clip(1 / _RIM_RATIO, _RIM_RATIO))
    masking = 1 / (1 + np.square(np.sum(goals, axis=0) / np.float32(_MASKED_FROM**2)))
    missing, (height, width) = np.zeros_like(detail), unknown.shape
    for (present, _, additional), goal in zip(bands, goals, strict=True):
        lacking = masking * (goal - inside.energy(present))
        lacking /= inside.energy(additional) + _TINY
        gain = np.sqrt(lacking.clip(0, _LARGEST_GAIN**2))
        missing += enlarge(gain, height, width, _CELL_PX).clip(0) * additional
    missing[~unknown] = 0
    return missing


class _Where:
    """Pixels over which energies of bands are measured."""

    def __init__(self, where: Plane) -> None:
        self._where = where.astype(np.float32)
        self._count = _around(self._where)

    def energy(self, band: Array) -> Array:
        """Mean square of a band, over channels and these pixels, around each cell: (h, w, 1)."""
        square = np.einsum("hwc,hwc->hw", band, band)
        total = _around(square * self._where) / np.float32(band.shape[2])
        mean: Array = (total / np.maximum(self._count, 1e-4)).astype(np.float32, copy=False)
        return mean[:, :, None]


def _around(plane: Array) -> Array:
    """Means of a plane around each cell."""
    around: Array = ndimage.gaussian_filter(_cells(plane), _CELLS, truncate=3.0)
    return around


def _cells(plane: Array) -> Array:
    """Means of cells, (ceil(H / cell), ceil(W / cell))."""
    padded = np.pad(plane, [(0, -side % _CELL_PX) for side in plane.shape])
    rows, columns = (side // _CELL_PX for side in padded.shape)
    sums = padded.reshape(rows, _CELL_PX, -1).sum(1)  # one axis after the other is faster
    cells: Array = sums.reshape(rows, columns, _CELL_PX).sum(2)
    return cells / np.float32(_CELL_PX**2)


def _bands(detail: Array) -> list[Array]:
    """Bands of detail, the finest first; their sum is the detail."""
    bands = []
    for sigma_px in _BANDS_PX:
        coarse = _blur(detail, sigma_px)
        bands.append(detail - coarse)
        detail = coarse
    return [*bands, detail]


def _blur(image: Array, sigma_px: float) -> Array:
    blurred: Array = ndimage.gaussian_filter(image, (sigma_px, sigma_px, 0), truncate=3.0)
    return blurred


def _within_local_range(
    detailed: Array, guide: Array, unknown: Plane, widest: tuple[Array, Array]
) -> Array:
    """Clip to the range of the known pixels around: nothing is brighter or darker than they are.

    Where none is near, `widest` is the range, (C,) each.
    """
    bounds = []
    for limit, filtered, farther in (
        (np.inf, ndimage.minimum_filter, widest[0]),
        (-np.inf, ndimage.maximum_filter, widest[1]),
    ):
        bound = np.where(unknown[:, :, None], np.float32(limit), guide)
        bound = _spread(bound, filtered, _RIM_PX)
        for reach in _FARTHER_PX:  # only where nothing is known as near as that
            if np.isfinite(bound).all():
                break
            bound = np.where(np.isfinite(bound), bound, _spread(bound, filtered, reach))
        bounds.append(np.where(np.isfinite(bound), bound, farther))
    # A fill that is beyond the range already stays where it is.
    low, high = np.minimum(bounds[0], guide), np.maximum(bounds[1], guide)
    clipped: Array = np.clip(detailed, low, high)
    return clipped


def _spread(bound: Array, filtered: Callable[..., Array], reach: int) -> Array:
    """The least or greatest value within so many rows and columns."""
    return filtered(filtered(bound, (2 * reach + 1, 1, 1)), (1, 2 * reach + 1, 1))
