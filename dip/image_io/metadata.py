"""The metadata of a photo: read from its file, and put around the pixels of its result."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import IO, Any

from dip.errors import OutputError
from dip.image_io import jpeg, png, tiff, tiff_writing, webp
from dip.image_io.further_formats import heif_metadata, jpeg_2000_metadata
from dip.image_io.photo import Array, Metadata, Photo
from dip.image_io.tiff import Pages
from dip.image_io.tiff_structure import StructureError, exif_resolution
from dip.notes import Note

_log = logging.getLogger(__name__)

_AROUND_PIXELS = {"png": png, "jpeg": jpeg, "webp": webp}


def read_metadata(
    file: IO[bytes], image: Any, form: str, orientation: int, pages: Pages | None
) -> Metadata:
    """The metadata in a file, for a photo that is turned upright.

    Damaged metadata is left out with a note.
    """
    try:
        if form == "tiff":
            if pages is None or not pages.chain:
                raise StructureError("its directories are damaged")
            return tiff.read(file, orientation, pages)
        if form == "heif":
            metadata = heif_metadata(image, file.read())
        elif form == "jp2":
            metadata = jpeg_2000_metadata(file.read(), orientation)
        else:
            metadata = _AROUND_PIXELS[form].read(file, orientation)
        if metadata.resolution is None and metadata.exif is not None:
            return replace(metadata, resolution=exif_resolution(metadata.exif))
        return metadata
    except Exception as error:  # hostile structures can be wrong in any way; the pixels remain
        _log.info("damaged metadata", exc_info=error)
        return Metadata(form=form, notes=(Note("metadata_damaged", reason=str(error)),))


def losses(photo: Photo, form: str, pixels: Array | None = None) -> tuple[Note, ...]:
    """The metadata that a result in another format, or in the same one, cannot hold.

    Parameters
    ----------
    photo : Photo
    form : str
        Format of the result: 'png', 'tiff', 'webp' or 'jpeg'.
    pixels : ndarray, optional
        Of the result, if it has another shape or sample type than the photo.

    Returns
    -------
    tuple of Note
    """
    metadata = photo.metadata
    lost = list(metadata.own) if metadata.form != form else []
    if form in _AROUND_PIXELS:
        lost += _AROUND_PIXELS[form].plan(metadata, photo.pixels if pixels is None else pixels)[1]
    if metadata.cicp and form != "png":
        lost.append(Note("colour_coding"))
    if form == "tiff" != metadata.form and _has_two_resolutions(metadata):
        lost.append(Note("exif_resolution"))
    if photo.extra is not None and (form != "tiff" or pixels is not None):
        lost.append(Note("channels", count=photo.extra.shape[2]))
    named = [Note("losses", format=form.upper(), things=lost)] if lost else []
    return (*metadata.notes, *named)


def _has_two_resolutions(metadata: Metadata) -> bool:
    """Whether the EXIF data names another resolution than the file; TIFF has one place for both."""
    other = None if metadata.exif is None else exif_resolution(metadata.exif)
    if other is None or metadata.resolution is None:
        return False
    return any(abs(a - b) > 0.01 * b for a, b in zip(other, metadata.resolution, strict=True))


def write_around(
    out: IO[bytes],
    pixels: Array,
    form: str,
    photo: Photo,
    encode: Callable[[Array], IO[bytes]],
) -> None:
    """Write pixels with the metadata of a photo around them.

    Parameters
    ----------
    out : file
        Empty, open for reading and writing.
    pixels : ndarray
    form : str
    photo : Photo
    encode : callable
        Encodes pixels in this format, without metadata.

    Raises
    ------
    OutputError
        The metadata cannot be written.
    """
    metadata, extra = photo.metadata, photo.extra
    try:
        if form == "tiff":
            if extra is not None and extra.shape[:2] != pixels.shape[:2]:
                extra = None
            tiff_writing.wrap(out, metadata, pixels, extra, encode)
            return
        writer = _AROUND_PIXELS[form]
        with encode(pixels) as encoded:
            writer.wrap(encoded, out, writer.plan(metadata, pixels)[0])
    except (ValueError, LookupError, struct.error) as error:
        raise OutputError(
            f"The photo's metadata cannot be written as {form.upper()}: {error}.",
            "Choose another format, or save the photo anew with another program.",
        ) from error
