"""The file formats: what each is known by, what it can hold, and how it is saved."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from dip.errors import ImageTooLarge, InputError, OutputError
from dip.image_io.photo import Array, Limits, has_alpha

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),  # BigTIFF
    (b"MM\0+", "tiff"),
)
_OTHERS = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"8BPS", "a Photoshop"),
    (b"gimp xcf", "a GIMP"),
    (b"%PDF", "a PDF"),
)
_FORMATS = "PNG, TIFF, JPEG and WebP"
_SUFFIXES = {
    ".png": "png", ".tif": "tiff", ".tiff": "tiff",
    ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp",
}  # fmt: skip
_SAMPLES: dict[str, tuple[str, ...]] = {
    "png": ("uint8", "uint16"),
    "tiff": ("uint8", "uint16", "float32"),
    "webp": ("uint8",),
    "jpeg": ("uint8",),
}
_LARGEST_SIDE_PX = {"jpeg": 65_535, "webp": 16_383}
_SAVING: dict[str, dict[str, Any]] = {
    # Differences of neighbouring rows: photos 10 to 30 % smaller, in the same time.
    "png": {"compression": 6, "filter": "up"},
    "tiff": {"compression": "deflate", "predictor": "horizontal"},
    # Lossless, with the colours behind full transparency.
    "webp": {"lossless": True, "exact": True, "effort": 4},
    "jpeg": {"Q": 95, "subsample_mode": "off", "optimize_coding": True},
}


def format_of_file(path: Path, limits: Limits) -> str:
    """The format of a file; errors as for `format_of`, and where it cannot be opened."""
    try:
        with path.open("rb") as file:
            return format_of(file.read(16), os.fstat(file.fileno()).st_size, limits)
    except OSError as error:
        raise InputError(
            f"It cannot be read: {error.strerror}.", "Check the name and the permissions."
        ) from error


def format_of(start: bytes, size: int, limits: Limits) -> str:
    """The format of a file that begins so (16 bytes) and has this size.

    Raises
    ------
    ImageTooLarge
        It has more bytes than the limits allow.
    InputError
        It is of no format that is read.
    """
    if size == 0:
        raise InputError("The file is empty (0 bytes).", "Was it copied completely?")
    if size > limits.bytes:
        raise ImageTooLarge(
            f"The file has {size / 1e6:.0f} MB, the limit is {limits.bytes / 1e6:.0f} MB.",
            "Cut out the part around the damage.",
        )
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    for magic, form in _MAGIC:
        if start.startswith(magic):
            return form
    other = next((what for magic, what in _OTHERS if start.startswith(magic)), None)
    if start[4:8] == b"ftyp":
        other = "a HEIC, AVIF or video"
    seen = f"This is {other} file." if other else "This is not a picture of a known format."
    raise InputError(seen, f"Only {_FORMATS} files are read: save it as one of them.")


def format_named(path: Path) -> str:
    """The format that the ending of a name stands for, or OutputError."""
    try:
        return _SUFFIXES[path.suffix.lower()]
    except KeyError:
        raise OutputError(
            f"{path.name} does not say what to write: {path.suffix or 'nothing'} is no known "
            "ending.",
            "End it with .png, .tif, .webp or .jpg.",
        ) from None


def writable_format(path: Path, pixels: Array) -> str:
    """The format that a name stands for, or OutputError where it cannot hold these samples."""
    form = format_named(path)
    check_samples(form, pixels, path.name)
    return form


def check_samples(form: str, pixels: Array, what: str) -> None:
    """Raise OutputError where a format cannot hold these samples; `what` is to hold them."""
    samples = pixels.dtype.name
    held = _SAMPLES[form]
    if samples not in held:
        raise OutputError(
            f"{what} cannot hold {samples} samples: {form.upper()} has {' or '.join(held)}.",
            "Write .tif." if samples == "float32" else "Write .tif or .png.",
        )
    if form == "jpeg" and has_alpha(pixels):
        raise OutputError(f"{what} cannot hold transparency.", "Write .png, .tif or .webp.")
    longest, most = max(pixels.shape[:2]), _LARGEST_SIDE_PX.get(form)
    if most is not None and longest > most:
        raise OutputError(
            f"{what} cannot hold {longest} px to a side: {form.upper()} ends at {most}.",
            "Write .png or .tif.",
        )


def saving_options(form: str, pixels: Array) -> dict[str, Any]:
    """How libvips is to save these samples in a format."""
    options = dict(_SAVING[form])
    if form == "tiff" and pixels.dtype == np.float32:
        options["predictor"] = "float"
    return options
