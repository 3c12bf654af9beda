"""WebP files: the chunks around the pixels.

References
----------
WebP Container Specification, https://developers.google.com/speed/webp/docs/riff_container.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import IO

from dip.image_io.blocks import Blocks
from dip.image_io.photo import Array, Metadata, Piece
from dip.image_io.tiff_structure import Layout, exif_block, resolution_entries
from dip.notes import Note

_OF_PIXELS = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
_FLAGS = {b"ICCP": 0x20, b"EXIF": 0x08, b"XMP ": 0x04}
_ALPHA = 0x10


def read(file: IO[bytes], orientation: int) -> Metadata:
    """The chunks of a file, and the blocks in them, for a photo that is turned upright."""
    pieces: list[Piece] = []
    blocks = Blocks(orientation)
    for name, data in _chunks(file):
        if name == b"ICCP":
            blocks.found["icc"] = data
        elif name == b"EXIF":
            data = blocks.exif(data)
        elif name == b"XMP ":
            data = blocks.xmp(data)
        elif name == b"ANMF":
            blocks.notes.append(Note("frames_removed"))
        pieces.append((name, data))
    return blocks.metadata("webp", pieces, _own_names(pieces))


def plan(metadata: Metadata, pixels: Array) -> tuple[list[Piece], list[str]]:
    """The chunks around the pixels of a result, and the names of the blocks that are lost."""
    if metadata.form == "webp":
        return [piece for piece in metadata.pieces if piece[0] not in _OF_PIXELS], []
    lost: list[str] = []
    icc, exif = metadata.icc, metadata.exif
    if icc and icc[16:20] == b"GRAY":
        icc = None
        lost.append(Note("profile_gray"))
    if metadata.iptc:
        lost.append(Note("iptc"))
    if metadata.photoshop:
        lost.append(Note("photoshop"))
    if exif is None and metadata.resolution:
        layout = Layout("<", False)
        exif = exif_block(resolution_entries(layout, metadata.resolution), layout, io.BytesIO())
    blocks = ((b"ICCP", icc), (b"EXIF", exif), (b"XMP ", metadata.xmp))
    return [(name, block) for name, block in blocks if block], lost


def wrap(encoded: IO[bytes], out: IO[bytes], pieces: list[Piece]) -> None:
    """Write an encoded WebP with other chunks around its pixels."""
    pixels, size, has_alpha = [], (0, 0), False
    for name, data in _chunks(encoded):
        if name == b"VP8L":
            bits = int.from_bytes(data[1:5], "little")
            size, has_alpha = (bits & 0x3FFF, bits >> 14 & 0x3FFF), bool(bits >> 28 & 1)
            pixels.append((name, data))
    if not pixels:
        raise ValueError("libwebp wrote no lossless picture")
    flags = sum(flag for name, flag in _FLAGS.items() if any(name == each for each, _ in pieces))
    profile = [piece for piece in pieces if piece[0] == b"ICCP"]
    rest = [piece for piece in pieces if piece[0] != b"ICCP"]
    head = struct.pack("<BxxxI", flags | _ALPHA * has_alpha, size[0])[:7]
    head += struct.pack("<I", size[1])[:3]
    chunks = [(b"VP8X", head), *profile, *pixels, *rest] if pieces else pixels
    total = 4 + sum(8 + len(data) + len(data) % 2 for _, data in chunks)
    out.write(b"RIFF" + struct.pack("<I", total) + b"WEBP")
    for name, data in chunks:
        out.write(name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2))


def _own_names(pieces: list[Piece]) -> list[str]:
    """The names of the chunks that no other format can hold."""
    names = {name.decode("latin-1") for name, _ in pieces}
    shared = {name.decode() for name in (*_OF_PIXELS, *_FLAGS)}
    return [f"WebP {name.strip()}" for name in sorted(names - shared)]


def _chunks(file: IO[bytes]) -> Iterator[Piece]:
    file.seek(12)
    while len(head := file.read(8)) == 8:
        size = int.from_bytes(head[4:], "little")
        yield head[:4], file.read(size)
        file.seek(size % 2, 1)
