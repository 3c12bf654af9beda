"""Masks as plain bytes: one byte per pixel, row by row, 255 = restore this. No GIMP, no numpy.

Only operations that run at the speed of `bytes` are used: a Python loop over the pixels of a
photograph takes minutes. A *soft mask* has values between 0 and 255 along its edges.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import NamedTuple

from dip_rules import BLOCK_PX, UNKNOWN_ABOVE, hole_context_px

_UNKNOWN_ABOVE = round(255 * UNKNOWN_ABOVE)

TO_BINARY = bytes(255 if value > _UNKNOWN_ABOVE else 0 for value in range(256))
"""Table for `bytes.translate`: 255 for each value that the engine treats as damage, else 0."""

INVERT = bytes(range(255, -1, -1))
"""Table for `bytes.translate`: transparent becomes damaged."""


class Rect(NamedTuple):
    """A rectangle in GIMP's geometry: x to the right, y downwards, in pixels."""

    x: int
    y: int
    width: int
    height: int

    def grown(self, margin_px: int, limits: Rect) -> Rect:
        """The rectangle with a margin on all sides, cut at `limits`."""
        return Rect(
            self.x - margin_px,
            self.y - margin_px,
            self.width + 2 * margin_px,
            self.height + 2 * margin_px,
        ).cut(limits)

    def cut(self, limits: Rect) -> Rect:
        """The part inside `limits`; its width or height is 0 if there is none."""
        x, y = max(self.x, limits.x), max(self.y, limits.y)
        right = min(self.x + self.width, limits.x + limits.width)
        bottom = min(self.y + self.height, limits.y + limits.height)
        return Rect(x, y, max(0, right - x), max(0, bottom - y))

    def moved(self, x: int, y: int) -> Rect:
        """The rectangle, moved to the right by `x` and down by `y`."""
        return self._replace(x=self.x + x, y=self.y + y)

    def touches(self, limits: Rect) -> bool:
        """Whether a side lies on a side of `limits`, which contains the rectangle."""
        return (
            self.x == limits.x
            or self.y == limits.y
            or self.x + self.width == limits.x + limits.width
            or self.y + self.height == limits.y + limits.height
        )

    @property
    def area(self) -> int:
        return self.width * self.height


def bounds(mask: bytes, width: int) -> Rect | None:
    """The smallest rectangle around the values that are not 0; None if all are 0."""
    top = (len(mask) - len(mask.lstrip(b"\0"))) // width
    end = len(mask.rstrip(b"\0"))
    if end == 0:
        return None
    bottom = (end - 1) // width + 1
    columns = any_of(_rows(mask, width, top, bottom))
    left, right = width - len(columns.lstrip(b"\0")), len(columns.rstrip(b"\0"))
    return Rect(left, top, right - left, bottom - top)


def any_of(parts: Iterable[bytes]) -> bytes:
    """The bits that any of some masks of one length has."""
    parts = list(parts)
    return reduce(or_, (int.from_bytes(part, "big") for part in parts)).to_bytes(
        len(parts[0]), "big"
    )


def known_pixels(mask: bytes) -> int:
    """The number of pixels that the network can learn from."""
    return mask.translate(TO_BINARY).count(0)


def damaged_pixels(mask: bytes) -> int:
    """The number of pixels that are to be restored."""
    return len(mask) - known_pixels(mask)


def context_px(mask: bytes, width: int, at_edge: bool) -> int:
    """The margin around the damage that the engine uses, at most.

    The engine measures the thickness of the damage. This is an upper bound of it: a disc inside the
    damage cannot be wider than the longest run of damaged pixels in any row. Damage `at_edge` of
    the photograph counts twice, because it may continue beyond the edge.
    """
    binary = mask.translate(TO_BINARY)
    box = bounds(binary, width)
    if box is None:
        return 0
    longest = _longest_run(_rows(binary, width, box.y, box.y + box.height))
    thickness = min(longest, box.width, box.height) + 1
    if at_edge:
        thickness *= 2
    return hole_context_px(thickness) + 2 * BLOCK_PX


def _longest_run(rows: Iterable[bytes]) -> int:
    """The largest number of damaged pixels side by side in any row of a binary mask."""
    longest, longer = 0, b"\xff"
    for row in rows:
        while (start := row.find(longer)) >= 0:
            row = row[start:]
            end = row.find(b"\0")
            longest = len(row) if end < 0 else end
            longer = b"\xff" * (longest + 1)
    return longest


def is_opaque_outside(alpha: bytes, mask: bytes) -> bool:
    """Whether every known pixel is opaque."""
    either = int.from_bytes(alpha, "big") | int.from_bytes(mask.translate(TO_BINARY), "big")
    return either == (1 << (8 * len(alpha))) - 1


def intersection(one: bytes, other: bytes) -> bytes:
    """The damage that two binary masks share."""
    both = int.from_bytes(one, "big") & int.from_bytes(other, "big")
    return both.to_bytes(len(one), "big")


def crop(mask: bytes, width: int, part: Rect) -> bytes:
    """The values inside a rectangle."""
    return b"".join(
        row[part.x : part.x + part.width]
        for row in _rows(mask, width, part.y, part.y + part.height)
    )


def pad(mask: bytes, box: Rect, outer: Rect) -> bytes:
    """Extend the mask of `box` with zeros to `outer`, which contains it."""
    left = bytes(box.x - outer.x)
    right = bytes(outer.width - box.width - len(left))
    above = bytes(outer.width * (box.y - outer.y))
    below = bytes(outer.area - len(above) - outer.width * box.height)
    rows = _rows(mask, box.width, 0, box.height)
    return b"".join((above, *(left + row + right for row in rows), below))


def _rows(mask: bytes, width: int, top: int, bottom: int) -> list[bytes]:
    return [mask[start : start + width] for start in range(top * width, bottom * width, width)]
