"""Reading photos; the header is checked before anything is decoded."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyvips

from dip.errors import InputError
from dip.file_signatures import SIGNATURE_BYTES
from dip.image_io.decoding import (
    decoded_bytes,
    decoding,
    refuse_large,
    refuse_pixels,
    upright_pixels,
)
from dip.image_io.formats import format_of, format_of_file
from dip.image_io.further_formats import is_rare, load_heif, load_jpeg_2000, load_rare_tiff
from dip.image_io.metadata import read_metadata
from dip.image_io.photo import DEFAULT_LIMITS, Header, Limits, Photo
from dip.image_io.tiff import NO_PAGES, Pages, find_pages
from dip.image_io.vips import FAILURES, message_of

MOST_CHANNELS = 16
_UNSPECIFIED = 0  # ExtraSamples of TIFF
_ALPHA_KINDS = (1, 2)  # of TIFF's ExtraSamples; 0 is unspecified, such as infrared
_SAMPLES = ("uchar", "ushort", "float")
_COLOURS = ("b-w", "grey16", "srgb", "rgb", "rgb16", "scrgb", "multiband")


def read_photo(
    path: Path | str,
    limits: Limits = DEFAULT_LIMITS,
    name: str | None = None,
    page: int | None = None,
) -> Photo:
    """Read a photo from a file; errors name the file `name`, by default by its path.

    Parameters
    ----------
    path : Path
    limits : Limits
    name : str, optional
    page : int, optional
        Of a TIFF file, from 0; by default the first one that is no reduced copy of another.

    Raises
    ------
    ImageTooLarge
        The file or the image is above the limits; nothing was decoded.
    InputError
        The format or its samples (CMYK, 64 bit) are not supported, the file is damaged, or has no
        such page.
    """
    path = Path(path)
    with _named(name or str(path)):
        return _decode(_Source(format_of_file(path, limits), path, page), limits)


def decode_photo(
    data: bytes,
    name: str = "image",
    limits: Limits = DEFAULT_LIMITS,
    page: int | None = None,
) -> Photo:
    """Read a photo from the bytes of a file; otherwise as `read_photo`."""
    with _named(name):
        form = format_of(data[:SIGNATURE_BYTES], len(data), limits)
        return _decode(_Source(form, data, page), limits)


def read_header(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> Header:
    """Read the header of a file without decoding it; errors as for `read_photo`."""
    path = Path(path)
    with _named(str(path)):
        form = format_of_file(path, limits)
        image, pages = _open(_Source(form, path), limits)
        refuse_large(image, form, limits, decoded_bytes(image))
        _, has_alpha = _channels(image, pages)
        return Header(format=form, width=image.width, height=image.height, has_alpha=has_alpha)


def open_photo(
    path: Path | str, limits: Limits = DEFAULT_LIMITS, name: str | None = None
) -> tuple[Any, str]:
    """Open a photo without decoding it; errors as for `read_photo`.

    Returns
    -------
    image : pyvips.Image
        As stored, without samples that are neither colour nor alpha, with its orientation
        mark; it decodes rows on demand, once, from the top.
    form : str
    """
    path = Path(path)
    with _named(name or str(path)):
        form = format_of_file(path, limits)
        image, pages = _open(_Source(form, path), limits)
        refuse_large(image, form, limits, 0)
        used = sum(_channels(image, pages))
        return image if used == image.bands else image.extract_band(0, n=used), form


def photo_pages(photo: Path | bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[int, ...]:
    """The pages of a TIFF file that are no reduced copies of others, from 0; (0,) for others."""
    if isinstance(photo, bytes):
        form = format_of(photo[:SIGNATURE_BYTES], len(photo), limits)
    else:
        with _named(str(photo)):
            form = format_of_file(photo, limits)
    if form != "tiff":
        return (0,)
    with _Source(form, photo).open() as file:
        return _pages_of(file).full_size or (0,)


@dataclass(frozen=True)
class _Source:
    """A file in a format: its path, or its bytes, and the page that is asked for."""

    form: str
    place: Path | bytes
    page: int | None = None

    def open(self) -> IO[bytes]:
        return io.BytesIO(self.place) if isinstance(self.place, bytes) else self.place.open("rb")

    def load(self, pages: Pages | None, limits: Limits) -> Any:
        """Open as an image of libvips; formats other than `form` are not tried."""
        is_buffer = isinstance(self.place, bytes)
        data = self.place if isinstance(self.place, bytes) else os.fsencode(self.place)
        if self.form == "jp2":
            with self.open() as file:
                return load_jpeg_2000(file, limits)
        if self.form == "heif":
            return load_heif(data, buffer=is_buffer, limits=limits)
        if pages is not None and is_rare(pages.compression):
            with self.open() as file:
                return load_rare_tiff(file, pages.page, pages.compression, limits)
        options = {} if pages is None else {"page": pages.page}
        # Rows are decoded on demand: libvips keeps no image of its own.
        return pyvips.Operation.call(
            f"{self.form}load{'_buffer' if is_buffer else ''}",
            data,
            fail_on="error",
            access="sequential",
            **options,
        )


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Put the file's name before the message of any error inside."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{name}: {error.message}", error.hint) from error


def _pages_of(file: IO[bytes], page: int | None = None) -> Pages:
    try:
        return find_pages(file, page)
    except (ValueError, LookupError, struct.error):
        if page is not None:
            raise InputError(f"The file has no page {page + 1}.", "Check --page.") from None
        return NO_PAGES  # libtiff names the fault


def _open(source: _Source, limits: Limits) -> tuple[Any, Pages | None]:
    """Read the header, and check its size and its samples; find the page of a TIFF file."""
    pages = None
    if source.form == "tiff":
        with source.open() as file:
            pages = _pages_of(file, source.page)
    elif source.page:
        raise InputError(f"The file has no page {source.page + 1}.", "Check --page.")
    try:
        image = source.load(pages, limits)
    except FAILURES as error:
        raise damaged(error) from error
    refuse_pixels(image.width, image.height, limits)
    if image.interpretation not in _COLOURS:
        raise InputError(
            f"The colours are {image.interpretation.upper()}.",
            "Convert the image to RGB or gray first.",
        )
    if image.format not in _SAMPLES:
        raise InputError(
            f"The samples are of the type '{image.format}'.",
            "Save the image with 8 or 16 bit, or 32-bit float.",
        )
    colours, _ = _channels(image, pages)
    if colours not in (1, 3) or image.bands > MOST_CHANNELS:
        raise InputError(
            f"The image has {image.bands} channels.",
            "Save it in gray or RGB, with or without alpha.",
        )
    return image, pages


def _channels(image: Any, pages: Pages | None) -> tuple[int, bool]:
    """The number of colours, and whether alpha follows them."""
    kinds = () if pages is None else pages.extra_kinds
    if pages is not None and pages.count and not kinds and image.bands in (2, 4):
        kinds = (_UNSPECIFIED,)  # TIFF marks alpha: a sample without a mark is none
    if not kinds:
        has_alpha = bool(image.hasalpha())
        return image.bands - has_alpha, has_alpha
    return image.bands - len(kinds), kinds[0] in _ALPHA_KINDS


def _decode(source: _Source, limits: Limits) -> Photo:
    form = source.form
    image, pages = _open(source, limits)
    refuse_large(image, form, limits, decoded_bytes(image))
    orientation = image.get("orientation") if image.get_typeof("orientation") else 1
    with source.open() as file:
        metadata = read_metadata(file, image, form, orientation, pages)
    try:
        with decoding(image, limits):
            pixels = upright_pixels(image)
    except FAILURES as error:
        raise damaged(error) from error
    colours, has_alpha = _channels(image, pages)
    used, extra = colours + has_alpha, None
    if used < image.bands:
        pixels, extra = (np.ascontiguousarray(each) for each in np.split(pixels, [used], axis=2))
    if used == 1:
        pixels = pixels[:, :, 0]
    return Photo(pixels=pixels, format=form, metadata=metadata, extra=extra)


def damaged(error: pyvips.Error | UnicodeDecodeError) -> InputError:
    """The error for a file that cannot be decoded."""
    lines = [line.strip() for line in message_of(error).splitlines() if line.strip()]
    reason = lines[-1].rstrip(".") if lines else "no reason was given"
    return InputError(
        f"The file cannot be decoded: it is damaged, truncated or of a rare kind ({reason}).",
        "Open it in another program and save it again.",
    )
