"""Formats that are read, not written: JPEG 2000, HEIC, AVIF, and rare compressions of TIFF.

libvips reads AVIF. The others need packages that `pip install '.[formats]'` adds: imagecodecs
(OpenJPEG, Zstandard, JPEG XL) and pillow-heif (HEVC). They decode in one piece.

References
----------
JPEG 2000 boxes: ISO/IEC 15444-1, annex I.
"""

from __future__ import annotations

import io
import logging
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from dip.errors import DipError, InputError
from dip.image_io.blocks import Blocks
from dip.image_io.photo import Array, Metadata
from dip.image_io.tiff import Pages
from dip.image_io.tiff_structure import exif_orientation
from dip.image_io.vips import FAILURES, SAMPLES, black, image_of, load_by_vips
from dip.notes import Note

Source = Path | bytes
"""A file, or its content."""
Opened = tuple[Any, Callable[[], Any]]
"""An image of libvips with the size, the samples and the fields of a file; and its decoder."""

_RARE = {
    33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000",
    34887: "LERC", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL",
}  # fmt: skip
"""Compressions of TIFF that libvips does not read."""
logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it describes damage line by line
_UUIDS = {
    b"JpgTiffExif->JP2": "exif",
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): "xmp",
    bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38"): "iptc",
}
_FIELDS = {"exif-data": "exif", "xmp-data": "xmp", "icc-profile-data": "icc"}
_LIKE_SRGB = [(a, b) for a in (b"\1", b"\2") for b in (b"\1", b"\2", b"\6", b"\r")]
"""Primaries and transfer of ITU-T H.273 that mean sRGB to readers, or are unspecified."""
_SAVE_ANEW = "Save it with 8 or 16 bit, in gray or RGB."
_STRUCTURE = (b"jP  ", b"ftyp", b"ihdr", b"jp2c", b"bpcc", b"pclr", b"cmap", b"cdef")


def is_rare(compression: int) -> bool:
    """Whether libvips does not read a TIFF file with this compression."""
    return compression in _RARE


@contextmanager
def _refused(name: str) -> Iterator[None]:
    """Turn any error of a decoder outside of libvips into InputError."""
    try:
        yield
    except (DipError, MemoryError):
        raise
    except Exception as error:  # on damaged files, these libraries raise errors of any kind
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(
            f"{name} cannot be decoded: it is damaged ({reason}).", "Save it anew as TIFF."
        ) from error


def open_rare_tiff(source: Source, pages: Pages) -> Opened:
    """Open the page of a TIFF file."""
    name = f"The TIFF file is compressed with {_RARE[pages.compression]}."
    _module("imagecodecs", name, "Save it with the compression Deflate or LZW")
    from tifffile import TiffFile

    with _refused("The TIFF file"), TiffFile(_source(source)) as file:
        page = file.pages[pages.page].aspage()
        if page.photometric not in (1, 2):
            raise InputError(f"{name} Its colours are neither gray nor RGB.", "Convert it to RGB.")
        dtype = np.dtype(page.dtype)
        if page.bitspersample != 8 * dtype.itemsize:
            raise InputError(f"{name} Its samples have {page.bitspersample} bit.", _SAVE_ANEW)
        header = _header(page.imagelength, page.imagewidth, page.samplesperpixel, dtype)
        orientation = page.tags.get(274)
    turn(header, int(orientation.value) if orientation else 1)

    def decode() -> Any:
        with _refused("The TIFF file"), TiffFile(_source(source)) as file:
            page = file.pages[pages.page].aspage()
            samples = page.asarray()
            return image_of(np.moveaxis(samples, 0, 2) if page.axes.startswith("S") else samples)

    return header, decode


def open_jpeg_2000(source: Source) -> Opened:
    """Open a JPEG 2000 file."""
    name = "The JPEG 2000 file"
    codecs = _module("imagecodecs", "This is a JPEG 2000 file.", "Save it as TIFF")
    data = source if isinstance(source, bytes) else source.read_bytes()
    with _refused(name):
        height, width, bands, bits = _size(data)
    header = _header(height, width, bands, np.dtype("u1" if bits <= 8 else "u2"))
    for kind, block in _boxes(data):
        if kind == b"colr" and (colours := _colours(block)) is not None:
            raise InputError(f"{name} has the colours {colours}.", "Convert it to RGB or gray.")
        if kind == b"uuid" and _UUIDS.get(block[:16]) == "exif":
            turn(header, exif_orientation(block[16:]))

    def decode() -> Any:
        with _refused(name):
            return image_of(_full_scale(codecs.jpeg2k_decode(data), bits))

    return header, decode


def open_heif(source: Source) -> Opened:
    """Open an AVIF or HEIC file."""
    header = load_by_vips(source, "heif")

    def decode() -> Any:
        if header.get("heif-compression") != "hevc" or _decodes(header):
            return header
        heif = _module("pillow_heif", "This is a HEIC file.", "Save it as TIFF or PNG")
        with _refused("The HEIC file"):
            return image_of(np.asarray(heif.open_heif(_source(source), convert_hdr_to_8bit=False)))

    return header, decode


def heif_metadata(image: Any, data: bytes) -> Metadata:
    """The blocks that libvips finds in an AVIF or HEIC file, which it turns upright itself."""
    blocks = Blocks(orientation=1)
    for name, kind in _FIELDS.items():
        if image.get_typeof(name):
            blocks.found[kind] = image.get(name)
    if "exif" in blocks.found:
        blocks.exif(blocks.found.pop("exif"))
    colours = re.search(rb"colrnclx\0(.)\0(.)", data, re.S)
    if colours and "icc" not in blocks.found and (colours[1], colours[2]) not in _LIKE_SRGB:
        blocks.found["cicp"] = colours[1] + colours[2] + b"\0\1"  # RGB of full range
    own: list[str] = [Note("heif_images")] if image.get("n-pages") > 1 else []
    for found in re.finditer(rb"auxC\0...(urn:[ -~]+)\0", data, re.S):
        kind = found[1].decode("ascii")
        if not kind.endswith((":alpha", ":auxid:1")):
            own.append(Note("heif_picture", kind=kind.removeprefix("urn:")))
    return blocks.metadata("heif", own=own)


def jpeg_2000_metadata(data: bytes, orientation: int) -> Metadata:
    """The blocks in the boxes of a JPEG 2000 file."""
    blocks = Blocks(orientation)
    own: list[str] = []
    if (bits := _size(data)[3]) not in (8, 16):
        blocks.notes.append(Note("bits", bits=bits, stored=8 if bits < 8 else 16))
    for name, block in _boxes(data):
        kind = _UUIDS.get(block[:16]) if name == b"uuid" else None
        if name == b"colr":
            if block[:1] == b"\2":
                blocks.found["icc"] = block[3:]
        elif kind == "exif":
            blocks.exif(block[16:])
        elif kind is not None:
            blocks.found[kind] = block[16:]
        elif name == b"res ":
            own.append(Note("jp2_resolution"))
        elif name not in _STRUCTURE:
            own.append(f"JPEG 2000 {name.decode('latin-1').strip()}")
    return blocks.metadata("jp2", own=own)


def _size(data: bytes) -> tuple[int, int, int, int]:
    """Height, width, channels and bits of a JPEG 2000 file."""
    # The segment SIZ follows the mark of the codestream.
    right, bottom, left, top, *_, bands, depth = struct.unpack(
        ">8IHB", data[data.index(b"\xffO\xffQ") + 8 :][:35]
    )
    return bottom - top, right - left, bands, (depth & 0x7F) + 1


def _colours(colr: bytes) -> str | None:
    """The name of the colours of JPEG 2000, if they are neither RGB nor gray."""
    if colr[:1] == b"\2":
        space = colr[19:23]
        return None if space in (b"RGB ", b"GRAY") else space.decode("latin-1").strip()
    number = int.from_bytes(colr[3:7], "big")
    return None if number in (16, 17, 18) else {12: "CMYK", 14: "Lab"}.get(number, str(number))


def _full_scale(samples: Array, bits: int) -> Array:
    """Samples of 1 to 16 bit, such as 12, as samples of 8 or 16 bit."""
    full = np.iinfo(samples.dtype).max
    if bits in (8, 16) or samples.dtype.kind != "u":
        return samples
    most = 2**bits - 1
    return ((samples.astype(np.uint32) * full + most // 2) // most).astype(samples.dtype)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0 if data[4:8] == b"jP  " else len(data)  # a bare codestream has none
    while at + 8 <= len(data):
        size, name, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        end = at + size if size else len(data)
        if end <= at or name == b"jp2c":
            at = end if end > at else len(data)
            continue
        if name == b"jp2h":
            at += head  # its boxes are looked through as well
            continue
        yield name, data[at + head : end]
        at = end


def _decodes(image: Any) -> bool:
    try:
        image.crop(0, 0, 1, 1).avg()
    except FAILURES:
        return False
    return True


def _module(name: str, seen: str, otherwise: str) -> Any:
    """A package of the extra `formats`, or InputError."""
    try:
        return import_module(name)
    except ImportError:
        raise InputError(
            f"{seen} To read it, the package {name} is missing.",
            f"{otherwise}, or install the package: pip install '.[formats]'.",
        ) from None


def _source(source: Source) -> Path | io.BytesIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source


def _header(height: int, width: int, bands: int, dtype: Any) -> Any:
    if dtype not in SAMPLES.values() or min(height, width, bands) < 1:
        raise InputError(f"The image has {bands} channels of {dtype}.", _SAVE_ANEW)
    return black(height, width, bands, dtype)


def turn(image: Any, orientation: int) -> None:
    """Set the orientation mark of an image."""
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
