"""JPEG files: the segments around the pixels. Their quality stands in `dip.image_io.formats`.

References
----------
ITU-T T.81; JFIF 1.02; Exif 2.32, CIPA DC-008; XMP Specification Part 3, Adobe, 2020.
"""

from __future__ import annotations

import re
import shutil
import struct
from typing import IO

from dip.image_io.blocks import Blocks, join_photoshop, split_photoshop, without_thumbnails
from dip.image_io.photo import Array, Metadata, Piece
from dip.notes import Note

_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_ICC = b"ICC_PROFILE\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_APP0, _APP1, _APP2, _APP13, _COMMENT = b"\xe0", b"\xe1", b"\xe2", b"\xed", b"\xfe"
_ADOBE = b"\xee"
_LARGEST = 65_533
_JFIF_THUMBNAIL = Note("jfif_thumbnail_removed")
_TRAILER = b"end"
_IN_PIXELS = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")


def read(file: IO[bytes], orientation: int) -> Metadata:
    """The segments of a file, and the blocks in them, for a photo that is turned upright."""
    pieces: list[Piece] = []
    blocks = Blocks(orientation)
    profile: dict[int, bytes] = {}
    photoshop = b""
    has_further_images = False
    for marker, data in _segments(file):
        if marker == _APP0 and data.startswith(b"JFIF\0") and len(data) >= 14:
            unit, x, y = struct.unpack(">BHH", data[7:12])
            if blocks.is_transposed:
                x, y = y, x
            per_mm = {1: 25.4, 2: 10.0}.get(unit)
            if per_mm and x and y:
                blocks.found["resolution"] = x / per_mm, y / per_mm
            if data[12:14] != b"\0\0":
                blocks.notes.append(_JFIF_THUMBNAIL)
            data = data[:7] + struct.pack(">BHH", unit, x, y) + b"\0\0"
        elif marker == _APP0 and data.startswith(b"JFXX\0"):
            blocks.notes.append(_JFIF_THUMBNAIL)
            continue
        elif marker == _APP1 and data.startswith(_EXIF):
            data = _EXIF + blocks.exif(data)
        elif marker == _APP1 and data.startswith(_XMP):
            data = _XMP + blocks.xmp(data[len(_XMP) :])
        elif marker == _APP2 and data.startswith(_ICC) and len(data) > 14:
            profile[data[12]] = data[14:]
        elif marker == _APP2 and data.startswith(b"MPF\0"):
            has_further_images = True
            continue
        elif marker == _APP13 and data.startswith(_PHOTOSHOP):
            photoshop += data[len(_PHOTOSHOP) :]
            if len(data) < _LARGEST:  # else one resource may continue in the next segment
                data = _PHOTOSHOP + without_thumbnails(data[len(_PHOTOSHOP) :])
        elif marker == _TRAILER and has_further_images:
            blocks.notes.append(Note("images_removed", bytes=len(data)))
            continue
        pieces.append((marker, data))
    if profile:
        blocks.found["icc"] = b"".join(profile[number] for number in sorted(profile))
    blocks.found |= split_photoshop(photoshop)
    return blocks.metadata("jpeg", pieces, _own_names(pieces))


def plan(metadata: Metadata, pixels: Array) -> tuple[list[Piece], list[str]]:
    """The segments before the pixels of a result, and the names of the blocks that are lost."""
    if metadata.form == "jpeg":
        return list(metadata.pieces), []
    pieces: list[Piece] = []
    lost: list[str] = []
    unit, x, y = 0, 1, 1
    if metadata.resolution:
        dots = [round(25.4 * each) for each in metadata.resolution]
        if 0 < min(dots) <= max(dots) < 65_536:
            unit, x, y = 1, *dots
        else:
            lost.append(Note("resolution"))
    pieces.append((_APP0, b"JFIF\0\1\1" + struct.pack(">BHHBB", unit, x, y, 0, 0)))
    blocks = (("EXIF", _EXIF, metadata.exif), ("XMP", _XMP, metadata.xmp))
    for name, mark, block in blocks:
        if block and len(mark) + len(block) > _LARGEST:
            lost.append(Note("block_too_long", block=name, kilobytes=round(len(block) / 1000)))
        elif block:
            pieces.append((_APP1, mark + block))
    photoshop = join_photoshop(metadata.photoshop, metadata.iptc)
    pieces += [(_APP13, _PHOTOSHOP + part) for part in _parts(photoshop, len(_PHOTOSHOP))]
    profile = _parts(metadata.icc or b"", len(_ICC) + 2)
    if len(profile) > 255:
        lost.append(Note("profile_too_long"))
    else:
        for number, part in enumerate(profile, 1):
            pieces.append((_APP2, _ICC + bytes([number, len(profile)]) + part))
    return pieces, lost


def wrap(encoded: IO[bytes], out: IO[bytes], pieces: list[Piece]) -> None:
    """Write an encoded JPEG with other segments before its pixels."""
    out.write(b"\xff\xd8")
    for marker, data in pieces:
        if marker != _TRAILER:
            out.write(b"\xff" + marker + struct.pack(">H", len(data) + 2) + data)
    encoded.seek(2)
    while head := encoded.read(4):
        marker, size = head[1:2], int.from_bytes(head[2:4], "big")
        data = encoded.read(size - 2)
        if marker == _COMMENT or (_APP0 <= marker <= b"\xef" and marker != _ADOBE):
            continue
        out.write(head + data)
        if marker == b"\xda":
            break
    shutil.copyfileobj(encoded, out)
    for marker, data in pieces:
        if marker == _TRAILER:
            out.write(data)


def _own_names(pieces: list[Piece]) -> list[str]:
    """The names of the segments that no other format can hold."""
    names: list[str] = []
    shared = (_EXIF, _XMP, _ICC, _PHOTOSHOP, b"JFIF\0")
    for marker, data in pieces:
        if marker == _COMMENT:
            names.append(Note("comment"))
        elif marker == _TRAILER:
            names.append(Note("trailer", count=len(data)))
        elif data.startswith(_MORE_XMP):
            names.append(Note("xmp_extension"))
        elif not data.startswith(shared):
            kind = data[:16].split(b"\0")[0].decode("latin-1")
            names.append(f"JPEG APP{marker[0] - 0xE0} ({kind})")
    return sorted(set(names))


def _parts(data: bytes, head: int) -> list[bytes]:
    """Data in parts that fit into segments."""
    size = _LARGEST - head
    return [data[at : at + size] for at in range(0, len(data), size)]


def _segments(file: IO[bytes]) -> list[Piece]:
    """The application segments and comments, and the bytes after the picture."""
    found: list[Piece] = []
    file.seek(2)
    while head := file.read(2):
        if len(head) < 2 or head[:1] != b"\xff":
            raise ValueError("no segment where one is expected")
        while head[1:] == b"\xff":  # fill bytes
            head = b"\xff" + file.read(1)
        size = int.from_bytes(file.read(2), "big")
        data = file.read(max(0, size - 2))
        marker = head[1:]
        if marker == b"\xda":
            break
        if marker == _COMMENT or (_APP0 <= marker <= b"\xef" and marker != _ADOBE):
            found.append((marker, data))
    rest = file.read()
    at = 0
    while seen := _IN_PIXELS.search(rest, at):
        if seen[1] == b"\xd9":
            if rest[seen.end() :].strip(b"\0"):
                found.append((_TRAILER, rest[seen.end() :]))
            break
        # Tables, or the head of a further scan.
        at = seen.end() + max(2, int.from_bytes(rest[seen.end() : seen.end() + 2], "big"))
    return found
