"""The search for damage in a photo: from the photo to a map of its damage."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dip.detection import classical
from dip.detection.damage_map import BRIGHT, DARK, DamageMap
from dip.detection.features import (
    MARGIN_PX,
    NAMES,
    Character,
    characterise,
    measure_both,
    measure_few,
)
from dip.detection.infrared import infrared_damage, refuse_size
from dip.detection.lines import followed
from dip.detection.marks import add_lines, delimit
from dip.detection.suitability import doubts
from dip.errors import DetectionCancelled, ImageTooSmall
from dip.image_io.photo import has_alpha
from dip.machine.device import cores
from dip.notes import Note
from dip.samples import to_floats

Floats = NDArray[np.float32]

SMALLEST_SIDE_PX = 48
CANCELLED = ("The search for damage was cancelled.", "Search again.")
SILVER = Note("infrared_silver")
_WORKING_PIXELS = 6_000_000
"""Larger photos are searched at a half, a third... of their size."""

_CAUTION = (1.5, 2.2, 2.2)
"""Subtracted from the logits of specks, scratches and creases, by kind.

The network has learned from photos with more damage than most have. Nearly all that it marks on
clean photos are lines.
"""

_TILE_PX = (448, 640)
"""Rows and columns that are searched at a time, at most; the result does not depend on how many
tiles are in work."""

_ALIGNED_PX = 16
"""Tiles begin at multiples of this: the network reduces all of them along the same grid."""


def detect(
    photo: NDArray[Any],
    *,
    seed: int = 0,
    quick: bool = False,
    infrared: NDArray[Any] | None = None,
    progress: Callable[[float], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> DamageMap:
    """Find the damage in a photo.

    Parameters
    ----------
    photo : (H, W) or (H, W, C) array
        C from 1 to 4, the last of 2 or 4 being alpha: transparent pixels are not marked. Unsigned
        integers, or floats in [0, 1].
    seed : int
        The same photo and seed give the same result, whatever the number of threads.
    quick : bool
        The first answer, without a network: 2 seconds for a megapixel at most.
    infrared : (H, W) array, optional
        The infrared plane of the scanner; the damage is then found in it, unless the film is silver
        or Kodachrome.
    progress : callable, optional
        Is told the share of the work that is done.
    should_stop : callable, optional
        Is asked again and again whether to stop.

    Returns
    -------
    DamageMap

    Raises
    ------
    ImageTooSmall
        A side is below `SMALLEST_SIDE_PX`.
    InfraredUnusable
        The infrared plane does not belong to the photo, or is damaged.
    DetectionCancelled
        `should_stop` said so.
    """
    planes = photo[:, :, None] if photo.ndim == 2 else photo
    height, width = planes.shape[:2]
    if min(height, width) < SMALLEST_SIDE_PX:
        raise ImageTooSmall(
            f"The photo has {width} × {height} pixels; damage is found in photos of "
            f"{SMALLEST_SIDE_PX} × {SMALLEST_SIDE_PX} or more.",
            "Give a larger scan, or mark the damage by hand.",
        )
    factor = max(1, round(math.sqrt(height * width / _WORKING_PIXELS)))
    colours = planes[:, :, :-1] if has_alpha(planes) else planes
    working = _reduced(colours, factor)
    character = characterise(working)
    in_infrared = None
    learned: list[Floats] = []
    caution = (0.0, 0.0, 0.0)
    notes: tuple[Note, ...] = ()
    if infrared is not None:
        in_infrared, notes = _in_infrared(working, infrared, (height, width), factor)
        if should_stop is not None and should_stop():
            raise DetectionCancelled(*CANCELLED)
    if in_infrared is not None:
        bright, dark = in_infrared
        if progress is not None:
            progress(1)
    else:
        bright, dark, *learned = _certainties(working, character, quick, progress, should_stop)
        caution = caution if quick else _CAUTION
    level, kind = delimit(bright, dark, caution)
    for polarity, certainty in zip((BRIGHT, DARK), learned, strict=False):
        add_lines(level, kind, followed(certainty), polarity)
    if in_infrared is None:
        notes += doubts(working, character, level)
    if factor > 1:
        level, kind = (_enlarged(each, factor, (height, width)) for each in (level, kind))
    if has_alpha(planes):
        transparent = planes[:, :, -1] == 0
        level[transparent] = kind[transparent] = 0
    return DamageMap(level=level, kind=kind, notes=notes)


def _in_infrared(
    working: Floats, infrared: NDArray[Any], size: tuple[int, int], factor: int
) -> tuple[tuple[Floats, Floats] | None, tuple[Note, ...]]:
    """The certainties by the infrared plane, and notes about it."""
    if infrared.shape != size:
        refuse_size(infrared.shape, size)
    found = infrared_damage(working, _reduced(infrared[:, :, None], factor)[:, :, 0], factor)
    if found is None:
        return None, (SILVER,)
    luma = working.mean(axis=2)
    is_bright = ndimage.gaussian_filter(luma, 1) > ndimage.uniform_filter(luma, 31)
    # One polarity for the whole of a mark: by most of its pixels.
    labels, count = ndimage.label(found.certainty > 0.05, np.ones((3, 3)))
    share = ndimage.mean(is_bright, labels, np.arange(count + 1)) if count else np.zeros(1)
    is_bright = np.asarray(share)[labels] >= 0.5
    zero = np.float32(0)
    certainties = (
        np.where(is_bright, found.certainty, zero),
        np.where(is_bright, zero, found.certainty),
    )
    return certainties, (Note("infrared"),)


def _certainties(
    working: Floats,
    character: Character,
    quick: bool,
    progress: Callable[[float], None] | None,
    should_stop: Callable[[], bool] | None,
) -> list[Floats]:
    """The certainties of bright and of dark damage; and those of the network alone, if it ran."""
    if not quick:
        from dip.detection import network  # torch takes seconds to load

    def work(tile: _Tile) -> list[Floats]:
        part = working[tile.seen]
        if quick:
            return [classical.certainty(each)[tile.inner] for each in measure_few(part)]
        sure, learned = [], []
        for measures in measure_both(part, character):
            sure.append(classical.certainty(dict(zip(NAMES, measures, strict=True)))[tile.inner])
            learned.append(network.certainty(measures)[tile.inner])
        # What stands out by far is damage, also where it resembles nothing the network has seen.
        return [*map(np.maximum, sure, learned), *learned]

    height, width = working.shape[:2]
    # Classical measures take little memory: rows as wide as the photo overlap less.
    tiles = _tiles(height, width, (_TILE_PX[0], width) if quick else _TILE_PX)
    whole = [np.empty((height, width), np.float32) for _ in range(2 if quick else 4)]
    for number, parts in enumerate(_in_threads(work, tiles, torch=not quick)):
        for each, part in zip(whole, parts, strict=True):
            each[tiles[number].place] = part
        if should_stop is not None and should_stop():
            raise DetectionCancelled(*CANCELLED)
        if progress is not None:
            progress((number + 1) / len(tiles))
    return whole


@dataclass(frozen=True)
class _Tile:
    """A part of a photo: its place, what is looked at around it, and its place in that."""

    place: tuple[slice, slice]
    seen: tuple[slice, slice]
    inner: tuple[slice, slice]


def _tiles(height: int, width: int, largest: tuple[int, int]) -> list[_Tile]:
    """Tiles of about equal size that cover a photo."""
    rows, columns = (
        [_span(start, size, length) for start in range(0, length, size)]
        for length, most in zip((height, width), largest, strict=True)
        for size in [-(-length // (-(-length // most) * _ALIGNED_PX)) * _ALIGNED_PX]
    )
    return [_Tile(*zip(row, column, strict=True)) for row in rows for column in columns]


def _span(start: int, size: int, length: int) -> tuple[slice, slice, slice]:
    """A tile along one axis."""
    end = min(start + size, length)
    first, last = max(0, start - MARGIN_PX), min(length, end + MARGIN_PX)
    return slice(start, end), slice(first, last), slice(start - first, end - first)


def _in_threads(
    work: Callable[[_Tile], list[Floats]], tiles: list[_Tile], *, torch: bool
) -> Iterator[list[Floats]]:
    """The results in order, a few computed ahead; one thread each, also of torch."""
    with _single_threads(cores()) if torch else ThreadPoolExecutor(cores()) as pool:
        try:
            yield from pool.map(work, tiles)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _single_threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads in which torch uses one core: sums depend on the number of threads."""
    import torch

    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(count, "search", torch.set_num_threads, (1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)


def _reduced(planes: NDArray[Any], factor: int) -> Floats:
    """Means of squares of `factor` px; at the borders of what is left of them."""
    if factor == 1:
        return to_floats(planes)
    height, width, channels = planes.shape
    rows, columns = -(-height // factor), -(-width // factor)
    reduced = np.empty((rows, columns, channels), np.float32)
    for row in range(rows):
        strip = to_floats(planes[row * factor : (row + 1) * factor]).mean(axis=0)
        strip = np.pad(strip, ((0, columns * factor - width), (0, 0)), mode="edge")
        reduced[row] = strip.reshape(columns, factor, channels).mean(axis=1)
    return reduced


def _enlarged(plane: NDArray[np.uint8], factor: int, shape: tuple[int, int]) -> NDArray[np.uint8]:
    large = plane.repeat(factor, axis=0).repeat(factor, axis=1)
    return np.ascontiguousarray(large[: shape[0], : shape[1]])
