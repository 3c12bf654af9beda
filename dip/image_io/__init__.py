"""Image files: the only package that reads or writes them.

libvips decodes and encodes the pixels, at 8 and 16 bit and as floats. The first bytes of a file
identify its format, never its name, and its size is checked before decoding. Samples are never
converted between colour spaces. A photo with an orientation mark is turned upright.

A result is a copy of its photo's file with other pixels: the chunks, segments, tags and pages
around them keep their bytes. Only parts that would be wrong are changed: orientation marks, and
thumbnails that show the damage. In another format the blocks that all formats know (EXIF, XMP,
IPTC, profile, resolution) are carried over; `losses` names the rest before the work.

`photo.py` defines photos, headers and limits; `formats.py` the formats and their samples;
`reading.py`, `masks.py` and `writing.py` read and write files; `decoding.py` decodes within a
memory limit; `metadata.py` chooses between `png.py`, `jpeg.py`, `webp.py`, `tiff.py` and
`tiff_writing.py`, which know the containers; `tiff_structure.py` is the structure of TIFF files and
EXIF blocks, `infrared.py` finds the infrared plane of a film scanner, `blocks.py` that of the
other blocks; `replacing.py` replaces files atomically; `further_formats.py` reads JPEG 2000, HEIC,
AVIF and rare TIFF files; `vips.py` sets up libvips.
"""

from dip.image_io.decoding import decoding
from dip.image_io.infrared import find_infrared, read_infrared
from dip.image_io.masks import read_mask
from dip.image_io.metadata import losses
from dip.image_io.photo import DEFAULT_LIMITS, Header, Limits, Metadata, Photo
from dip.image_io.reading import (
    damaged,
    open_photo,
    photo_pages,
    read_header,
    read_photo,
)
from dip.image_io.replacing import write_file
from dip.image_io.vips import FAILURES
from dip.image_io.writing import (
    check_writable,
    encode_photo,
    plain_tiff,
    write_elsewhere,
    write_photo,
    write_pixels,
    write_result,
)

__all__ = [
    "DEFAULT_LIMITS",
    "FAILURES",
    "Header",
    "Limits",
    "Metadata",
    "Photo",
    "check_writable",
    "damaged",
    "decoding",
    "encode_photo",
    "find_infrared",
    "losses",
    "open_photo",
    "photo_pages",
    "plain_tiff",
    "read_header",
    "read_infrared",
    "read_mask",
    "read_photo",
    "write_elsewhere",
    "write_file",
    "write_photo",
    "write_pixels",
    "write_result",
]
