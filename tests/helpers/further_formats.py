"""Files in formats that dip reads and does not write, with EXIF data."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pillow_heif
from PIL import Image

EXIF = b"II*\0\x08\0\0\0\x01\0\x0e\x01\2\0\5\0\0\0\x1a\0\0\0\0\0\0\0\xc4rt!\0"

Pixels = npt.NDArray[Any]


def box(name: bytes, data: bytes) -> bytes:
    """A box of a JPEG 2000 file."""
    return (8 + len(data)).to_bytes(4, "big") + name + data


def jpeg_2000(pixels: Pixels) -> bytes:
    data = imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, codecformat="JP2")
    return bytes(data) + box(b"uuid", b"JpgTiffExif->JP2" + EXIF)


def heif(form: str, **options: Any) -> Callable[[Pixels], bytes]:
    def encode(pixels: Pixels) -> bytes:
        pillow_heif.register_heif_opener()
        file = io.BytesIO()
        with Image.fromarray(np.asarray(pixels)) as image:
            image.save(file, form, exif=b"Exif\0\0" + EXIF, quality=100, **options)
        return file.getvalue()

    return encode


FURTHER = {"jp2": jpeg_2000, "heic": heif("HEIF"), "avif": heif("AVIF")}
"""Encoders of (H, W, 3) uint8, by the ending of file names."""
