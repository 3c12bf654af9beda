"""Reading photos; the header is checked before anything is decoded."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyvips

from dip.errors import InputError
from dip.image_io.decoding import (
    decoded_bytes,
    decoding,
    refuse_large,
    refuse_pixels,
    upright_pixels,
)
from dip.image_io.formats import format_of
from dip.image_io.further_formats import is_rare, open_heif, open_jpeg_2000, open_rare_tiff, turn
from dip.image_io.metadata import read_metadata
from dip.image_io.photo import DEFAULT_LIMITS, Header, Limits, Photo
from dip.image_io.tiff import NO_PAGES, Pages, find_pages
from dip.image_io.vips import FAILURES, SAMPLES, load_by_vips, message_of, orientation_of

MOST_CHANNELS = 16
_IN_ONE_PIECE = ("in one piece", "heif")  # loaders that keep the whole picture
_UNSPECIFIED = 0  # ExtraSamples of TIFF
_ALPHA_KINDS = (1, 2)  # of TIFF's ExtraSamples; 0 is unspecified, such as infrared
_OTHER_COLOURS = {
    8: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "raw data of a camera's sensor", 32844: "LogL",
    32845: "LogLuv",
}  # fmt: skip
"""Of PhotometricInterpretation in TIFF; libvips takes some of them for RGB or gray."""
_CONVERT = "Convert the image to RGB or gray first."
_COLOURS = ("b-w", "grey16", "srgb", "rgb", "rgb16", "scrgb", "multiband")


def read_photo(
    photo: Path | str | bytes,
    limits: Limits = DEFAULT_LIMITS,
    name: str | None = None,
    page: int | None = None,
) -> Photo:
    """Read a photo.

    Parameters
    ----------
    photo : Path or bytes
        A file, or its content.
    limits : Limits
    name : str, optional
        For errors; by default the path.
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
    with _opened(photo, limits, name, page) as file:
        return file.decode()


def read_header(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> Header:
    """Read the header of a file without decoding it; errors as for `read_photo`."""
    with _opened(path, limits) as file:
        image = file.image(decode=False)
        _, has_alpha = file.channels(image)
        return Header(format=file.form, width=image.width, height=image.height, has_alpha=has_alpha)


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
    with _opened(path, limits, name) as file:
        image = file.image(by_rows=True)
        used = sum(file.channels(image))
        return image if used == image.bands else image.extract_band(0, n=used), file.form


def photo_pages(photo: Path | bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[int, ...]:
    """The pages of a TIFF file that are no reduced copies of others, from 0; (0,) for others."""
    with _opened(photo, limits) as file:
        return (file.pages.full_size if file.pages else ()) or (0,)


@contextmanager
def _opened(
    photo: Path | str | bytes, limits: Limits, name: str | None = None, page: int | None = None
) -> Iterator[_File]:
    """Open a file; put its name before the message of any error inside."""
    place = photo if isinstance(photo, bytes) else Path(photo)
    try:
        yield _File(place, limits, page)
    except InputError as error:
        seen = name or ("image" if isinstance(place, bytes) else str(place))
        raise type(error)(f"{seen}: {error.message}", error.hint) from error


class _File:
    """The file of a photo: its format, and the pages of a TIFF file."""

    def __init__(self, place: Path | bytes, limits: Limits, page: int | None) -> None:
        self._place, self._limits = place, limits
        self.form = format_of(place, limits)
        self.pages: Pages | None = None
        if self.form == "tiff":
            self.pages = NO_PAGES if page is None else None  # of damaged ones, libtiff says more
            with self._open() as file, suppress(ValueError, LookupError, struct.error):
                self.pages = find_pages(file, page)
        if page is not None and (self.pages is None if self.form == "tiff" else page > 0):
            raise InputError(f"The file has no page {page + 1}.", "Check --page.")

    def _open(self) -> IO[bytes]:
        return io.BytesIO(self._place) if isinstance(self._place, bytes) else self._place.open("rb")

    def image(self, *, decode: bool = True, by_rows: bool = False) -> Any:
        """An image of libvips; its size, its samples and the memory for them are checked.

        Formats that libvips reads are decoded on demand; the caller keeps all samples, or rows.
        The pixels of others are decoded here; without `decode`, they are black.
        """
        try:
            header, load, loader = self._load()
            self._check(header)
            kept_bytes = 0 if by_rows and loader not in _IN_ONE_PIECE else decoded_bytes(header)
            refuse_large(header, loader, self._limits, kept_bytes)
            if not decode:
                return header
            with decoding(header, self._limits):
                image = load()
        except FAILURES as error:
            raise damaged(error) from error
        if image is not header:
            self._check(image)
            for name in set(header.get_fields()) - set(image.get_fields()):
                image.set_type(header.get_typeof(name), name, header.get(name))
            turn(image, orientation_of(header))  # not by EXIF data: HEIC pixels stand upright
        return image

    def _load(self) -> tuple[Any, Callable[[], Any], str]:
        """The header of the image, its decoder, and the name of that for `loader_bytes`."""
        if self.form == "jp2":
            return *open_jpeg_2000(self._place), "in one piece"
        if self.form == "heif":
            return *open_heif(self._place), "heif"
        if self.pages is not None and is_rare(self.pages.compression):
            return *open_rare_tiff(self._place, self.pages), "in one piece"
        page = {} if self.pages is None else {"page": self.pages.page}
        if self.pages is not None and self.pages.photometric in _OTHER_COLOURS:
            raise InputError(f"The colours are {_OTHER_COLOURS[self.pages.photometric]}.", _CONVERT)
        # No other format is tried, and libvips keeps no image of its own.
        image = load_by_vips(self._place, self.form, access="sequential", fail_on="error", **page)
        return image, lambda: image, self.form

    def _check(self, image: Any) -> None:
        """Raise InputError where the size or the samples of an image are not supported."""
        refuse_pixels(image.width, image.height, self._limits)
        if image.interpretation not in _COLOURS:
            raise InputError(
                f"The colours are {image.interpretation.upper()}.",
                _CONVERT,
            )
        if image.format not in SAMPLES:
            raise InputError(
                f"The samples are of the type '{image.format}'.",
                "Save the image with 8 or 16 bit, or 32-bit float.",
            )
        colours, _ = self.channels(image)
        if colours not in (1, 3) or image.bands > MOST_CHANNELS:
            raise InputError(
                f"The image has {image.bands} channels.",
                "Save it in gray or RGB, with or without alpha.",
            )

    def channels(self, image: Any) -> tuple[int, bool]:
        """The number of colours, and whether alpha follows them."""
        kinds = self.pages.extra_kinds if self.pages else ()
        if self.pages and self.pages.chain and not kinds and image.bands in (2, 4):
            kinds = (_UNSPECIFIED,)  # TIFF marks alpha: a sample without a mark is none
        if not kinds:
            has_alpha = bool(image.hasalpha())
            return image.bands - has_alpha, has_alpha
        return image.bands - len(kinds), kinds[0] in _ALPHA_KINDS

    def decode(self) -> Photo:
        image = self.image()
        with self._open() as file:
            metadata = read_metadata(file, image, self.form, orientation_of(image), self.pages)
        try:
            with decoding(image, self._limits):
                pixels = upright_pixels(image)
        except FAILURES as error:
            raise damaged(error) from error
        used, extra = sum(self.channels(image)), None
        if used < image.bands:
            pixels, extra = map(np.ascontiguousarray, np.split(pixels, [used], axis=2))
        if used == 1:
            pixels = pixels[:, :, 0]
        return Photo(pixels=pixels, format=self.form, metadata=metadata, extra=extra)


def damaged(error: pyvips.Error | UnicodeDecodeError) -> InputError:
    """The error for a file that cannot be decoded."""
    lines = [line.strip() for line in message_of(error).splitlines() if line.strip()]
    reason = lines[-1].rstrip(".") if lines else "no reason was given"
    return InputError(
        f"The file cannot be decoded: it is damaged, truncated or of a rare kind ({reason}).",
        "Open it in another program and save it again.",
    )
