"""Reading photos; the header is checked before anything is decoded."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyvips

from dip.errors import ImageTooLarge, InputError
from dip.file_signatures import SIGNATURE_BYTES
from dip.image_io.decoding import decoded_bytes, decoding, refuse_large, upright_pixels
from dip.image_io.formats import format_of, format_of_file
from dip.image_io.metadata import metadata_of
from dip.image_io.photo import DEFAULT_LIMITS, Header, Limits, Photo
from dip.image_io.vips import FAILURES, message_of

_log = logging.getLogger(__name__)

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
        image = _open(partial(_loader(form, buffer=False), os.fsencode(path)), limits)
        refuse_large(image, form, limits, decoded_bytes(image))
        return Header(
            format=form, width=image.width, height=image.height, has_alpha=image.hasalpha()
        )


def open_photo(
    path: Path | str, limits: Limits = DEFAULT_LIMITS, name: str | None = None
) -> tuple[Any, str]:
    """Open a photo without decoding it; errors as for `read_photo`.

    Returns
    -------
    image : pyvips.Image
        As stored, with its orientation mark; it decodes rows on demand, once, from the top.
    form : str
    """
    path = Path(path)
    with _named(name or str(path)):
        form = format_of_file(path, limits)
        image = _open(partial(_loader(form, buffer=False), os.fsencode(path)), limits)
        refuse_large(image, form, limits, 0)
        return image, form


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


def _open(load: Callable[[], Any], limits: Limits) -> Any:
    """Read the header, and check its size and its samples."""
    try:
        image = load()
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
    if image.bands > 4 or (image.bands in (2, 4) and not image.hasalpha()):
        raise InputError(
            f"The image has {image.bands} channels.",
            "Save it in gray or RGB, with or without alpha.",
        )
    return image


def _decode(
    form: str, load: Callable[[], Any], open_source: Callable[[], IO[bytes]], limits: Limits
) -> Photo:
    image = _open(load, limits)
    pages = image.get("n-pages") if image.get_typeof("n-pages") else 1
    if pages > 1:
        _log.warning("the file has %d pages or frames; only the first is used", pages)
    refuse_large(image, form, limits, decoded_bytes(image))
    metadata = metadata_of(image, form, open_source)
    try:
        with decoding(image, limits):
            pixels = upright_pixels(image)
    except FAILURES as error:
        raise damaged(error) from error
    if image.bands == 1:
        pixels = pixels[:, :, 0]
    return Photo(pixels=pixels, format=form, metadata=metadata)


def damaged(error: pyvips.Error | UnicodeDecodeError) -> InputError:
    """The error for a file that cannot be decoded."""
    lines = [line.strip() for line in message_of(error).splitlines() if line.strip()]
    reason = lines[-1].rstrip(".") if lines else "no reason was given"
    return InputError(
        f"The file cannot be decoded: it is damaged, truncated or of a rare kind ({reason}).",
        "Open it in another program and save it again.",
    )
