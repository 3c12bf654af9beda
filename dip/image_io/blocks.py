"""Blocks that several formats share: profiles, XMP, Photoshop's resources with IPTC.

References
----------
Adobe Photoshop File Formats Specification, "Image Resources Section"; IPTC-NAA IIM 4.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import pyvips

from dip.image_io.vips import FAILURES

_IPTC = 0x0404
_THUMBNAILS = (0x0409, 0x040C)


def png_profile(icc: bytes, *, gray: bool) -> tuple[bytes | None, str | None]:
    """A profile that libpng accepts, and a note if it is not the given one.

    libpng refuses profiles whose size differs from the size in their header, and those of other
    colours than the picture's. A profile that is too long is cut.
    """
    if _is_accepted(icc, gray=gray):
        return icc, None
    size = int.from_bytes(icc[:4], "big")
    if 128 <= size < len(icc) and _is_accepted(icc[:size], gray=gray):
        seen = f"the colour profile is {len(icc) - size} bytes too long and was cut to its own size"
        return icc[:size], seen
    reason = "of other colours" if icc[16:20] == (b"RGB " if gray else b"GRAY") else "damaged"
    return None, f"the colour profile ({reason}: PNG refuses it)"


def _is_accepted(icc: bytes, *, gray: bool) -> bool:
    pixel = pyvips.Image.black(1, 1, bands=1 if gray else 3)
    pixel = pixel.copy(interpretation="b-w" if gray else "srgb")
    pixel.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    try:
        data = pixel.pngsave_buffer()
    except FAILURES:
        return False
    return b"iCCP" in data


def upright_xmp(xmp: bytes, *, turned: bool) -> bytes:
    """XMP of an upright photo, in as many bytes: orientation 1 if turned, no thumbnails."""
    if turned:
        pattern = rb"(<tiff:Orientation>\s*|tiff:Orientation=[\"'])[2-8]"
        xmp = re.sub(pattern, rb"\g<1>1", xmp)
    return re.sub(
        rb"<xmp:Thumbnails>.*?</xmp:Thumbnails>",
        lambda found: b" " * len(found[0]),
        xmp,
        flags=re.S,
    )


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
