"""A photo, its metadata, its header, and limits of its size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from dip.notes import Note

Array = NDArray[Any]
Piece = tuple[bytes, bytes]
"""Name and content of a chunk or a segment of a file."""


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
    """The metadata of a photo, for a photo that stands upright; missing parts are None.

    Parameters
    ----------
    form : str
        The format of its file.
    icc, xmp, iptc : bytes, optional
    photoshop : bytes, optional
        Photoshop's resources, without IPTC and thumbnails.
    exif : bytes, optional
        A TIFF structure.
    resolution : tuple of float, optional
        (horizontal, vertical), px/mm.
    cicp : bytes, optional
        Primaries, transfer, matrix and range of the samples, as in a PNG chunk cICP.
    pieces : tuple of (bytes, bytes)
        All chunks or segments of a PNG, JPEG or WebP file, for a result of the same format.
    container : object, optional
        A TIFF file without its pixels, for a result that is a TIFF file: `tiff.Container`.
    own : tuple of str
        Names of the things that no other format can hold.
    notes : tuple of Note
        Things that no result can hold, and the reason.
    """

    form: str = ""
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    photoshop: bytes | None = None
    resolution: tuple[float, float] | None = None
    cicp: bytes | None = None
    pieces: tuple[Piece, ...] = ()
    container: object = None
    own: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def carried_bytes(self) -> int:
        """The size of all that a result of the same format carries beside the pixels."""
        pieces = self.pieces or getattr(self.container, "pieces", ())
        return sum(len(data) for _, data in pieces)


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
    extra : ndarray, optional
        (H, W, C): samples of a TIFF file that are neither colour nor alpha, such as infrared.
    """

    pixels: Array
    format: str
    metadata: Metadata
    extra: Array | None = None


def has_alpha(pixels: Array) -> bool:
    """Whether the last channel is alpha, that is, the second or the fourth."""
    return pixels.ndim == 3 and pixels.shape[2] in (2, 4)
