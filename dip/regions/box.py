"""Rectangles of pixels, row-first: (top, left, height, width)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, order=True)
class Box:
    """A rectangle of pixels: rows from `top`, columns from `left`."""

    top: int
    left: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def area(self) -> int:
        return self.height * self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the box in an array of at least two dimensions."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def within(self, outer: Box) -> tuple[slice, slice]:
        """Index of this box in the crop of `outer`, which must contain it."""
        return self.relative_to(outer).slices

    def relative_to(self, outer: Box) -> Box:
        """This box in the crop of `outer`."""
        return Box(self.top - outer.top, self.left - outer.left, self.height, self.width)

    def expanded(self, margin_px: int, limits: Box) -> Box:
        """The box grown by a margin on all sides, clipped to `limits`."""
        return Box.from_edges(
            max(limits.top, self.top - margin_px),
            max(limits.left, self.left - margin_px),
            min(limits.bottom, self.bottom + margin_px),
            min(limits.right, self.right + margin_px),
        )

    def union(self, other: Box) -> Box:
        """The smallest box that contains both."""
        return Box.from_edges(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )

    def intersection(self, other: Box) -> Box:
        """The overlap of both; its height or width is 0 where they do not overlap."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom, right = min(self.bottom, other.bottom), min(self.right, other.right)
        return Box(top, left, max(0, bottom - top), max(0, right - left))

    def pieces(self, side_px: int) -> Iterator[Box]:
        """Cut into boxes of at most this side, in reading order."""
        for top in range(self.top, self.bottom, side_px):
            for left in range(self.left, self.right, side_px):
                yield Box(top, left, side_px, side_px).intersection(self)

    @classmethod
    def from_edges(cls, top: int, left: int, bottom: int, right: int) -> Box:
        return cls(top, left, bottom - top, right - left)

    @classmethod
    def of(cls, array: NDArray[np.generic]) -> Box:
        """The box of a whole (H, W, ...) array."""
        return cls(0, 0, *array.shape[:2])


def tight_box(unknown: NDArray[np.bool_], within: Box) -> Box | None:
    """The smallest box around the unknown pixels inside a box; None where there are none."""
    crop = unknown[within.slices]
    rows, columns = np.flatnonzero(crop.any(axis=1)), np.flatnonzero(crop.any(axis=0))
    if rows.size == 0:
        return None
    return Box.from_edges(
        within.top + int(rows[0]),
        within.left + int(columns[0]),
        within.top + int(rows[-1]) + 1,
        within.left + int(columns[-1]) + 1,
    )
