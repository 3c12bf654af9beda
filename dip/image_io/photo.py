"""A photo, what goes with its pixels, and how large it may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is refused before it is decoded.

    Parameters
    ----------
    pixels : int
        Width × height.
    bytes : int
        Of the file.
    """

    pixels: int = 200_000_000
    bytes: int = 2 * 2**30


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file says of itself before it is decoded.

    Parameters
    ----------
    format : str
        'png', 'tiff', 'jpeg' or 'webp'.
    width, height : int
        px, as stored: before an orientation mark is obeyed.
    has_alpha : bool
    """

    format: str
    width: int
    height: int
    has_alpha: bool


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What goes with the pixels of a photo; None for what it does not have.

    Parameters
    ----------
    icc, xmp, iptc : bytes, optional
    exif : bytes, optional
        A TIFF structure, as in the file, without the orientation.
    resolution : tuple of float, optional
        (horizontal, vertical), px/mm.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    resolution: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A decoded photo.

    Parameters
    ----------
    pixels : ndarray
        (H, W) or (H, W, C), C from 2 to 4, upright; uint8, uint16 or float32.
    format : str
        Of the file it came from.
    metadata : Metadata
    """

    pixels: Array
    format: str
    metadata: Metadata


def has_alpha(pixels: Array) -> bool:
    """Whether the last channel is alpha: it is the second or the fourth."""
    return pixels.ndim == 3 and pixels.shape[2] in (2, 4)
