"""Small PNG files with headers of any size, for tests of limits."""

from __future__ import annotations

import struct
import zlib


def png_claiming(width: int, height: int, *, data: bytes = bytes(1000)) -> bytes:
    """A PNG file of 8-bit RGB whose header claims a size that its data do not have."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
