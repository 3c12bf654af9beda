"""Reading photos: nothing is decoded before its header was looked at."""

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
from dip.image_io.formats import format_of, format_of_file
from dip.image_io.metadata import metadata_of
from dip.image_io.photo import DEFAULT_LIMITS, Header, Limits, Photo
from dip.image_io.vips import FAILURES, said_by

_log = logging.getLogger(__name__)

_SAMPLES = ("uchar", "ushort", "float")
_COLOURS = ("b-w", "grey16", "srgb", "rgb", "rgb16", "scrgb", "multiband")


def read_photo(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> Photo:
    """Read a photo from a file.

    Raises
    ------
    ImageTooLarge
        Beyond the limits; nothing was decoded.
    InputError
        Not such a file, damaged, or with samples that are not worked on (CMYK, 64 bit).
    """
    path = Path(path)
    with _named(str(path)):
        form = format_of_file(path, limits)
        load = partial(_loader(form, buffer=False), os.fsencode(path))
        return _decode(form, load, lambda: path.open("rb"), limits)


def decode_photo(data: bytes, name: str = "image", limits: Limits = DEFAULT_LIMITS) -> Photo:
    """Read a photo from the bytes of a file; otherwise as `read_photo`."""
    with _named(name):
        form = format_of(data[:16], len(data), limits)
        load = partial(_loader(form, buffer=True), data)
        return _decode(form, load, partial(io.BytesIO, data), limits)


def read_header(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> Header:
    """Say what a file holds without decoding it; errors as for `read_photo`."""
    path = Path(path)
    with _named(str(path)):
        form = format_of_file(path, limits)
        image = _open(partial(_loader(form, buffer=False), os.fsencode(path)), limits)
        return Header(
            format=form, width=image.width, height=image.height, has_alpha=image.hasalpha()
        )


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Put the file's name before the message of any error inside."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{name}: {error.message}", error.hint) from error


def _loader(form: str, *, buffer: bool) -> Callable[..., Any]:
    """The loader of one format; no other is tried.

    It decodes row after row into whatever asks for them: libvips keeps no image of its own.
    """
    load = partial(pyvips.Operation.call, f"{form}load{'_buffer' if buffer else ''}")
    return partial(load, fail_on="error", access="sequential")


def _open(load: Callable[[], Any], limits: Limits) -> Any:
    """Read the header and check what it claims."""
    try:
        image = load()
    except FAILURES as error:
        raise _damaged(error) from error
    if image.width * image.height > limits.pixels:
        raise ImageTooLarge(
            f"The image has {image.width}×{image.height} px, {image.width * image.height / 1e6:.0f}"
            f" megapixels; the limit is {limits.pixels / 1e6:.0f}.",
            "Cut out the part around the damage.",
        )
    if image.interpretation not in _COLOURS:
        raise InputError(
            f"Its colours are {image.interpretation.upper()}.",
            "Convert it to RGB or gray first: samples are never converted here.",
        )
    if image.format not in _SAMPLES:
        raise InputError(
            f"Its samples are of the type '{image.format}'.",
            "Save it with 8 or 16 bit, or 32-bit float.",
        )
    if image.bands > 4 or (image.bands in (2, 4) and not image.hasalpha()):
        raise InputError(
            f"It has {image.bands} channels.", "It must be gray or RGB, with or without alpha."
        )
    return image


def _decode(
    form: str, load: Callable[[], Any], open_source: Callable[[], IO[bytes]], limits: Limits
) -> Photo:
    image = _open(load, limits)
    pages = image.get("n-pages") if image.get_typeof("n-pages") else 1
    if pages > 1:
        _log.warning("the file has %d pages or frames; only the first is used", pages)
    metadata = metadata_of(image, form, open_source)
    try:
        if _is_turned(image):
            image = image.copy_memory().autorot()  # columns become rows: all must be there
        pixels = image.numpy()
    except FAILURES as error:
        raise _damaged(error) from error
    # pyvips makes a number of a single gray pixel.
    pixels = pixels.reshape(image.height, image.width, image.bands)
    if image.bands == 1:
        pixels = pixels[:, :, 0]
    return Photo(pixels=pixels, format=form, metadata=metadata)


def _is_turned(image: Any) -> bool:
    return bool(image.get_typeof("orientation") and image.get("orientation") != 1)


def _damaged(error: pyvips.Error | UnicodeDecodeError) -> InputError:
    lines = [line.strip() for line in said_by(error).splitlines() if line.strip()]
    said = lines[-1].rstrip(".") if lines else "no reason was given"
    return InputError(
        f"It cannot be decoded: damaged, cut short, or of a rare kind ({said}).",
        "Open it elsewhere and save it again.",
    )
