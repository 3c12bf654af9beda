"""Formats that are read, not written: JPEG 2000, HEIC, AVIF, and rare compressions of TIFF.

libvips reads AVIF. The others need packages that `pip install '.[formats]'` adds: imagecodecs
(OpenJPEG, Zstandard, JPEG XL) and pillow-heif (HEVC). They decode in one piece, so the size is
checked before.

References
----------
JPEG 2000 boxes: ISO/IEC 15444-1, annex I.
"""

from __future__ import annotations

import io
import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyvips

from dip.errors import DipError, InputError
from dip.image_io.blocks import Blocks
from dip.image_io.decoding import decoded_bytes, decoding, refuse_large, refuse_pixels
from dip.image_io.photo import Limits, Metadata
from dip.image_io.tiff import Pages
from dip.image_io.tiff_structure import exif_orientation
from dip.image_io.vips import FAILURES, load_by_vips

_RARE = {
    33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000",
    34887: "LERC", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL",
}  # fmt: skip
"""Compressions of TIFF that libvips does not read."""
logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it describes damage line by line
_SAMPLES = {np.dtype("uint8"): "uchar", np.dtype("uint16"): "ushort", np.dtype("float32"): "float"}
_UUIDS = {
    b"JpgTiffExif->JP2": "exif",
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): "xmp",
    bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38"): "iptc",
}
_FIELDS = {"exif-data": "exif", "xmp-data": "xmp", "icc-profile-data": "icc"}
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


def load_rare_tiff(file: IO[bytes], pages: Pages, limits: Limits, *, decode: bool) -> Any:
    """Decode the page of a TIFF file; an image of libvips."""
    name = f"The TIFF file is compressed with {_RARE[pages.compression]}."
    _module("imagecodecs", name, "Save it with the compression Deflate or LZW")
    import tifffile

    with _refused("The TIFF file"), tifffile.TiffFile(file) as opened:
        found = opened.pages[pages.page].aspage()
        if found.photometric not in (1, 2):
            raise InputError(f"{name} Its colours are neither gray nor RGB.", "Convert it to RGB.")
        size = (found.imagelength, found.imagewidth, found.samplesperpixel)
        header = _black(*size, found.dtype, name, limits)
        if not decode:
            return header
        with decoding(header, limits):
            samples = found.asarray()
        if found.axes.startswith("S"):  # planes
            samples = np.moveaxis(samples, 0, 2)
        orientation = found.tags.get(274)
    image = _image(samples, name)
    image.set_type(
        pyvips.GValue.gint_type, "orientation", int(orientation.value) if orientation else 1
    )
    return image


def load_jpeg_2000(file: IO[bytes], limits: Limits, *, decode: bool) -> Any:
    """Decode a JPEG 2000 file; an image of libvips."""
    codecs = _module("imagecodecs", "This is a JPEG 2000 file.", "Save it as TIFF")
    data = file.read()
    with _refused("The JPEG 2000 file"):
        # The segment SIZ follows the mark of the codestream.
        right, bottom, left, top, *_, bands, depth = struct.unpack(
            ">8IHB", data[data.index(b"\xffO\xffQ") + 8 :][:35]
        )
        dtype = np.dtype(np.uint8 if depth < 8 else np.uint16)
        image = _black(bottom - top, right - left, bands, dtype, "The JPEG 2000 file.", limits)
        if decode:
            with decoding(image, limits):
                samples = codecs.jpeg2k_decode(data)
            image = _image(samples, "The JPEG 2000 file.")
    exif = [block[16:] for name, block in _boxes(data) if (name, _kind(block)) == (b"uuid", "exif")]
    image.set_type(pyvips.GValue.gint_type, "orientation", exif_orientation(exif[0]) if exif else 1)
    return image


def load_heif(photo: Path | bytes, limits: Limits, *, decode: bool) -> Any:
    """Open an AVIF or HEIC file; an image of libvips."""
    image = load_by_vips(photo, "heif")
    refuse_large(image, "heif", limits, decoded_bytes(image))
    if not decode or image.get("heif-compression") != "hevc" or _decodes(image):
        return image
    heif = _module("pillow_heif", "This is a HEIC file.", "Save it as TIFF or PNG")
    with _refused("The HEIC file"), decoding(image, limits):
        source = io.BytesIO(photo) if isinstance(photo, bytes) else photo
        decoded = _image(np.asarray(heif.open_heif(source, convert_hdr_to_8bit=False)), "The HEIC")
    for name in _FIELDS:
        if image.get_typeof(name):
            decoded.set_type(pyvips.GValue.blob_type, name, image.get(name))
    decoded.set_type(pyvips.GValue.gint_type, "n-pages", image.get("n-pages"))
    return decoded


def heif_metadata(image: Any) -> Metadata:
    """The blocks that libvips finds in an AVIF or HEIC file, which it turns upright itself."""
    blocks = Blocks(orientation=1)
    for name, kind in _FIELDS.items():
        if image.get_typeof(name):
            blocks.found[kind] = image.get(name)
    if "exif" in blocks.found:
        blocks.exif(blocks.found.pop("exif"))
    own = ("further images of the HEIF file",) if image.get("n-pages") > 1 else ()
    return blocks.metadata("heif", own=own)


def jpeg_2000_metadata(file: IO[bytes], orientation: int) -> Metadata:
    """The blocks in the boxes of a JPEG 2000 file."""
    blocks, own = Blocks(orientation), []
    for name, data in _boxes(file.read()):
        kind = _kind(data) if name == b"uuid" else None
        if name == b"colr":
            if data[:1] == b"\2":
                blocks.found["icc"] = data[3:]
        elif kind == "exif":
            blocks.exif(data[16:])
        elif kind is not None:
            blocks.found[kind] = data[16:]
        elif name == b"res ":
            own.append("the resolution in the JPEG 2000 file")
        elif name not in _STRUCTURE:
            own.append(f"JPEG 2000 {name.decode('latin-1').strip()}")
    return blocks.metadata("jp2", own=own)


def _kind(data: bytes) -> str | None:
    """The kind of block in a box named uuid."""
    return _UUIDS.get(data[:16])


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


def _black(height: int, width: int, bands: int, dtype: Any, name: str, limits: Limits) -> Any:
    """An image of libvips that stands for one which is not decoded yet; its size is checked."""
    refuse_pixels(width, height, limits)
    if dtype not in _SAMPLES or min(height, width, bands) < 1:
        raise InputError(f"{name} The samples are {dtype}.", "Save it with 8 or 16 bit.")
    image = pyvips.Image.black(width, height, bands=bands).cast(_SAMPLES[dtype])
    image = image.copy(interpretation=_interpretation(image))
    refuse_large(image, "in one piece", limits, decoded_bytes(image))
    return image


def _image(samples: Any, name: str) -> Any:
    if samples.ndim not in (2, 3) or samples.dtype not in _SAMPLES:
        raise InputError(f"{name} The samples are {samples.dtype} of {samples.ndim} axes.")
    image = pyvips.Image.new_from_array(np.ascontiguousarray(samples))
    return image.copy(interpretation=_interpretation(image))


def _interpretation(image: Any) -> str:
    gray, deep = image.bands <= 2, image.format == "ushort"
    kinds = {(True, False): "b-w", (True, True): "grey16", (False, False): "srgb"}
    return kinds.get((gray, deep), "rgb16")
