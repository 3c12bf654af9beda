"""Reading photos; the header is checked before anything is decoded."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyvips

from dip.errors import ImageTooLarge, InputError
from dip.file_signatures import SIGNATURE_BYTES
from dip.image_io.decoding import decoded_bytes, decoding, refuse_large, upright_pixels
from dip.image_io.formats import format_of, format_of_file
from dip.image_io.metadata import read_metadata
from dip.image_io.photo import DEFAULT_LIMITS, Header, Limits, Photo
from dip.image_io.tiff import Pages, find_pages
from dip.image_io.vips import FAILURES, message_of

MOST_CHANNELS = 16
_ALPHA_KINDS = (1, 2)  # of TIFF's ExtraSamples; 0 is unspecified, such as infrared
_SAMPLES = ("uchar", "ushort", "float")
_COLOURS = ("b-w", "grey16", "srgb", "rgb", "rgb16", "scrgb", "multiband")


def read_photo(path: Path | str, limits: Limits = DEFAULT_LIMITS, name: str | None = None) -> Photo:
    """Read a photo from a file; errors name the file `name`, by default by its path.

    Raises
    ------
    ImageTooLarge
        The file or the image is above the limits; nothing was decoded.
    InputError
        The format or its samples (CMYK, 64 bit) are not supported, or the file is damaged.
    """
    path = Path(path)
    with _named(name or str(path)):
        form = format_of_file(path, limits)
        load = partial(_loader(form, buffer=False), os.fsencode(path))
        return _decode(form, load, lambda: path.open("rb"), limits)


def decode_photo(data: bytes, name: str = "image", limits: Limits = DEFAULT_LIMITS) -> Photo:
    """Read a photo from the bytes of a file; otherwise as `read_photo`."""
    with _named(name):
        form = format_of(data[:SIGNATURE_BYTES], len(data), limits)
        load = partial(_loader(form, buffer=True), data)
        return _decode(form, load, partial(io.BytesIO, data), limits)


def read_header(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> Header:
    """Read the header of a file without decoding it; errors as for `read_photo`."""
    path = Path(path)
    with _named(str(path)):
        form = format_of_file(path, limits)
        load = partial(_loader(form, buffer=False), os.fsencode(path))
        image, pages = _open(form, load, lambda: path.open("rb"), limits)
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
        load = partial(_loader(form, buffer=False), os.fsencode(path))
        image, pages = _open(form, load, lambda: path.open("rb"), limits)
        refuse_large(image, form, limits, 0)
        used = sum(_channels(image, pages))
        return image if used == image.bands else image.extract_band(0, n=used), form


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Put the file's name before the message of any error inside."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{name}: {error.message}", error.hint) from error


def _loader(form: str, *, buffer: bool) -> Callable[..., Any]:
    """The loader of one format; other formats are not tried.

    It decodes rows on demand, so libvips keeps no image of its own.
    """
    load = partial(pyvips.Operation.call, f"{form}load{'_buffer' if buffer else ''}")
    return partial(load, fail_on="error", access="sequential")


def _open(
    form: str, load: Callable[..., Any], open_source: Callable[[], IO[bytes]], limits: Limits
) -> tuple[Any, Pages | None]:
    """Read the header, and check its size and its samples; find the page of a TIFF file."""
    pages = None
    if form == "tiff":
        with suppress(Exception), open_source() as file:  # libtiff names the fault
            pages = find_pages(file)
    try:
        image = load(page=pages.page) if pages is not None else load()
    except FAILURES as error:
        raise damaged(error) from error
    if image.width * image.height > limits.pixels:
        raise ImageTooLarge(
            f"The image has {image.width}×{image.height} px, {image.width * image.height / 1e6:.0f}"
            f" megapixels; the limit is {limits.pixels / 1e6:.0f}.",
            "Cut out the part around the damage.",
        )
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
    if not kinds:
        has_alpha = bool(image.hasalpha())
        return image.bands - has_alpha, has_alpha
    return image.bands - len(kinds), kinds[0] in _ALPHA_KINDS


def _decode(
    form: str, load: Callable[..., Any], open_source: Callable[[], IO[bytes]], limits: Limits
) -> Photo:
    image, pages = _open(form, load, open_source, limits)
    refuse_large(image, form, limits, decoded_bytes(image))
    orientation = image.get("orientation") if image.get_typeof("orientation") else 1
    with open_source() as file:
        metadata = read_metadata(file, form, orientation, pages)
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
