"""The infrared plane that a film scanner writes beside the colours.

Dust is dark in it, the dyes of most films are clear. Scanner programs store it as

- a fourth sample that is not alpha (VueScan's RGBI; ExtraSamples 0, or none at all);
- a further full-size gray page of a TIFF (SilverFast's HDRi; NewSubfileType 4, or 0), not always
  the second: a thumbnail may stand between;
- a sub-image of the page (DNG);
- a file of its own, named `photo_IR.tif` beside `photo.tif`.
"""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pyvips
from PIL.ExifTags import Base as Tag

from dip.image_io.decoding import decoding
from dip.image_io.formats import format_of
from dip.image_io.photo import DEFAULT_LIMITS, Array, Limits, Photo
from dip.image_io.reading import read_photo
from dip.image_io.tiff import find_pages, is_reduced
from dip.image_io.tiff_structure import Directory
from dip.image_io.vips import FAILURES
from dip.infrared_names import ENDINGS

_MASK = 4  # of NewSubfileType


def find_infrared(
    source: Path | str | bytes,
    photo: Photo,
    limits: Limits = DEFAULT_LIMITS,
    page: int | None = None,
) -> Array | None:
    """Look for the infrared plane of a photo in its file and beside it.

    Parameters
    ----------
    source : path or bytes
        The photo's file; beside the content of one, nothing is looked for.
    photo : Photo
        As `read_photo` reads it.
    limits : Limits
    page : int, optional
        The page of a TIFF file that is the photo; see `read_photo`.

    Returns
    -------
    (H, W) array or None
        Unsigned integers of full scale, or floats.

    Raises
    ------
    InputError
        A file of the name of an infrared plane cannot be read.
    """
    if photo.extra is not None:
        return photo.extra[:, :, 0]
    if photo.format == "tiff":
        found = _in_tiff(source, photo.pixels.shape, limits, page)
        if found is not None:
            return found
    if isinstance(source, bytes):
        return None
    path = Path(source)
    for name in ENDINGS:
        beside = path.with_name(f"{path.stem}{name}{path.suffix}")
        if beside != path and beside.exists():
            return read_infrared(beside, limits)
    return None


def read_infrared(source: Path | str | bytes, limits: Limits = DEFAULT_LIMITS) -> Array:
    """Read an infrared plane from a file of its own: gray, or one of equal channels.

    Raises
    ------
    InputError
        As for `read_photo`.
    """
    pixels = read_photo(source, limits).pixels
    return pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[:, :, 0])


def _in_tiff(
    source: Path | str | bytes, shape: tuple[int, ...], limits: Limits, page: int | None
) -> Array | None:
    """A gray page, or a gray sub-image of the photo's page, of the size of the photo."""
    format_of(source if isinstance(source, bytes) else Path(source), limits)
    with BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        pages = find_pages(file, page)
        layout, chain = pages.layout, pages.chain

        def is_plane(directory: Directory) -> bool:
            numbers = [
                (layout.numbers(file, directory.entries, tag) or [1])[0]
                for tag in (Tag.ImageLength, Tag.ImageWidth, Tag.SamplesPerPixel)
            ]
            # An orientation mark may have turned the photo.
            same_size = numbers[:2] in (list(shape[:2]), list(shape[1::-1]))
            subfile = (layout.numbers(file, directory.entries, Tag.NewSubfileType) or [0])[0]
            if len(shape) == 2 and not subfile & _MASK:
                return False  # another gray picture
            return same_size and numbers[2] == 1 and not is_reduced(file, layout, directory)

        further = [at for at, each in enumerate(chain) if at != pages.page and is_plane(each)]
        children = layout.numbers(file, chain[pages.page].entries, Tag.SubIFDs)
        nested = [
            at for at, each in enumerate(children) if is_plane(layout.read_directory(file, each))
        ]
    if further:
        return read_photo(source, limits, page=further[0]).pixels
    if nested:
        return _sub_image(source, pages.page, nested[0], limits)
    return None


def _sub_image(source: Path | str | bytes, page: int, number: int, limits: Limits) -> Array | None:
    options = {"page": page, "subifd": number, "access": "sequential", "fail_on": "error"}
    try:
        if isinstance(source, bytes):
            image = pyvips.Image.tiffload_buffer(source, **options)
        else:
            image = pyvips.Image.tiffload(os.fsencode(source), **options)
        with decoding(image, limits):
            plane: Array = image.numpy()
    except FAILURES:
        return None  # libtiff reads no such sub-image; the photo itself is not affected
    return plane if plane.ndim == 2 else np.ascontiguousarray(plane[:, :, 0])
