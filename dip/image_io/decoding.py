"""Decoding within a memory limit: predicted from the header, and enforced by the system.

libvips decodes most files row by row. The exceptions hold a whole picture beside the result, and
were measured with files of 16 megapixels: interlaced PNG (1.0 times the decoded size), progressive
JPEG (coefficients of 16 bit: 2.0 times), WebP (8 bytes per pixel), tiled TIFF (2.7 rows of tiles).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyvips

from dip.errors import ImageTooLarge
from dip.image_io.photo import Array, Limits
from dip.image_io.vips import FAILURES, SAMPLES, field, message_of, orientation_of
from dip.machine.memory import limited_growth

_ORIENTATIONS = {
    2: (False, 1, -1), 3: (False, -1, -1), 4: (False, -1, 1),
    5: (True, 1, 1), 6: (True, -1, 1), 7: (True, -1, -1), 8: (True, 1, -1),
}  # fmt: skip
"""Whether rows are columns, and the directions of rows and columns: Exif 2.3, tag 0x0112."""
_ROWS = 32
_SPARE_BYTES = 200_000_000
"""For libraries, threads and rows in transit, beside the predicted memory."""


def decoded_bytes(image: Any) -> int:
    """Size of the samples of an image of libvips."""
    size: int = image.width * image.height * image.bands * SAMPLES[image.format].itemsize
    return size


def loader_bytes(image: Any, form: str) -> int:
    """Memory that libvips needs to decode a file beside the result; see this module."""
    if form == "webp":
        return 8 * int(image.width * image.height)
    if form == "in one piece":  # OpenJPEG keeps 32 bit for each sample, tifffile the tiles
        return 4 * int(image.width * image.height * image.bands)
    if form == "heif":  # planes of YCbCr, 4:2:0, beside all rows of RGB
        return 3 * decoded_bytes(image) // 2
    if form == "png" and field(image, "interlaced"):
        return decoded_bytes(image)
    if form == "jpeg" and field(image, "jpeg-multiscan"):
        return 2 * decoded_bytes(image)
    if form == "tiff" and (tile_height := field(image, "tile-height")):
        return 3 * decoded_bytes(image) // image.height * min(tile_height, image.height)
    return 0


def refuse_pixels(width: int, height: int, limits: Limits) -> None:
    """Raise ImageTooLarge where an image has more pixels than the limits allow."""
    if width * height > limits.pixels:
        raise ImageTooLarge(
            f"The image has {width}×{height} px, {width * height / 1e6:.0f} megapixels; the limit "
            f"is {limits.pixels / 1e6:.0f}.",
            "Cut out the part around the damage.",
        )


def refuse_large(image: Any, form: str, limits: Limits, kept_bytes: int) -> None:
    """Raise ImageTooLarge where decoding needs more memory than the limits allow.

    Parameters
    ----------
    image : pyvips.Image
        Opened, not decoded.
    form : str
    limits : Limits
    kept_bytes : int
        Size of the result of decoding.
    """
    needed = loader_bytes(image, form) + kept_bytes
    needed += limits.bytes_beside_each_pixel * image.width * image.height
    if needed > limits.memory:
        raise _too_large(image, f"needs {needed / 1e9:.1f} GB of memory", limits)


@contextmanager
def decoding(image: Any, limits: Limits) -> Iterator[None]:
    """Let the system refuse memory above the limits; turn its refusal into ImageTooLarge."""
    try:
        with limited_growth(limits.memory + _SPARE_BYTES):
            yield
    except MemoryError as error:
        raise _too_large(image, "needs more memory", limits) from error
    except FAILURES as error:
        if "out of memory" not in message_of(error):
            raise
        raise _too_large(image, "needs more memory", limits) from error


def upright_pixels(image: Any) -> Array:
    """Decode an image; (H, W, bands), upright.

    A turned image is decoded a few rows at a time into an array that stands upright: the decoded
    picture is in memory once.
    """
    orientation, dtype = orientation_of(image), SAMPLES[image.format]
    if orientation == 1:
        # pyvips returns a scalar for a single gray pixel.
        return np.asarray(image.numpy()).reshape(image.height, image.width, image.bands)
    size = (image.height, image.width) if orientation < 5 else (image.width, image.height)
    upright = np.empty((*size, image.bands), dtype)
    stored = _as_stored(upright, orientation)
    region = pyvips.Region.new(image)
    for top in range(0, image.height, _ROWS):
        rows = min(_ROWS, image.height - top)
        data = np.frombuffer(region.fetch(0, top, image.width, rows), dtype)
        stored[top : top + rows] = data.reshape(rows, image.width, image.bands)
    return upright


def _as_stored(upright: Array, orientation: int) -> Array:
    """A view of an upright array with the rows of the file."""
    is_transposed, row_step, column_step = _ORIENTATIONS[orientation]
    view = upright.swapaxes(0, 1) if is_transposed else upright
    return view[::row_step, ::column_step]


def _too_large(image: Any, needs: str, limits: Limits) -> ImageTooLarge:
    return ImageTooLarge(
        f"The image has {image.width}×{image.height} px with {image.bands} channels of "
        f"{8 * SAMPLES[image.format].itemsize} bit: decoding it {needs}; the limit is "
        f"{limits.memory / 1e9:.1f} GB.",
        "Cut out the part around the damage, or save it with 8 bit and without alpha.",
    )
