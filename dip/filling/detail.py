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

from collections.abc import Iterator
from itertools import pairwise, product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dip.filling.blur import blur
from dip.filling.membrane import extend
from dip.filling.pyramid import double, halve
from dip.filling.whole_copies import SEARCHED_PX, copy_blocks
from dip.machine.threads import side_by_side
from dip.regions.box import Box, tight_box

Array = NDArray[np.float32]
Plane = NDArray[np.bool_]

_TILE_PX = 512
"""Damage is worked on in tiles of at most this side, for memory: most of a photo is whole."""
_COARSEST_PX = 5.0
"""Detail is the image minus its base, a blur of this standard deviation."""
_BASE_STEP_PX = 4
"""The base is computed from means of squares of this side."""
_EDGE = 8.0
"""The blur spans pixels of another brightness alone that differ by less than about so many standard
deviations of the pixels of one's own."""
_STILL = 0.004
"""Standard deviation that these have at least, in units of full scale."""
_SIDE = 0.3, 0.45
"""Shares of the surroundings from which pixels of one brightness are a side of an edge."""
_LEVEL, _MOST_LEVELS = 0.1, 12
"""Step between the levels of brightness that are blurred apart, and their number."""
_LEVELS = (0, 1, 2, 2)
"""The bands of detail are reduced by two to the power of these, the finest band first."""
_COARSEST_STEP_PX = 8
"""Side of the squares whose means are the coarsest band."""
_RIM_PX = 8
"""Known pixels this near to the damage say how much detail there is."""
_FARTHER_PX = 8, 16, 32
"""Where no known pixel is near, the range of values is looked for so much further, step by step."""
_MEASURED_PX = 24
"""Energies are measured this far around a tile."""
_CELLS = 1.5
"""Energies are measured in pixels of the smallest level, and smoothed over so many of them."""
_RIM_RATIO = 3.0
"""The copy's energy is corrected by the energy of the rim over that of its own rim, at most so
much: both are uncertain where few pixels are known."""
_DEEP_RATIO, _NEAR_RIM = 2.0, 0.003
"""Where the rim's share of the pixels around is below the second number, a copy has at most so many
times the energy that the rim's continues with."""
_MEMBRANE_PX = 2.0
"""See `dip.filling.membrane.harmonise`."""
_LARGEST_GAIN = 2.5
_MASKED_FROM = 0.18
"""Detail with this standard deviation, in units of full scale, gets half of its energy, and weaker
detail nearly all: the eye compares contrasts, and strong detail costs most fidelity."""
_PLANES = 20
"""Memory of a tile, in copies of its pixels in float32."""
_TINY = 1e-10


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
        seen = core.expanded(SEARCHED_PX, frame)
        unknown = ~known[seen.slices]
        guide = np.where(unknown[:, :, None], fill[seen.slices], target[seen.slices])
        window = core.expanded(_MEASURED_PX, frame)
        generator = np.random.default_rng((seed, core.top, core.left))
        inner = window.relative_to(seen)
        detailed = add_detail_to_stack(
            guide[None], unknown[None], inner, strength=strength, generator=generator
        )
        changed = wanted[core.slices]
        result[core.slices][changed] = detailed[0][core.within(window)][changed]

    with side_by_side(torch.get_num_threads()) as pool:
        for _ in pool.map(work, _cores(wanted)):
            pass
    return result


def _cores(unknown: Plane) -> Iterator[Box]:
    """The parts of the tiles that contain damage."""
    frame = Box.of(unknown)
    rows, columns = (
        np.linspace(0, size, -(-size // _TILE_PX) + 1).astype(int).tolist()
        for size in (frame.height, frame.width)
    )
    for (top, bottom), (left, right) in product(pairwise(rows), pairwise(columns)):
        core = tight_box(unknown, Box.from_edges(top, left, bottom, right))
        if core is not None:
            yield core


def add_detail_to_stack(
    guide: Array,
    unknown: Plane,
    inner: Box,
    *,
    strength: float,
    generator: np.random.Generator,
) -> Array:
    """Add the detail of the known pixels of each image of a stack to its smooth fills.

    Parameters
    ----------
    guide : ndarray
        (N, H, W, C), float32, in units of full scale: images, with fills where unknown. The height
        of several is a multiple of 8.
    unknown : ndarray
        (N, H, W) bool
    inner : Box
        The part of each image that gets detail.
    strength
        See `add_detail`.
    generator : numpy Generator

    Returns
    -------
    ndarray
        (N, height, width, C), float32: the inner parts with detail; unchanged at known pixels, and
        where no place is known that could be copied.
    """
    planes = torch.from_numpy(guide).permute(0, 3, 1, 2).contiguous()
    detail = (planes - _base(planes)).permute(0, 2, 3, 1).contiguous().numpy()
    hidden = torch.from_numpy(unknown)
    wanted = np.zeros_like(unknown)
    index = (slice(None), *inner.slices)
    wanted[index] = _spread(hidden, _RIM_PX).numpy()[index]
    copied = copy_blocks(detail, guide, unknown, wanted, generator)
    if copied is None:
        return guide[index]

    def cut(images: NDArray[Any]) -> NDArray[Any]:
        """(N, C, h, w)"""
        return np.ascontiguousarray(np.moveaxis(images[index], 3, 1))

    inside, rim = cut(unknown[..., None]), cut((wanted & ~unknown)[..., None])
    smooth = cut(guide)
    missing = np.float32(strength) * _missing(cut(detail), cut(copied), inside, rim)
    detailed, plain, holes = map(torch.from_numpy, (smooth + missing, smooth, inside))
    detailed = _within_local_range(detailed, plain, holes, planes, hidden[:, None])
    return detailed.permute(0, 2, 3, 1).numpy()


def _base(planes: Tensor) -> Tensor:
    """What is not detail, (N, C, H, W): a blur that does not cross strong edges.

    A plain blur crosses the border of a print, and leaves halos of it in the detail of the paper
    beside it. A bilateral filter does not, but it would take texture for edges. So it counts as far
    as it is further from the plain blur than the pixels of one brightness are from each other.

    Source: bilateral filter by levels of brightness: Durand, Dorsey, *Fast bilateral filtering for
    the display of high-dynamic-range images*, ACM TOG 21(3), 2002, DOI 10.1145/566654.566574.
    """
    height, width = planes.shape[2:]
    border = (0, -width % _BASE_STEP_PX, 0, -height % _BASE_STEP_PX)
    padded = F.pad(planes, border, mode="replicate") if any(border) else planes
    half = halve(padded.numpy())
    gray = half.mean(1, keepdims=True)
    values = np.concatenate([half, gray, np.square(gray), np.ones_like(gray)], 1)
    place = ((gray - gray.min()) / np.float32(_LEVEL)).clip(max=_MOST_LEVELS - 1)
    levels = int(place.max()) + 2
    parts = np.stack(
        [halve((1 - np.abs(place - each)).clip(min=0) * values) for each in range(levels)], 2
    )
    blurred = blur(torch.from_numpy(parts), _COARSEST_PX / _BASE_STEP_PX)  # (N, C + 3, L, h, w)
    plain = double(blurred.sum(2).numpy())
    sums = _sliced(blurred, torch.from_numpy(place[:, 0])).numpy()
    means = sums[:, :-1] / sums[:, -1:].clip(min=1e-4)
    variance = (means[:, -1:] - np.square(means[:, -2:-1])).clip(min=_STILL**2)
    distance = np.square(means[:, -2:-1] - plain[:, -3:-2]) / (_EDGE**2 * variance)
    least, enough = _SIDE  # a joint between bricks is no side of an edge, but detail of the wall
    distance *= ((sums[:, -1:] - least) / (enough - least)).clip(0, 1)
    colours, plain = means[:, :-2], plain[:, :-3]
    small = torch.from_numpy(colours + (plain - colours) / (1 + np.square(distance)))
    sizes = torch.cat([small, -_spread(-small, 1), _spread(small, 1)], 1)
    scaled = double(sizes.numpy())[:, :, :height, :width]
    base, low, high = torch.from_numpy(scaled).chunk(3, 1)
    # On an edge, a pixel is on one side or the other.
    return torch.where(high - low > _LEVEL, planes.clamp(low, high), base)


def _sliced(levels: Tensor, place: Tensor) -> Tensor:
    """Interpolate between the levels of each pixel, and between pixels of twice the size.

    levels: (N, K, L, h, w); place: (N, 2h, 2w), in [0, L - 1]; returns (N, K, 2h, 2w).
    """
    rows, columns = (
        ((torch.arange(size) + 0.5) * (2 / size) - 1).expand(
            place.shape if last else place.mT.shape
        )
        for size, last in ((place.shape[1], False), (place.shape[2], True))
    )
    grid = torch.stack((columns, rows.mT, (place + 0.5) * (2 / levels.shape[2]) - 1), 3)
    sampled = F.grid_sample(levels, grid[:, None], padding_mode="border", align_corners=False)
    return sampled[:, :, 0]


def _missing(detail: Array, copied: Array, inside: Plane, rim: Plane) -> Array:
    """The detail of their surroundings that fills lack, (N, C, H, W); 0 at known pixels.

    detail, copied: (N, C, H, W); inside, rim: (N, 1, H, W) bool, the unknown pixels and the known
    ones that say how much detail there is.
    """
    height, width = inside.shape[2:]
    pad = ((0, 0), (0, 0), (0, -height % _COARSEST_STEP_PX), (0, -width % _COARSEST_STEP_PX))
    if height % _COARSEST_STEP_PX or width % _COARSEST_STEP_PX:
        detail, copied = np.pad(detail, pad, "edge"), np.pad(copied, pad, "edge")
        inside, rim = np.pad(inside, pad), np.pad(rim, pad)
    known = (~inside).astype(np.float32)
    continued = double(extend(halve(copied * known), halve(known), smoothing_px=_MEMBRANE_PX / 2))
    added = (copied - continued) * inside
    where = np.concatenate([inside, rim], 1).astype(np.float32)  # (N, 2, H, W)
    shares = where, halve(where), halve(halve(where))
    count: Array = np.maximum(_around(shares[0]), np.float32(1e-4))

    def energies(band: Array, level: int) -> tuple[Array, Array]:
        """Mean squares of a band inside and at the rim, around each cell: (N, 1, h, w) each."""
        square = np.einsum("nchw,nchw->nhw", band, band)[:, None] / np.float32(band.shape[1])
        means: Array = _around(square * shares[level], level) / count
        return means[:, :1], means[:, 1:]

    # Of each band: the detail of the fill, of the copy, and the detail that can be added.
    goals, lacks = [], []
    bands = zip(_LEVELS, *map(_bands, (detail, copied, added)), strict=True)
    for level, present, wanting, additional in bands:
        (own, own_at_rim), (copy, copy_at_rim) = energies(present, level), energies(wanting, level)
        # One where no rim is near, deep in a hole.
        ratio = (own_at_rim + _TINY) / (copy_at_rim + _TINY)
        goal = copy * ratio.clip(1 / _RIM_RATIO, _RIM_RATIO)
        goals.append(np.minimum(goal, _DEEP_RATIO * _continued(own_at_rim, count[:, 1:])))
        lacks.append((level, additional, own, energies(additional, level)[0] + _TINY))
    masking = 1 / (1 + np.square(sum(goals) / np.float32(_MASKED_FROM**2)))
    missing: dict[int, Array] = {}
    for goal, (level, additional, own, possible) in zip(goals, lacks, strict=True):
        gain = np.sqrt((masking * (goal - own) / possible).clip(0, _LARGEST_GAIN**2))
        for _ in range(_LEVELS[-1] - level):
            gain = double(gain)
        missing[level] = missing.get(level, np.float32(0)) + gain * additional
    result = missing[0] + double(missing[1] + double(missing[2]))
    return (result * inside)[:, :, :height, :width]


def _continued(at_rim: Array, count: Array) -> Array:
    """Energies deep in a hole by those of its rim, (N, 1, h, w); infinite where the rim is near.

    They are continued as logarithms: half-way between rocks and a sky there are few specks of rock.
    """
    near = count > _NEAR_RIM
    if near.all() or not near.any():
        return np.full_like(at_rim, np.inf)
    logarithms = np.where(near, np.log(at_rim + np.float32(_TINY)), np.float32(0))
    deep = np.exp(extend(logarithms, near, smoothing_px=1.0))
    return np.where(near, np.float32(np.inf), deep)


def _around(planes: Array, level: int = 0) -> Array:
    """Means around each cell, (N, K, H, W) of a level → (N, K, H / cell, W / cell)."""
    for _ in range(_LEVELS[-1] - level):
        planes = halve(planes)
    return blur(torch.from_numpy(planes), _CELLS).numpy()


def _bands(detail: Array) -> tuple[Array, ...]:
    """Bands of detail, the finest first, of the sizes of `_LEVELS`."""
    half = halve(detail)
    quarter = halve(half)
    coarsest = double(halve(quarter))
    return detail - double(half), half - double(quarter), quarter - coarsest, coarsest


def _within_local_range(
    detailed: Tensor, smooth: Tensor, unknown: Tensor, image: Tensor, hidden: Tensor
) -> Tensor:
    """Clip to the range of the known pixels around: nothing is brighter or darker than they are.

    Where none is near, the range is that of the whole images, where they are not hidden.
    """

    def greatest(values: Tensor, whole: Tensor) -> Tensor:
        bound = _spread(torch.where(unknown, -torch.inf, values), _RIM_PX)
        for reach in _FARTHER_PX:  # only where nothing is known as near as that
            if bound.amin() > -torch.inf:
                return bound
            bound = torch.where(bound > -torch.inf, bound, _spread(bound, reach))
        farthest = torch.where(hidden, -torch.inf, whole).amax((2, 3), keepdim=True)
        return torch.where(bound > -torch.inf, bound, farthest)

    # A fill that is beyond the range already stays where it is.
    low = torch.minimum(-greatest(-smooth, -image), smooth)
    high = torch.maximum(greatest(smooth, image), smooth)
    return detailed.clamp(low, high)


def _spread(values: Tensor, reach: int) -> Tensor:
    """The greatest value within so many rows and columns."""
    return _spread_along(_spread_along(values, -1, reach), -2, reach)


def _spread_along(values: Tensor, axis: int, reach: int) -> Tensor:
    lowest = -torch.inf if values.is_floating_point() else 0
    border = (reach, reach) if axis == -1 else (0, 0, reach, reach)
    values, wanted, size = F.pad(values, border, value=lowest), 2 * reach + 1, 1
    while size < wanted:  # the maximum of `size` values, of twice as many, and so on
        step = min(size, wanted - size)
        length = values.shape[axis] - step
        values = torch.maximum(values.narrow(axis, 0, length), values.narrow(axis, step, length))
        size += step
    return values
