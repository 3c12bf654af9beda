"""A photo, its metadata, its header, and limits of its size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of an image file, checked before decoding.

    Parameters
    ----------
    pixels : int
        Largest width × height.
    bytes : int
        Largest file size.
    memory : int
        Largest memory that decoding may take, bytes.
    bytes_beside_each_pixel : int
        Memory that the caller needs beside the decoded picture; it counts for `memory`.
    """

    pixels: int = 200_000_000
    bytes: int = 2 * 2**30
    memory: int = 1_500_000_000
    bytes_beside_each_pixel: int = 0


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, kw_only=True)
class Header:
    """The header of an image file, read without decoding.

    Parameters
    ----------
    format : str
        'png', 'tiff', 'jpeg' or 'webp'.
    width, height : int
        px, as stored: before an orientation mark is applied.
    has_alpha : bool
    """

    format: str
    width: int
    height: int
    has_alpha: bool


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The metadata of a photo; missing parts are None.

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
        Format of its file.
    metadata : Metadata
    """

    pixels: Array
    format: str
    metadata: Metadata


def has_alpha(pixels: Array) -> bool:
    """Whether the last channel is alpha, that is, the second or the fourth."""
    return pixels.ndim == 3 and pixels.shape[2] in (2, 4)
