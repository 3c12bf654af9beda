"""Small PNG files with headers of any size, for tests of limits."""

from __future__ import annotations

import struct
import zlib


def png_claiming(
    width: int,
    height: int,
    *,
    data: bytes = bytes(1000),
    compressed: bytes | None = None,
    depth: int = 8,
    colours: int = 2,
) -> bytes:
    """A PNG file whose header claims a size that its data need not have; by default RGB."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    packed = zlib.compress(data) if compressed is None else compressed
    body = chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
