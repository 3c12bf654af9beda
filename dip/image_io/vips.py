"""libvips: its set-up, its images, and the messages of its errors."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from dip.image_io.photo import Array

logging.getLogger("pyvips").setLevel(logging.CRITICAL)  # warnings of libraries about unusual tags
pyvips.cache_set_max(0)  # no file is opened twice, and a cache would keep files open

FAILURES = (pyvips.Error, UnicodeDecodeError)
"""Errors of libvips; the second occurs when its message quotes bytes of a name or file."""

SAMPLES: dict[str, np.dtype[Any]] = {
    "uchar": np.dtype("uint8"),
    "ushort": np.dtype("uint16"),
    "float": np.dtype("float32"),
}
_COLOURS = {"uchar": "srgb", "ushort": "rgb16", "float": "scrgb"}
_GRAY = {"uchar": "b-w", "ushort": "grey16", "float": "b-w"}


def message_of(error: pyvips.Error | UnicodeDecodeError) -> str:
    """The message of the library, with one or more lines."""
    if isinstance(error, UnicodeDecodeError):
        pyvips.vips_lib.vips_error_clear()  # otherwise each later error begins with the same bytes
        return bytes(error.object).decode(errors="replace")
    return str(error.detail)


def load_by_vips(photo: Path | bytes, form: str, **options: Any) -> Any:
    """An image of libvips, which decodes rows on demand; no other format than `form` is tried."""
    if isinstance(photo, bytes):
        return pyvips.Operation.call(f"{form}load_buffer", photo, **options)
    return pyvips.Operation.call(f"{form}load", os.fsencode(photo), **options)


def image_of(pixels: Array) -> Any:
    """An image of libvips in the memory of an array, (H, W) or (H, W, C).

    The bytes of the samples stay as they are, also those of a foreign order.
    """
    native = pixels.dtype.newbyteorder("=")
    return _interpreted(pyvips.Image.new_from_array(np.ascontiguousarray(pixels).view(native)))


def black(height: int, width: int, bands: int, dtype: np.dtype[Any]) -> Any:
    """A black image of libvips, which takes no memory."""
    (form,) = (name for name, each in SAMPLES.items() if each == dtype)
    return _interpreted(pyvips.Image.black(width, height, bands=bands).cast(form))


def field(image: Any, name: str) -> int:
    """A whole number in the header of an image; 0 without it."""
    return int(image.get(name)) if image.get_typeof(name) else 0


def orientation_of(image: Any) -> int:
    """The orientation mark of an image: Exif 2.3, tag 0x0112; 1 without one."""
    return field(image, "orientation") or 1


def _interpreted(image: Any) -> Any:
    names = _GRAY if image.bands <= 2 else _COLOURS
    return image.copy(interpretation=names[image.format])
