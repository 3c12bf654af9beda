"""Damage as plain bytes, one a pixel, row-first: 255 = restore this. No GIMP, no numpy.

Only what runs at the speed of `bytes` is used: a loop over the pixels of a photo takes minutes.
"""

from __future__ import annotations

from typing import NamedTuple

FEWEST_KNOWN = 64
"""A fit needs at least this many known pixels."""

_THIN_CONTEXT_PX = 48
_HOLE_CONTEXT = 4.5
_BLOCK_PX = 16
"""How far the engine looks around damage; see `dip.regions.region`. Less would cost quality."""

_NOISE = 16
"""Coverage up to this counts as none, see `dip.regions.mask`."""

CLEARLY = bytes(0 if value <= _NOISE else 255 for value in range(256))
"""For `bytes.translate`: all or nothing."""

INVERTED = bytes(range(255, -1, -1))
"""For `bytes.translate`: transparent becomes damaged."""


class Rect(NamedTuple):
    """A rectangle, as GIMP counts: x to the right, y downwards."""

    x: int
    y: int
    width: int
    height: int

    def grown(self, margin_px: int, limits: Rect) -> Rect:
        """Larger by a margin on all sides, cut at `limits`."""
        return Rect(
            self.x - margin_px,
            self.y - margin_px,
            self.width + 2 * margin_px,
            self.height + 2 * margin_px,
        ).cut(limits)

    def cut(self, limits: Rect) -> Rect:
        """What is inside `limits`; of zero width or height where that is nothing."""
        x, y = max(self.x, limits.x), max(self.y, limits.y)
        right = min(self.x + self.width, limits.x + limits.width)
        bottom = min(self.y + self.height, limits.y + limits.height)
        return Rect(x, y, max(0, right - x), max(0, bottom - y))

    def touches(self, limits: Rect) -> bool:
        """Whether a side lies on one of `limits`, inside of which it is."""
        return (
            self.x == limits.x
            or self.y == limits.y
            or self.x + self.width == limits.x + limits.width
            or self.y + self.height == limits.y + limits.height
        )

    @property
    def area(self) -> int:
        return self.width * self.height


def bounds(damage: bytes, width: int) -> Rect | None:
    """The smallest rectangle around what is not 0; None where all is."""
    top = (len(damage) - len(damage.lstrip(b"\0"))) // width
    end = len(damage.rstrip(b"\0"))
    if end == 0:
        return None
    bottom = (end - 1) // width + 1
    left, right = width, 0
    for row in _rows(damage, width, top, bottom):
        left = min(left, width - len(row.lstrip(b"\0")))
        right = max(right, len(row.rstrip(b"\0")))
    return Rect(left, top, right - left, bottom - top)


def known_pixels(damage: bytes) -> int:
    """How many pixels are left for the network to learn from."""
    return damage.translate(CLEARLY).count(0)


def damaged_pixels(damage: bytes) -> int:
    return len(damage) - known_pixels(damage)


def context_px(damage: bytes, width: int, at_edge: bool) -> int:
    """How far around the damage the engine will look, at most.

    A hole is filled from far around, 4.5 times its thickness. No disc fits into damage that is
    wider than the longest run in any of its rows; but damage `at_edge` of the photo goes on beyond
    it, for all that is known.
    """
    marked = damage.translate(CLEARLY)
    box = bounds(marked, width)
    if box is None:
        return 0
    longest = max(
        max(map(len, row.split(b"\0"))) for row in _rows(marked, width, box.y, box.y + box.height)
    )
    thickness = min(longest, box.width, box.height) + 1
    if at_edge:
        thickness *= 2
    return max(_THIN_CONTEXT_PX, round(_HOLE_CONTEXT * thickness)) + 2 * _BLOCK_PX


def opaque_outside(alpha: bytes, unknown: bytes) -> bool:
    """Whether everything that can be learnt from is opaque."""
    either = int.from_bytes(alpha, "big") | int.from_bytes(unknown.translate(CLEARLY), "big")
    return either == (1 << (8 * len(alpha))) - 1


def crop(damage: bytes, width: int, part: Rect) -> bytes:
    """The pixels of a rectangle."""
    return b"".join(
        row[part.x : part.x + part.width]
        for row in _rows(damage, width, part.y, part.y + part.height)
    )


def _rows(damage: bytes, width: int, top: int, bottom: int) -> list[bytes]:
    return [damage[start : start + width] for start in range(top * width, bottom * width, width)]
