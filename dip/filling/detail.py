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

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from dip.filling.blur import blur, blur_matrix
from dip.filling.membrane import extend
from dip.filling.whole_copies import SEARCHED_PX, copy_blocks
from dip.machine.threads import side_by_side
from dip.regions.box import Box, tight_box

Array = NDArray[np.float32]
Plane = NDArray[np.bool_]

_TILE_PX = 384
"""Damage is worked on in squares of this size, for memory, and as most of a photo is whole."""
_COARSEST_PX = 5.0
"""Detail is the image minus its base, a blur of this standard deviation."""
_EDGE = 8.0
"""The blur spans pixels of another brightness alone that differ by less than about so many standard
deviations of the pixels of one's own."""
_STILL = 0.004
"""Standard deviation that these have at least, in units of full scale."""
_SIDE = 0.3, 0.45
"""Shares of the surroundings from which pixels of one brightness are a side of an edge."""
_LEVEL, _MOST_LEVELS = 0.1, 12
"""Step between the levels of brightness that are blurred apart, and their number."""
_BANDS_PX = (0.8, 1.6, 3.2)
"""Standard deviations of the blurs between the bands of detail."""
_RIM_PX = 8
"""Known pixels this near to the damage say how much detail there is."""
_FARTHER_PX = 8, 16, 32
"""Where no known pixel is near, the range of values is looked for so much further, step by step."""
_MEASURED_PX = 24
"""Energies are measured this far around a tile."""
_SPOT_MARGIN_PX = 16
"""The same around a spot."""
_SPOT_STEP_PX = 16
"""Windows around spots have sides that are multiples of this: those of one size are a stack."""
_STACK_PX = 150_000
"""Pixels of a stack of windows at most, for memory."""
_CELL_PX = 4
"""Energies are measured in cells of this size, and smoothed over `_CELLS` of them."""
_CELLS = 1.5
_RIM_RATIO = 3.0
"""The copy's energy is corrected by the energy of the rim over that of its own rim, at most so
much: both are uncertain where few pixels are known."""
_DEEP_RATIO, _NEAR_RIM = 2.0, 0.003
"""Where the rim's share of the pixels around is below the second number, a copy has at most so many
times the energy that the rim's continues with."""
_MEMBRANE_PX = 2.0
"""See `dip.filling.membrane.harmonise`."""
_LARGEST_GAIN = 2.5
_MASKED_FROM = 0.19
"""Detail with this standard deviation, in units of full scale, gets half of its energy, and weaker
detail nearly all: the eye compares contrasts, and strong detail costs most fidelity."""
_PLANES = 22
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
        windows = [window.relative_to(seen)]
        for _, detailed in _in_windows(guide, unknown, windows, generator, strength):
            changed = wanted[core.slices]
            result[core.slices][changed] = detailed[core.within(window)][changed]

    with side_by_side(torch.get_num_threads()) as pool:
        for _ in pool.map(work, _cores(wanted)):
            pass
    return result


def add_detail_to_spots(
    guide: Array,
    unknown: Plane,
    spots: Sequence[Box],
    *,
    strength: float,
    generator: np.random.Generator,
) -> list[Array]:
    """Add the detail of the known pixels to smooth fills of many spots, only around these.

    Parameters
    ----------
    guide : ndarray
        (H, W, C), float32, in units of full scale: the image, with fills where unknown.
    unknown : ndarray
        (H, W) bool
    spots : sequence of Box
        Around small pieces of damage, in the coordinates of `guide`.
    strength
        See `add_detail`.
    generator : numpy Generator

    Returns
    -------
    list of ndarray
        The unknown pixels of each spot with detail, (height, width, C), float32; unchanged where no
        place is known that could be copied.
    """
    windows = [_window(spot, Box.of(unknown)) for spot in spots]
    detailed = [guide[spot.slices] for spot in spots]
    for number, pixels in _in_windows(guide, unknown, windows, generator, strength):
        detailed[number] = pixels[spots[number].within(windows[number])]
    return detailed


def _window(spot: Box, frame: Box) -> Box:
    """A square around a spot, inside the frame, of one of a few sizes."""
    side = max(spot.height, spot.width) + 2 * _SPOT_MARGIN_PX
    side += -side % _SPOT_STEP_PX
    height, width = min(side, frame.height), min(side, frame.width)
    top = spot.top - (height - spot.height) // 2
    left = spot.left - (width - spot.width) // 2
    return Box(
        min(max(0, top), frame.height - height), min(max(0, left), frame.width - width),
        height, width,
    )  # fmt: skip


def _cores(unknown: Plane) -> Iterator[Box]:
    """The parts of the tiles that contain damage."""
    frame = Box.of(unknown)
    for tile in frame.pieces(_TILE_PX):
        core = tight_box(unknown, tile)
        if core is not None:
            yield core


def _in_windows(
    guide: Array,
    unknown: Plane,
    windows: Sequence[Box],
    generator: np.random.Generator,
    strength: float,
) -> Iterator[tuple[int, Array]]:
    """Yield the number of each window of a guide and its pixels with detail, (h, w, C)."""
    planes = torch.from_numpy(guide).permute(2, 0, 1).contiguous()
    detail = (planes - _base(planes)).permute(1, 2, 0).contiguous().numpy()
    hidden = torch.from_numpy(unknown)
    wanted = np.zeros_like(unknown)
    for window in windows:
        wanted[window.slices] = True
    wanted &= _spread(hidden, _RIM_PX).numpy()
    copied = copy_blocks(detail, guide, unknown, wanted, generator)
    if copied is None:
        return
    stacks: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for number, window in enumerate(windows):
        stacks[window.height, window.width].append(number)
    for (height, width), numbers in stacks.items():
        most = max(1, _STACK_PX // (height * width))
        for start in range(0, len(numbers), most):
            part = numbers[start : start + most]

            def cut(image: NDArray[np.generic], part: list[int] = part) -> Tensor:
                """(N, C, h, w)"""
                stack = np.stack([image[windows[number].slices] for number in part])
                return torch.from_numpy(stack).permute(0, 3, 1, 2).contiguous()

            inside, rim = cut(unknown[:, :, None]), cut((wanted & ~unknown)[:, :, None])
            smooth = cut(guide)
            detailed = smooth + strength * _missing(cut(detail), cut(copied), inside, rim)
            detailed = _within_local_range(detailed, smooth, inside, planes, hidden)
            yield from zip(part, detailed.permute(0, 2, 3, 1).numpy(), strict=True)


def _base(planes: Tensor) -> Tensor:
    """What is not detail, (C, H, W): a blur that does not cross strong edges.

    A plain blur crosses the border of a print, and leaves halos of it in the detail of the paper
    beside it. A bilateral filter does not, but it would take texture for edges. So it counts as far
    as it is further from the plain blur than the pixels of one brightness are from each other.

    Source: bilateral filter by levels of brightness: Durand, Dorsey, *Fast bilateral filtering for
    the display of high-dynamic-range images*, ACM TOG 21(3), 2002, DOI 10.1145/566654.566574.
    """
    height, width = planes.shape[1:]
    half = F.pad(planes[None], (0, width % 2, 0, height % 2), mode="replicate")
    half = F.avg_pool2d(half, 2)[0]
    gray = half.mean(0, keepdim=True)
    values = torch.cat([half, gray, gray.square(), torch.ones_like(gray)])  # (C + 3, h, w)
    plain = blur(values, _COARSEST_PX / 2)
    place = ((gray - gray.min()) / _LEVEL).clamp_max(_MOST_LEVELS - 1)
    sums = torch.zeros_like(values)
    for level in range(int(place.max()) + 2):
        weight = (1 - (place - level).abs()).clamp_min(0)
        sums += weight * blur(weight * values, _COARSEST_PX / 2)
    means = sums[:-1] / sums[-1:].clamp_min(1e-4)
    variance = (means[-1] - means[-2].square()).clamp_min(_STILL**2)
    distance = (means[-2] - plain[-3]).square() / (_EDGE**2 * variance)
    least, enough = _SIDE  # a joint between bricks is no side of an edge, but detail of the wall
    distance *= ((sums[-1] - least) / (enough - least)).clamp(0, 1)
    base = means[:-2] + (plain[:-3] - means[:-2]) / (1 + distance.square())
    sizes = base, -_spread(-base, 1), _spread(base, 1)
    scaled = F.interpolate(torch.cat(sizes)[None], scale_factor=2, mode="bilinear")
    base, low, high = scaled[0, :, :height, :width].chunk(3)
    # On an edge, a pixel is on one side or the other.
    return torch.where(high - low > _LEVEL, planes.clamp(low, high), base)


def _missing(detail: Tensor, copied: Tensor, inside: Tensor, rim: Tensor) -> Tensor:
    """The detail of their surroundings that fills lack, (N, C, H, W); 0 at known pixels.

    detail, copied: (N, C, H, W); inside, rim: (N, 1, H, W) bool, the unknown pixels and the known
    ones that say how much detail there is.
    """
    known = torch.where(inside, 0, copied).numpy(), ~inside.numpy()
    added = copied - torch.from_numpy(extend(*known, smoothing_px=_MEMBRANE_PX))
    added = torch.where(inside, added, 0)
    where = torch.cat([inside, rim], 1).float()  # (N, 2, H, W)
    count = _around(where).clamp_min(1e-4)

    def energies(band: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squares of a band inside and at the rim, around each cell: (N, 1, h, w) each."""
        inside, rim = (_around(band.square().mean(1, keepdim=True) * where) / count).split(1, 1)
        return inside, rim

    # Of each band: the detail of the fill, of the copy, and the detail that can be added.
    goals, lacks = [], []
    for present, wanting, additional in zip(*map(_bands, (detail, copied, added)), strict=True):
        (own, own_at_rim), (copy, copy_at_rim) = energies(present), energies(wanting)
        # One where no rim is near, deep in a hole.
        ratio = (own_at_rim + _TINY) / (copy_at_rim + _TINY)
        goal = copy * ratio.clamp(1 / _RIM_RATIO, _RIM_RATIO)
        goals.append(torch.minimum(goal, _DEEP_RATIO * _continued(own_at_rim, count[:, 1:])))
        lacks.append((additional, own, energies(additional)[0] + _TINY))
    masking = 1 / (1 + (torch.stack(goals).sum(0) / _MASKED_FROM**2).square())
    missing, (height, width) = torch.zeros_like(detail), detail.shape[2:]
    for goal, (additional, own, possible) in zip(goals, lacks, strict=True):
        gain = (masking * (goal - own) / possible).clamp(0, _LARGEST_GAIN**2).sqrt()
        gain = F.interpolate(gain, scale_factor=_CELL_PX, mode="bicubic", align_corners=False)
        missing += gain[:, :, :height, :width].clamp_min(0) * additional
    return torch.where(inside, missing, 0)


def _continued(at_rim: Tensor, count: Tensor) -> Tensor:
    """Energies deep in a hole by those of its rim, (N, 1, h, w); infinite where the rim is near.

    They are continued as logarithms: half-way between rocks and a sky there are few specks of rock.
    """
    near = count > _NEAR_RIM
    if near.all() or not near.any():
        return torch.full_like(at_rim, torch.inf)
    logarithms = torch.where(near, (at_rim + _TINY).log(), 0).numpy()
    deep = torch.from_numpy(extend(logarithms, near.numpy(), smoothing_px=1.0)).exp()
    return torch.where(near, torch.inf, deep)


def _around(planes: Tensor) -> Tensor:
    """Means around each cell, (N, K, ceil(H / cell), ceil(W / cell))."""
    height, width = planes.shape[-2:]
    return ((planes @ _around_matrix(width)).mT @ _around_matrix(height)).mT


@lru_cache(maxsize=64)
def _around_matrix(size: int) -> Tensor:
    """The matrix that turns samples along a side into blurred means of cells, (size, cells)."""
    cells = -(-size // _CELL_PX)
    means = torch.zeros(size, cells)
    means[torch.arange(size), torch.arange(size) // _CELL_PX] = 1 / _CELL_PX
    return means @ blur_matrix(cells, _CELLS)


def _bands(detail: Tensor) -> Iterator[Tensor]:
    """Bands of detail, the finest first; their sum is the detail."""
    for sigma_px in _BANDS_PX:
        coarse = blur(detail, sigma_px)
        yield detail - coarse
        detail = coarse
    yield detail


def _within_local_range(
    detailed: Tensor, smooth: Tensor, unknown: Tensor, image: Tensor, hidden: Tensor
) -> Tensor:
    """Clip to the range of the known pixels around: nothing is brighter or darker than they are.

    Where none is near, the range is that of an image, (C, H, W), where it is not hidden, (H, W).
    """

    def greatest(values: Tensor, whole: Tensor) -> Tensor:
        bound = _spread(torch.where(unknown, -torch.inf, values), _RIM_PX)
        for reach in _FARTHER_PX:  # only where nothing is known as near as that
            if bound.isfinite().all():
                return bound
            bound = torch.where(bound.isfinite(), bound, _spread(bound, reach))
        farthest = torch.where(hidden, -torch.inf, whole).amax((1, 2), keepdim=True)
        return torch.where(bound.isfinite(), bound, farthest)

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
