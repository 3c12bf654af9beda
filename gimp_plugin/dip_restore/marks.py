"""The damage that the service has found, as plain bytes: marks at a sensitivity. No GIMP, no numpy.

As in `masks.py`, only operations that run at the speed of `bytes` touch every pixel.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import masks
from dip_rules import lowest_marked_level
from masks import Rect


@dataclass(frozen=True)
class Levels:
    """The damage that was found in a photograph, for every sensitivity.

    Parameters
    ----------
    width, height : int
    level : bytes
        One byte per pixel: 0 is no damage, 255 the most certain.
    kind : bytes
        One code per pixel, as in `dip_rules.DAMAGE_KINDS`; 0 is no damage.
    """

    width: int
    height: int
    level: bytes
    kind: bytes

    @property
    def whole(self) -> Rect:
        return Rect(0, 0, self.width, self.height)

    def only(self, codes: Iterable[int]) -> bytes:
        """The levels of some kinds."""
        wanted = set(codes)
        table = bytes(255 if code in wanted else 0 for code in range(256))
        return masks.intersection(self.level, self.kind.translate(table))

    def without(self, hidden: bytes) -> Levels:
        """The levels where a binary mask is 0."""
        return Levels(
            self.width,
            self.height,
            masks.intersection(self.level, hidden.translate(masks.INVERT)),
            self.kind,
        )


def marked(level: bytes, sensitivity: float) -> bytes:
    """A binary mask: 255 where the level is certain enough for a sensitivity of 0 to 1."""
    lowest = lowest_marked_level(sensitivity)
    return level.translate(bytes(255 if value >= lowest else 0 for value in range(256)))


def share(mask: bytes) -> float:
    """The share of a binary mask that is marked."""
    return 1 - mask.count(0) / len(mask)


def boxes(mask: bytes, width: int) -> list[Rect]:
    """The box around each mark: connected pixels, diagonals included."""
    return [_box(runs) for runs in _marks(mask, width)]


def without_larger(mask: bytes, width: int, largest_px: int) -> bytes:
    """The mask without the marks whose longer side is longer than this."""
    kept = bytearray(mask)
    for runs in _marks(mask, width):
        box = _box(runs)
        if max(box.width, box.height) > largest_px:
            for row, start, end in runs:
                kept[row * width + start : row * width + end] = bytes(end - start)
    return bytes(kept)


def reduced(mask: bytes, width: int, factor: int) -> tuple[bytes, int]:
    """A binary mask in which a pixel stands for a square, marked if any of its pixels is.

    Returns
    -------
    bytes, int
        The smaller mask and its width; a part of a square at an edge counts as one.
    """
    if factor == 1:
        return mask, width
    band = factor * width
    rows = []
    for start in range(0, len(mask), band):
        tops = range(start, min(start + band, len(mask)), width)
        row = masks.any_of(mask[top : top + width] for top in tops) + bytes(-width % factor)
        rows.append(masks.any_of(row[shift::factor] for shift in range(factor)))
    return b"".join(rows), -(-width // factor)


Run = tuple[int, int, int]
"""Marked pixels side by side: their row, the first column, the column behind the last."""


def _box(runs: list[Run]) -> Rect:
    left, top = min(start for _, start, _ in runs), min(row for row, _, _ in runs)
    right, bottom = max(end for _, _, end in runs), max(row for row, _, _ in runs) + 1
    return Rect(left, top, right - left, bottom - top)


def _marks(mask: bytes, width: int) -> list[list[Run]]:
    """The runs of each mark: runs of neighbouring rows belong together where they touch."""
    runs = _runs(mask, width)
    parents = list(range(len(runs)))

    def root(number: int) -> int:
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    above = 0  # the first run above that may touch this one
    for number, (row, start, end) in enumerate(runs):
        while runs[above][0] < row - 1 or (runs[above][0] == row - 1 and runs[above][2] < start):
            above += 1
        other = above
        while runs[other][0] == row - 1 and runs[other][1] <= end:
            parents[root(other)] = root(number)
            other += 1
    found: dict[int, list[Run]] = {}
    for number, run in enumerate(runs):
        found.setdefault(root(number), []).append(run)
    return list(found.values())


def _runs(mask: bytes, width: int) -> list[Run]:
    runs = []
    start = mask.find(b"\xff")
    while start >= 0:
        end = mask.find(b"\0", start)
        row, column = divmod(start, width)
        # A run may go on in the next row.
        stop = min(len(mask) if end < 0 else end, (row + 1) * width)
        runs.append((row, column, column + stop - start))
        start = mask.find(b"\xff", stop)
    return runs
