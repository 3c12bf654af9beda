"""Where a photo is damaged, how certain that is, and which kind of damage it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dip.errors import InputError, SettingError
from dip.image_io import read_photo
from dip.image_io.vips import image_of
from dip.notes import Note
from dip.regions.rules import DAMAGE_KINDS, DEFAULT_SENSITIVITY, lowest_marked_level

KINDS = SPECKS, SCRATCHES, CREASES = tuple(DAMAGE_KINDS)
BRIGHT, DARK = "bright", "dark"
CODES = {
    (kind, polarity): code
    for kind, codes in DAMAGE_KINDS.items()
    for polarity, code in zip((BRIGHT, DARK), codes, strict=True)
}
"""The values of `DamageMap.kind`; 0 is no damage."""

NAMES = (*KINDS, *(f"{polarity}-{kind}" for kind in KINDS for polarity in (BRIGHT, DARK)))
"""The names of kinds: each of the three, and each narrowed to one polarity."""

_TOUCHING = np.ones((3, 3), bool)


@dataclass(frozen=True, kw_only=True)
class DamageMap:
    """The damage that was found in a photo.

    Parameters
    ----------
    level : (H, W) uint8 array
        The certainty: 0 is no damage, 255 the most certain. A pixel is marked where
        `level >= 256 - round(255 * sensitivity)`.
    kind : (H, W) uint8 array
        See `CODES`; 0 where `level` is 0.
    notes : tuple of Note
        Messages for the user about the way the damage was found.
    """

    level: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    notes: tuple[Note, ...] = ()

    def mask(
        self,
        sensitivity: float = DEFAULT_SENSITIVITY,
        kinds: Iterable[str] = KINDS,
        largest: int | None = None,
    ) -> NDArray[np.bool_]:
        """Mark the damage.

        Parameters
        ----------
        sensitivity : float
            0 marks nothing, 1 everything that was found.
        kinds : iterable of str
            Some of `NAMES`.
        largest : int, optional
            Marks whose bounding box has a longer side, in px, are left out.

        Returns
        -------
        (H, W) bool array

        Raises
        ------
        SettingError
            The sensitivity is not in [0, 1], a kind is unknown, or `largest` is below 1.
        """
        marked = self.level >= threshold(sensitivity)
        codes = codes_of(kinds)
        if len(codes) < len(CODES):
            marked &= np.isin(np.arange(256), codes)[self.kind]
        if largest is not None:
            if largest < 1:
                raise SettingError(f"The largest size is {largest} px.", "It must be 1 or more.")
            marked = _without_larger(marked, largest)
        return marked

    def count(
        self,
        sensitivity: float = DEFAULT_SENSITIVITY,
        kinds: Iterable[str] = KINDS,
        largest: int | None = None,
    ) -> int:
        """The number of separate marks in `mask` with the same arguments."""
        return int(ndimage.label(self.mask(sensitivity, kinds, largest), _TOUCHING)[1])

    def to_png(self) -> bytes:
        """Encode as an RGB PNG: red is the level, green the kind, blue 0."""
        # The bands are joined while they are written: no picture of three bands is in memory.
        level, kind = (image_of(band) for band in (self.level, self.kind))
        joined = level.bandjoin([kind, 0]).copy(interpretation="srgb")
        return bytes(joined.pngsave_buffer(compression=6, filter="up"))

    @classmethod
    def from_png(cls, data: bytes) -> DamageMap:
        """Decode the result of `to_png`.

        Raises
        ------
        InputError
            The picture is no map of damage.
        """
        pixels = read_photo(data, name="map of damage").pixels
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise InputError("The picture is no map of damage.", "Find the damage again.")
        return cls(
            level=np.ascontiguousarray(pixels[:, :, 0]), kind=np.ascontiguousarray(pixels[:, :, 1])
        )


def threshold(sensitivity: float) -> int:
    """The lowest level that is marked, 1 to 256.

    Raises
    ------
    SettingError
        The sensitivity is not in [0, 1].
    """
    if not 0 <= sensitivity <= 1:
        raise SettingError(f"The sensitivity is {sensitivity}.", "It must be from 0 to 1.")
    return lowest_marked_level(sensitivity)


def codes_of(kinds: Iterable[str]) -> list[int]:
    """The codes of kinds.

    Raises
    ------
    SettingError
        A kind is unknown.
    """
    codes = set()
    for name in kinds:
        if name not in NAMES:
            raise SettingError(
                f"There is no kind of damage {name!r}.", f"Choose from {', '.join(NAMES)}."
            )
        codes |= {
            code for (kind, polarity), code in CODES.items() if name in (kind, f"{polarity}-{kind}")
        }
    return sorted(codes)


def _without_larger(marked: NDArray[np.bool_], largest: int) -> NDArray[np.bool_]:
    labels, count = ndimage.label(marked, _TOUCHING)
    keep = np.zeros(count + 1, bool)
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        keep[number] = max(rows.stop - rows.start, columns.stop - columns.start) <= largest
    kept: NDArray[np.bool_] = keep[labels]
    return kept
