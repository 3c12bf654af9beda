"""From the certainty of each pixel to marks: connected damage of one kind, with a rim."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dip.detection.damage_map import BRIGHT, CODES, CREASES, DARK, KINDS, SCRATCHES

Floats = NDArray[np.float32]

EXTENTS = (0.03, 0.06, 0.1, 0.15, 0.25, 0.35, 0.5, 0.7, 0.9)
"""Certainties down to which marks are delimited."""

_REACH = 0.5
"""A mark reaches as far as this share of the certainty of its core."""

_MOST = 0.9997
_FEWEST_PX = 6
_TOUCHING = np.ones((3, 3), bool)
_LINE_RATIO = 4
"""A mark this many times as long as wide is a line."""

_SHORTEST_LINE_PX = 12
_CREASE_WIDTH_PX = 7
_CREASE_LENGTH = 0.12
"""A crease is at least this wide, and this long in shares of the photo's diagonal."""


def delimit(
    bright: Floats, dark: Floats, caution: Sequence[float] = (0.0, 0.0, 0.0)
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Delimit marks at every extent: as certain as their most certain pixel.

    Parameters
    ----------
    bright, dark : (H, W) float32 arrays
        The certainty in [0, 1] that a pixel is bright, dark damage.
    caution : sequence of float
        For each of `KINDS`, is subtracted from the logit of a mark's certainty.

    Returns
    -------
    level, kind : (H, W) uint8 arrays
        As in `DamageMap`.
    """
    level = np.zeros(bright.shape, np.uint8)
    kind = np.zeros(bright.shape, np.uint8)
    diagonal = float(np.hypot(*bright.shape))
    for polarity, certainty in ((BRIGHT, bright), (DARK, dark)):
        codes = np.array([CODES[each, polarity] for each in KINDS], np.uint8)
        for extent in EXTENTS:
            labels, count = ndimage.label(certainty >= extent, _TOUCHING)
            if not count:
                break
            at = np.flatnonzero(labels)
            label = labels.ravel()[at]
            areas = np.bincount(labels.ravel(), minlength=count + 1)
            highest = np.zeros(count + 1)
            np.maximum.at(highest, label, certainty.ravel()[at])
            kinds = kinds_of(labels, areas, diagonal)
            sure = np.minimum(highest, extent / _REACH).clip(1 - _MOST, _MOST)
            levels = np.rint(
                255 / (1 + (1 / sure - 1) * np.exp(np.asarray(caution)[kinds]))
            ).astype(np.uint8)
            levels[areas < _FEWEST_PX] = 0
            levels[0] = 0
            mine = levels[labels]
            raised = mine > level
            level[raised] = mine[raised]
            kind[raised] = codes[kinds[labels[raised]]]
    return level, kind


def add_lines(
    level: NDArray[np.uint8], kind: NDArray[np.uint8], certainty: Floats, polarity: str
) -> None:
    """Add lines that were followed, as scratches, where nothing more certain is.

    Parameters
    ----------
    level, kind : (H, W) uint8 arrays
        Of `delimit`; are changed.
    certainty : (H, W) float32 array in [0, 1]
        See `dip.detection.lines`.
    polarity : str
    """
    levels = np.rint(255 * certainty).astype(np.uint8)
    raised = levels > level
    level[raised] = levels[raised]
    kind[raised] = CODES[SCRATCHES, polarity]


def kinds_of(
    labels: NDArray[np.int32], areas: NDArray[np.int64], diagonal: float
) -> NDArray[np.intp]:
    """The kind of each mark, by its shape.

    Parameters
    ----------
    labels : (H, W) int array
        0 beside all marks.
    areas : (N + 1,) int array
        Of every label, 0 included.
    diagonal : float
        Of the photo, in px.

    Returns
    -------
    (N + 1,) int array
        Indices into `KINDS`.
    """
    core = ndimage.binary_erosion(labels > 0)
    edges = areas - np.bincount(labels[core], minlength=len(areas))
    # A strip as wide as w has two pixels of edge for each w of its area.
    width = np.maximum(2 * areas / np.maximum(edges, 1), 1)
    length = areas / width
    is_line = (length >= _LINE_RATIO * width) & (length >= _SHORTEST_LINE_PX)
    is_crease = is_line & (width >= _CREASE_WIDTH_PX) & (length >= _CREASE_LENGTH * diagonal)
    return np.where(is_crease, KINDS.index(CREASES), np.where(is_line, KINDS.index(SCRATCHES), 0))
