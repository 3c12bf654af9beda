"""Image files: the only package that reads or writes them.

libvips reads and writes PNG, TIFF, JPEG and WebP, and keeps 16-bit and float samples; Pillow is
used only for EXIF. The first bytes of a file identify its format, never its name, and its size is
checked before decoding. Samples are never converted between colour spaces. The colour profile,
EXIF, XMP, IPTC and resolution of a photo are copied into its result. A photo with an orientation
mark is turned upright, and the mark is removed.

`photo.py` defines photos, headers and limits; `formats.py` the formats and their samples;
`reading.py`, `masks.py` and `writing.py` read and write files; `decoding.py` decodes within a
memory limit; `metadata.py` and `tags.py` copy metadata; `replacing.py` replaces files atomically;
`vips.py` sets up libvips.
"""

from dip.image_io.decoding import decoding
from dip.image_io.masks import decode_mask, read_mask
from dip.image_io.photo import DEFAULT_LIMITS, Header, Limits, Metadata, Photo
from dip.image_io.reading import damaged, decode_photo, open_photo, read_header, read_photo
from dip.image_io.replacing import write_file
from dip.image_io.vips import FAILURES
from dip.image_io.writing import check_writable, encode_photo, write_photo, write_pixels

__all__ = [
    "DEFAULT_LIMITS",
    "FAILURES",
    "Header",
    "Limits",
    "Metadata",
    "Photo",
    "check_writable",
    "damaged",
    "decode_mask",
    "decode_photo",
    "decoding",
    "encode_photo",
    "open_photo",
    "read_header",
    "read_mask",
    "read_photo",
    "write_file",
    "write_photo",
    "write_pixels",
]
