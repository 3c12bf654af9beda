"""Blocks that several formats share: profiles, XMP, Photoshop's resources with IPTC.

References
----------
Adobe Photoshop File Formats Specification, "Image Resources Section"; IPTC-NAA IIM 4.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyvips

from dip.image_io.photo import Metadata, Piece
from dip.image_io.tiff_structure import upright
from dip.image_io.vips import FAILURES
from dip.notes import Note

_IPTC = 0x0404
_THUMBNAILS = (0x0409, 0x040C)


class Blocks:
    """The blocks of a file that all formats know, for a photo that is turned upright.

    Parameters
    ----------
    orientation : int
        The mark of the file, from 1.

    Attributes
    ----------
    found : dict
        Fields of `Metadata`.
    notes : list of Note
    is_transposed : bool
        Whether rows became columns.
    """

    def __init__(self, orientation: int) -> None:
        self._is_turned, self.is_transposed = orientation != 1, orientation >= 5
        self.found: dict[str, Any] = {}
        self.notes: list[Note] = []

    def exif(self, block: bytes) -> bytes:
        """Take an EXIF block; return it without orientation and thumbnail."""
        block = block.removeprefix(b"Exif\0\0")
        block, had_thumbnail = upright(block, transposed=self.is_transposed)
        if had_thumbnail:
            self.notes.append(Note("exif_thumbnail_removed"))
        return self.found.setdefault("exif", block)

    def xmp(self, block: bytes) -> bytes:
        """Take XMP; return it in as many bytes with orientation 1, and without thumbnails."""
        if self._is_turned:
            pattern = rb"(<tiff:Orientation>\s*|tiff:Orientation=[\"'])[2-8]"
            block = re.sub(pattern, rb"\g<1>1", block)
        self.found["xmp"] = re.sub(
            rb"<xmp:Thumbnails>.*?</xmp:Thumbnails>",
            lambda found: b" " * len(found[0]),
            block,
            flags=re.S,
        )
        return self.found["xmp"]

    def metadata(
        self, form: str, pieces: Sequence[Piece] = (), own: Iterable[str] = ()
    ) -> Metadata:
        """All that was found in a file of some pieces."""
        return Metadata(
            form=form,
            pieces=tuple(pieces),
            own=tuple(dict.fromkeys(own)),
            notes=tuple(dict.fromkeys(self.notes)),
            **self.found,
        )


def png_profile(icc: bytes, *, gray: bool) -> tuple[bytes | None, Note | None]:
    """A profile that libpng accepts, and a note if it is not the given one.

    libpng refuses profiles whose size differs from the size in their header, and those of other
    colours than the picture's. A profile that is too long is cut.
    """
    if _is_accepted(icc, gray=gray):
        return icc, None
    size = int.from_bytes(icc[:4], "big")
    if 128 <= size < len(icc) and _is_accepted(icc[:size], gray=gray):
        return icc[:size], Note("profile_cut", bytes=len(icc) - size)
    is_of_others = icc[16:20] == (b"RGB " if gray else b"GRAY")
    return None, Note("profile_of_other_colours" if is_of_others else "profile_damaged")


def _is_accepted(icc: bytes, *, gray: bool) -> bool:
    pixel = pyvips.Image.black(1, 1, bands=1 if gray else 3)
    pixel = pixel.copy(interpretation="b-w" if gray else "srgb")
    pixel.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    try:
        data = pixel.pngsave_buffer()
    except FAILURES:
        return False
    return b"iCCP" in data


def split_photoshop(data: bytes) -> dict[str, bytes]:
    """Photoshop's resources without thumbnails ('photoshop'), and the IPTC block ('iptc')."""
    kept, found = b"", {}
    for number, whole, content in _resources(data):
        if number == _IPTC:
            found["iptc"] = content
        elif number not in _THUMBNAILS:
            kept += whole
    return found | ({"photoshop": kept} if kept else {})


def without_thumbnails(data: bytes) -> bytes:
    """Photoshop's resources without thumbnails; the same bytes if there are none."""
    return b"".join(whole for number, whole, _ in _resources(data) if number not in _THUMBNAILS)


def join_photoshop(resources: bytes | None, iptc: bytes | None) -> bytes:
    """Photoshop's resources with an IPTC block."""
    if iptc is None:
        return resources or b""
    padding = bytes(len(iptc) % 2)
    return b"8BIM" + struct.pack(">HHI", _IPTC, 0, len(iptc)) + iptc + padding + (resources or b"")


def _resources(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number, all bytes, and content of each resource; bytes of no resource have the number -1."""
    at = 0
    while at + 12 <= len(data) and data[at : at + 4] in (b"8BIM", b"AgHg", b"DCSR", b"PHUT"):
        number = int.from_bytes(data[at + 4 : at + 6], "big")
        name = 1 + data[at + 6]
        start = at + 6 + name + name % 2
        size = int.from_bytes(data[start : start + 4], "big")
        end = start + 4 + size + size % 2
        if start + 4 + size > len(data):
            break
        yield number, data[at:end].ljust(end - at, b"\0"), data[start + 4 : start + 4 + size]
        at = end
    if data[at:].strip(b"\0"):
        yield -1, data[at:], b""
