"""PNG files: the chunks around the pixels.

References
----------
Portable Network Graphics (PNG) Specification, third edition, W3C, 2025. "Raw profile type" texts
are ImageMagick's; ExifTool and exiv2 read them.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from typing import IO

from dip.file_signatures import PNG_SIGNATURE
from dip.image_io.blocks import Blocks, join_photoshop, png_profile, split_photoshop
from dip.image_io.photo import Array, Metadata, Piece
from dip.notes import Note

_XMP = b"XML:com.adobe.xmp\0"
_RAW = b"Raw profile type "
_LARGEST_BLOCK = 64 * 2**20  # of a compressed chunk, once inflated
_OF_PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"hIST")
_OF_SAMPLES = (b"sBIT", b"bKGD")
_OF_FRAMES = (b"acTL", b"fcTL", b"fdAT")
_KNOWN = (
    b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"mDCV", b"mDCv", b"cLLI", b"cLLi", b"pHYs",
    b"tIME", b"sPLT", b"eXIf", b"oFFs", b"pCAL", b"sCAL", b"sTER", b"gIFg", b"gIFx",
    *_OF_SAMPLES, *_OF_FRAMES,
)  # fmt: skip


def read(file: IO[bytes], orientation: int) -> Metadata:
    """The chunks of a file, and the blocks in them, for a photo that is turned upright."""
    pieces: list[Piece] = []
    blocks = Blocks(orientation)
    for name, data in _chunks(file):
        if name == b"iCCP":
            blocks.found["icc"] = _inflate(data[data.index(b"\0") + 2 :])
        elif name == b"eXIf":
            data = blocks.exif(data)
        elif name == b"iTXt" and data.startswith(_XMP):
            xmp = _international_text(data[len(_XMP) :])
            if blocks.xmp(xmp) != xmp:
                data = _XMP + bytes(4) + blocks.found["xmp"]
        elif name in (b"tEXt", b"zTXt") and data.startswith(_RAW):
            blocks.found |= _raw_profile(name, data)
        elif name == b"pHYs" and len(data) == 9:
            x, y, unit = struct.unpack(">IIB", data)
            if blocks.is_transposed:
                x, y = y, x
                data = struct.pack(">IIB", x, y, unit)
            if unit == 1 and x and y:
                blocks.found["resolution"] = x / 1000, y / 1000
        pieces.append((name, data))
    return blocks.metadata("png", pieces, _own_names(pieces))


def plan(metadata: Metadata, pixels: Array) -> tuple[list[Piece], list[str]]:
    """The chunks around the pixels of a result, and the names of those that are lost."""
    gray = pixels.ndim == 2 or pixels.shape[2] <= 2
    if metadata.form == "png":
        return _kept(metadata, pixels)
    pieces: list[Piece] = []
    lost: list[str] = []
    if metadata.cicp:
        pieces.append((b"cICP", metadata.cicp))
    if metadata.icc:
        icc, note = png_profile(metadata.icc, gray=gray)
        if note:
            lost.append(note)
        if icc:
            pieces.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)))
    if metadata.resolution:
        dots = [round(1000 * each) for each in metadata.resolution]
        if 0 < min(dots) <= max(dots) < 2**31:
            pieces.append((b"pHYs", struct.pack(">IIB", *dots, 1)))
        else:
            lost.append(Note("resolution"))
    if metadata.exif:
        pieces.append((b"eXIf", metadata.exif))
    if metadata.xmp:
        pieces.append((b"iTXt", _XMP + bytes(4) + metadata.xmp))
    if metadata.iptc or metadata.photoshop:
        profile = join_photoshop(metadata.photoshop, metadata.iptc)
        lines = re.sub(b"(.{72})", rb"\1\n", profile.hex().encode())
        text = b"\niptc\n%8d\n%s\n" % (len(profile), lines)
        pieces.append((b"zTXt", _RAW + b"iptc\0\0" + zlib.compress(text)))
    return pieces, lost


def _kept(metadata: Metadata, pixels: Array) -> tuple[list[Piece], list[str]]:
    """The chunks of a PNG that stay around other pixels."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    header = struct.pack(
        ">IIBB", pixels.shape[1], pixels.shape[0], 8 * pixels.itemsize, (0, 0, 4, 2, 6)[channels]
    )
    before = next((data for name, data in metadata.pieces if name == b"IHDR"), b"")
    pieces: list[Piece] = []
    lost: list[str] = []
    for name, data in metadata.pieces:
        is_unsafe = name not in _KNOWN and not name[3] & 0x20
        if name == b"IDAT":
            pieces.append((name, b""))  # a mark: chunks after it stay after the pixels
        elif name in _OF_PIXELS:
            pass
        elif name in _OF_SAMPLES and before[8:10] != header[8:10]:
            lost.append(f"PNG {name.decode()}")
        elif name in _OF_FRAMES and before[:10] != header:
            lost.append(Note("frames"))
        elif is_unsafe:
            lost.append(Note("unsafe_chunk", name=name.decode("latin-1")))
        else:
            pieces.append((name, data))
    return pieces, sorted(set(lost))


def wrap(encoded: IO[bytes], out: IO[bytes], pieces: list[Piece]) -> None:
    """Write an encoded PNG with other chunks around its pixels."""
    out.write(PNG_SIGNATURE)
    before, after = pieces, []
    marks = [at for at, (name, _) in enumerate(pieces) if name == b"IDAT"]
    if marks:
        before, after = pieces[: marks[0]], pieces[marks[-1] :]
    encoded.seek(len(PNG_SIGNATURE))
    while head := encoded.read(8):
        size, name = int.from_bytes(head[:4], "big"), head[4:]
        data = encoded.read(size + 4)[:size]
        if name == b"IEND":
            _write(out, after)
        if name in (b"IHDR", b"IDAT", b"IEND"):
            _write(out, [(name, data)])
        if name == b"IHDR":
            _write(out, before)


def _write(out: IO[bytes], pieces: list[Piece]) -> None:
    for name, data in pieces:
        if name == b"IDAT" and not data:
            continue
        out.write(struct.pack(">I", len(data)) + name + data)
        out.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(name))))


def _own_names(pieces: list[Piece]) -> list[str]:
    """The names of the chunks that no other format can hold."""
    names = []
    shared = (*_OF_PIXELS, b"iCCP", b"eXIf", b"pHYs")
    for name, data in pieces:
        keyword = data.split(b"\0", 1)[0].decode("latin-1")
        if name in shared or keyword == _XMP[:-1].decode() or keyword.startswith(_RAW.decode()):
            continue
        is_text = name in (b"tEXt", b"zTXt", b"iTXt")
        names.append(f"PNG {keyword}" if is_text else f"PNG {name.decode('latin-1')}")
    return sorted(set(names))


def _chunks(file: IO[bytes]) -> Iterator[Piece]:
    """All chunks; one IDAT without its content for the pixels."""
    file.seek(len(PNG_SIGNATURE))
    while len(head := file.read(8)) == 8:
        size, name = int.from_bytes(head[:4], "big"), head[4:]
        if name == b"IDAT" or (name == b"fdAT" and size > _LARGEST_BLOCK):
            file.seek(size + 4, 1)
            yield name, b""
            continue
        data = file.read(size)
        file.seek(4, 1)
        yield name, data
        if name == b"IEND":
            return


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    content = inflater.decompress(data, _LARGEST_BLOCK)
    if not inflater.eof:
        raise ValueError("a compressed chunk is damaged or too long")
    return content


def _international_text(data: bytes) -> bytes:
    """The text of an iTXt chunk after its keyword."""
    compressed, rest = data[0], data[2:]
    text = rest.split(b"\0", 2)[2]
    return _inflate(text) if compressed else text


def _raw_profile(name: bytes, data: bytes) -> dict[str, bytes]:
    """The blocks of ImageMagick's text with a profile in hexadecimal digits."""
    keyword, text = data.split(b"\0", 1)
    if name == b"zTXt":
        text = _inflate(text[1:])
    kind = keyword[len(_RAW) :]
    if kind not in (b"iptc", b"8bim"):
        return {}
    content = bytes.fromhex(text.split(b"\n", 3)[3].decode("ascii"))
    if not content.startswith(b"8BIM"):
        return {"iptc": content}
    return split_photoshop(content)
