"""Image files: the only package that reads or writes them.

PNG, TIFF, JPEG and WebP through libvips, which keeps 16-bit and float samples as they are; Pillow
only for EXIF. A file is known by its first bytes, never by its name, and its size is checked
before anything is decoded. Samples are never converted between colour spaces: the profile, EXIF,
XMP, IPTC and resolution of a photo go with its pixels into what is written for it. A photo that
its camera marked as turned is turned upright, and loses the mark.

`photo.py` has the words, `formats.py` what each format is known by and can hold, `reading.py`,
`masks.py` and `writing.py` the ways in and out, `metadata.py` and `tags.py` what goes with the
pixels, `replacing.py` how a file is replaced at once or not at all, `vips.py` the library itself.
"""

from dip.image_io.masks import decode_mask, read_mask
from dip.image_io.photo import DEFAULT_LIMITS, Header, Limits, Metadata, Photo
from dip.image_io.reading import decode_photo, read_header, read_photo
from dip.image_io.replacing import write_file
from dip.image_io.writing import check_writable, encode_photo, write_photo, write_pixels

__all__ = [
    "DEFAULT_LIMITS",
    "Header",
    "Limits",
    "Metadata",
    "Photo",
    "check_writable",
    "decode_mask",
    "decode_photo",
    "encode_photo",
    "read_header",
    "read_mask",
    "read_photo",
    "write_file",
    "write_photo",
    "write_pixels",
]
