"""Find damage that the mask missed: known pixels at its rim that belong to the damage.

Masks are drawn by hand, often a pixel or three too narrow. The sliver that stays would be continued
into the fill as a pale ghost. A pixel at the rim is taken for damage where it differs from the
picture around, as extrapolated to it, in the direction of the damage's colour and in no other; by
more than the picture itself differs from its own extrapolation nearby; and where it is one of a
group that touches the mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dip.config import GROW_AUTO, Settings
from dip.filling.membrane import membrane
from dip.notes import Note
from dip.presets import PRESETS
from dip.regions.box import Box
from dip.regions.damaged_image import DamagedImage
from dip.regions.region import damage_boxes
from dip.regions.rules import RIM_PX
from dip.samples import to_floats

Array = NDArray[np.float32]
Plane = NDArray[np.bool_]

_GAP_PX = 6
"""Pixels up to this distance say nothing about the picture: the rim's own blur may reach there."""
_TRIAL_PX = 6
"""The picture's own deviations are measured in a strip of this width, as if it were a rim."""
_RING_PX = 20
"""Width of the ring of the picture around that is looked at."""
_NEARBY_PX = 14
"""The picture's own deviations count up to this distance, down and across."""
_INSIDE_PX = 5
"""The damage has the colour of pixels up to this far inside the mask."""
_COLOUR_BLUR_PX, _MEAN_BLUR_PX, _SPREAD_BLUR_PX = 2.5, 5.0, 8.0
_LEAST_CONTRAST = 0.2
"""Least difference between damage and picture, in units of full scale."""
_CLEAR, _WEAK = 4.0, 2.0
"""Deviation of a pixel, in standard deviations of the picture around: of some pixels of a group,
and of all."""
_SHARE_CLEAR, _SHARE_WEAK = 0.4, 0.15
"""The same, as a share of the difference between picture and damage."""
_SHARE_MOST = 1.5
"""Clear pixels are not much further from the picture than the damage is."""
_ACROSS = 0.3
"""Largest deviation in other directions of colour, as a share of that towards the damage."""
_OWN_DEVIATION = 1.5
"""A deviation must be so many times the largest of the picture's own nearby."""
_FEWEST = 8
"""Clear pixels in a group."""
_NOISE = 0.012
"""Standard deviation that is always assumed, in units of full scale."""
_SAID_ABOVE = 0.01
"""Missed damage is told to the user if it is more than this share of all pixels at the rim."""
_PIECE_PX = 1000
"""Larger boxes are cut, for memory: 200 MB a megapixel."""
_SMALL_PX = 80 * 80
_HINT = 0.04
"""Around damage in a box of up to `_SMALL_PX`, fewer than `_FEWEST` pixels of the rim are mostly
beyond the range of the ring by so much; then no more is measured."""


@dataclass(frozen=True, eq=False)
class Rim:
    """Damage at the rim of a mask.

    Parameters
    ----------
    box : Box
    pixels : ndarray
        (height, width) bool: known pixels that belong to the damage.
    width_px : int
        Their largest distance to the mask.
    """

    box: Box
    pixels: Plane
    width_px: int


def find_rims(samples: NDArray[Any], unknown: Plane) -> list[Rim]:
    """Find the known pixels at the rim of the damage that belong to the damage.

    Parameters
    ----------
    samples : ndarray
        (H, W, C), with the damage in it; the last channel of 2 or 4 is alpha.
    unknown : ndarray
        (H, W) bool: the damage that the mask marks.

    Returns
    -------
    list of Rim
        Boxes may overlap, pixels do not.
    """
    colours = samples[:, :, :-1] if samples.shape[2] in (2, 4) else samples
    return list(_rims(colours, unknown))


def _rims(colours: NDArray[Any], unknown: Plane) -> Iterator[Rim]:
    frame = Box.of(unknown)
    boxes = damage_boxes(unknown)
    for core in (piece for box in boxes for piece in box.pieces(_PIECE_PX)):
        near = core.expanded(_GAP_PX + _TRIAL_PX, frame)
        image, own = colours[near.slices], unknown[near.slices]
        if core.area <= _SMALL_PX and not _is_doubtful(to_floats(image), own):
            continue
        seen = core.expanded(_GAP_PX + _RING_PX, frame)
        image = np.nan_to_num(to_floats(colours[seen.slices])).clip(0, 1)
        distance = ndimage.distance_transform_edt(~unknown[seen.slices])
        found = _missed(image, unknown[seen.slices], distance)
        # Other damage in the box has a turn of its own.
        box = core.expanded(RIM_PX, frame)
        pixels = found[box.within(seen)] & _near(unknown, core, box)
        if pixels.any():
            far = distance[box.within(seen)][pixels].max()
            yield Rim(box, pixels, round(float(far)))


def _near(unknown: Plane, core: Box, box: Box) -> Plane:
    """The pixels of a box whose nearest damage is in its core."""
    own = np.zeros((box.height, box.width), dtype=bool)
    own[core.within(box)] = unknown[core.slices]
    near: Plane = ndimage.distance_transform_edt(~own) <= RIM_PX + 0.5
    return near


def _is_doubtful(image: Array, unknown: Plane) -> bool:
    """Whether pixels of the rim are beyond the range of the picture around; fast."""
    distance = ndimage.distance_transform_edt(~unknown)
    ring, rim = image[distance > _GAP_PX], image[(distance > 0) & (distance <= RIM_PX + 0.5)]
    if not len(ring) or not len(rim):
        return False
    beyond = (rim < ring.min(0) - _HINT) | (rim > ring.max(0) + _HINT)
    return int(np.count_nonzero(beyond.any(1))) >= _FEWEST


def _missed(image: Array, unknown: Plane, distance: NDArray[np.float64]) -> Plane:
    """The pixels at the rim that belong to the damage, (H, W)."""
    rim = (distance > 0) & (distance <= RIM_PX + 0.5)
    ring = (distance > _GAP_PX) & (distance <= _GAP_PX + _RING_PX)
    strip = (distance > _GAP_PX) & (distance <= _GAP_PX + _TRIAL_PX)
    beyond = distance > _GAP_PX + _TRIAL_PX + 1
    if not ring.any() or not beyond.any():
        return np.zeros_like(unknown)
    inside = unknown & (ndimage.distance_transform_edt(unknown) <= _INSIDE_PX)
    damage, is_near = _local_mean(image, inside, _COLOUR_BLUR_PX)
    picture = membrane(image, distance > _GAP_PX)
    towards = damage - picture
    contrast = np.sqrt(np.einsum("hwc,hwc->hw", towards, towards))
    towards /= np.maximum(contrast, 1e-6)[:, :, None]

    def along(deviation: Array) -> Array:
        product: Array = np.einsum("hwc,hwc->hw", deviation, towards)
        return product

    deviation = image - picture
    amount = along(deviation)
    rest = deviation - amount[:, :, None] * towards
    across = np.sqrt(np.einsum("hwc,hwc->hw", rest, rest))
    # How far the picture deviates from its own extrapolation over the same distance.
    own = np.where(strip, along(image - membrane(image, beyond)).clip(0), np.float32(0))
    usual = ndimage.maximum_filter(ndimage.gaussian_filter(own, 0.5) * strip, 2 * _NEARBY_PX + 1)
    share = amount / np.maximum(contrast, 1e-6)
    possible = rim & is_near & (contrast > _LEAST_CONTRAST) & (across < _ACROSS * amount)
    possible &= amount > _OWN_DEVIATION * usual
    candidates = possible & (share > _SHARE_CLEAR) & (share < _SHARE_MOST)
    if np.count_nonzero(candidates) < _FEWEST:  # before the spread, which takes most of the time
        return np.zeros_like(unknown)
    spread, is_measured = _spread(image, ring, towards)
    possible &= is_measured & (contrast > _CLEAR * spread)
    weak = possible & (amount > _WEAK * spread) & (share > _SHARE_WEAK)
    clear = weak & (amount > _CLEAR * spread) & (share > _SHARE_CLEAR)
    clear &= share < _SHARE_MOST
    groups, count = ndimage.label(weak, np.ones((3, 3), dtype=int))
    touching = ndimage.maximum_filter(unknown, 3)
    kept = np.bincount(groups[clear], minlength=count + 1) >= _FEWEST
    kept &= np.bincount(groups[touching & weak], minlength=count + 1) > 0
    kept[0] = False
    # Pixels between them and the mask belong to them.
    found = kept[groups]
    closed = ndimage.binary_closing(found | unknown, np.ones((3, 3))) & ndimage.maximum_filter(
        found, 3
    )
    missed: Plane = (found | closed) & rim
    return missed if kept.any() else np.zeros_like(unknown)


def _local_mean(image: Array, where: Plane, sigma_px: float) -> tuple[Array, Plane]:
    """Means over some pixels around each pixel, and whether there are any."""
    weight = where.astype(np.float32)
    total = ndimage.gaussian_filter(weight, sigma_px, truncate=3.0)
    sums = ndimage.gaussian_filter(
        image * weight[:, :, None], (sigma_px, sigma_px, 0), truncate=3.0
    )
    mean: Array = sums / np.maximum(total, 1e-6)[:, :, None]
    return mean, total > 1e-4


def _spread(image: Array, ring: Plane, towards: Array) -> tuple[Array, Plane]:
    """The standard deviation of the picture around each pixel, in a direction of colour."""
    mean, _ = _local_mean(image, ring, _MEAN_BLUR_PX)
    rest = image - mean
    products = rest[:, :, :, None] * rest[:, :, None, :]
    height, width, channels = image.shape
    covariance, is_measured = _local_mean(
        products.reshape(height, width, channels**2), ring, _SPREAD_BLUR_PX
    )
    variance = np.einsum("hwi,hwij,hwj->hw", towards, covariance.reshape(products.shape), towards)
    spread: Array = np.sqrt(variance.clip(0)) + np.float32(_NOISE)
    return spread, is_measured


def mind_rims(damaged: DamagedImage, settings: Settings) -> list[Note]:
    """Hide damage at the rim of the mask from all fits, or let the mask grow over it.

    Parameters
    ----------
    damaged : DamagedImage
    settings : Settings
        `grow` says whether the mask grows.

    Returns
    -------
    list of Note
        For the user. The published recipe trusts every known pixel.
    """
    if PRESETS[settings.preset].published:
        return []
    rims = find_rims(damaged.samples, damaged.soft_mask.unknown)
    if not rims:
        return []
    width_px = max(rim.width_px for rim in rims)
    if settings.grow == GROW_AUTO:
        damaged.mark([_fringed(rim, Box.of(damaged.samples)) for rim in rims])
        return [Note("mask_grown", px=width_px + 1)]
    damaged.distrust((rim.box, rim.pixels) for rim in rims)
    count = sum(np.count_nonzero(rim.pixels) for rim in rims)
    unknown = damaged.soft_mask.unknown
    reached = ndimage.maximum_filter(unknown, 2 * RIM_PX + 1)
    if count <= _SAID_ABOVE * (np.count_nonzero(reached) - np.count_nonzero(unknown)):
        return []
    return [Note("rim_damaged", pixels=int(count), px=width_px)]


def _fringed(rim: Rim, frame: Box) -> tuple[Box, Plane]:
    """The pixels of a rim and their neighbours, which blend with them."""
    box = rim.box.expanded(1, frame)
    pixels = np.zeros((box.height, box.width), dtype=bool)
    pixels[rim.box.within(box)] = rim.pixels
    return box, ndimage.maximum_filter(pixels, 3)
