"""Writing photos and pictures; samples and metadata are kept, or an error is raised."""

from __future__ import annotations

import io
import os
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyvips

from dip.errors import OutputError
from dip.image_io.formats import check_samples, format_named, saving_options, writable_format
from dip.image_io.metadata import losses, write_around
from dip.image_io.photo import Array, Photo, has_alpha
from dip.image_io.reading import read_photo
from dip.image_io.replacing import replacing
from dip.image_io.vips import FAILURES, message_of
from dip.machine.disk import real_path
from dip.samples import to_8_bit


def write_photo(path: Path | str, pixels: Array, like: Photo | None = None) -> None:
    """Write a photo with the metadata of another; the name's ending chooses the format.

    An existing file is replaced atomically, once the new file is complete and on disk.

    Parameters
    ----------
    path : Path
        .png, .tif, .webp (lossless), or .jpg (quality 95, full colour resolution).
    pixels : ndarray
        (H, W) or (H, W, C), C from 1 to 4; uint8, uint16 or float32.
    like : Photo, optional

    Raises
    ------
    OutputError
        The format cannot hold these samples, or the file cannot be written.
    """
    path = real_path(path)
    form = writable_format(path, pixels)
    with replacing(path) as temporary, temporary.open("w+b") as out:

        def encode(samples: Array, form: str) -> IO[bytes]:
            # On the disk: a large picture must not be in memory once more.
            return _encode(samples, form, tempfile.TemporaryFile(dir=path.parent))

        if like is None:
            _encode(pixels, form, out)
        else:
            write_around(out, pixels, form, like, encode)


def encode_photo(pixels: Array, form: str, like: Photo | None = None) -> bytes:
    """Encode a photo as the bytes of a file.

    Parameters
    ----------
    pixels : ndarray
    form : str
        'png', 'tiff', 'webp' or 'jpeg'.
    like : Photo, optional

    Returns
    -------
    bytes

    Raises
    ------
    OutputError
        The format cannot hold these samples.
    """
    check_samples(form, pixels, f"The format {form}")
    out = io.BytesIO()
    try:
        if like is None:
            return _encode_in_memory(pixels, form).getvalue()
        write_around(out, pixels, form, like, _encode_in_memory)
    except FAILURES as error:
        reason = " ".join(message_of(error).split())
        raise OutputError(f"The result cannot be written as {form.upper()}: {reason}.") from error
    return out.getvalue()


def plain_tiff(file: bytes, pages: Sequence[int | None], *pixels: Array) -> bytes:
    """Some pages of a file, then others, as a TIFF file without metadata.

    Parameters
    ----------
    file : bytes
    pages : sequence of int
        Of `file`, from 0.
    *pixels : ndarray
        As for `write_photo`.
    """
    from tifffile import TiffWriter

    earlier = (read_photo(file, page=page).pixels for page in pages)
    out = io.BytesIO()
    with TiffWriter(out, bigtiff=sum(each.nbytes for each in pixels) + len(file) > 2**31) as writer:
        for each in (*earlier, *pixels):
            channels = 1 if each.ndim == 2 else each.shape[2]
            writer.write(
                each,
                photometric="rgb" if channels > 2 else "minisblack",
                planarconfig="contig" if channels > 1 else None,
                extrasamples=["unassalpha"] if has_alpha(each) else None,
                compression="zlib",
                metadata=None,
            )
    return out.getvalue()


def write_pixels(path: Path | str, pixels: Array) -> None:
    """Write a picture for viewing, such as a preview: 8 bits, without metadata."""
    levels = to_8_bit(pixels)
    if Path(path).suffix.lower() in (".jpg", ".jpeg") and has_alpha(levels):
        levels = levels[:, :, :-1]
    write_photo(path, levels)


def check_writable(path: Path | str, photo: Photo | None = None) -> tuple[str, ...]:
    """Raise OutputError before a fit if `write_photo` would raise it afterwards.

    Parameters
    ----------
    path : Path
    photo : Photo, optional
        The result will have its size, samples and metadata.

    Returns
    -------
    tuple of str
        Sentences about the photo's metadata that the result cannot hold.
    """
    path = real_path(path)
    if path.suffix.lower() == ".json":
        pass
    elif photo is None:
        format_named(path)
    else:
        writable_format(path, photo.pixels)
    with replacing(path, keep=False) as temporary:
        if path.is_dir():
            raise OutputError(f"{path} is a folder.", "Name a file in it.")
        if not path.parent.is_dir():
            raise OutputError(f"There is no folder {path.parent}.", "Make it first.")
        if path.exists() and not os.access(path, os.W_OK):
            raise OutputError(f"{path} is write-protected.", "Name another file.")
        temporary.touch()
        free_bytes = shutil.disk_usage(path.parent).free
    if photo is None or path.suffix.lower() == ".json":
        return ()
    # Twice: the encoded pixels lie beside the file while they are put into it.
    needed_bytes = 2 * photo.pixels.nbytes
    if free_bytes < needed_bytes:
        raise OutputError(
            f"The disk of {path} has {free_bytes / 1e6:.0f} MB of free space; the result "
            f"may take {needed_bytes / 1e6:.0f} MB.",
            "Make room, or name a folder on another disk.",
        )
    form = format_named(path)
    encode_photo(photo.pixels[:1, :1], form, like=photo)  # its metadata can be written
    return losses(photo, form)


def write_result(path: Path | str, pixels: Array, like: Photo) -> None:
    """Write a result as `write_photo` does; where that fails, write a plain TIFF elsewhere.

    Raises
    ------
    OutputError
        The wished file cannot be written; the message names the file that holds the result.
    """
    try:
        write_photo(path, pixels, like)
    except OutputError as error:
        for folder in (Path(path).parent, Path.home(), Path(tempfile.gettempdir())):
            spare = folder / f"dip_restored_{secrets.token_hex(4)}.tif"
            try:
                write_photo(spare, pixels)
            except OutputError:
                continue
            raise OutputError(
                f"{error.message} The result lies in {spare.absolute()}, as a plain TIFF.",
                error.hint,
            ) from error
        raise


def _encode(pixels: Array, form: str, file: IO[bytes]) -> IO[bytes]:
    """Write pixels without metadata to an empty file, and rewind it."""
    target = pyvips.Target.new_to_descriptor(file.fileno())
    _image_of(pixels).__getattr__(f"{form}save_target")(target, **saving_options(form, pixels))
    file.seek(0)
    return file


def _encode_in_memory(pixels: Array, form: str) -> io.BytesIO:
    save = _image_of(pixels).__getattr__(f"{form}save_buffer")
    return io.BytesIO(save(**saving_options(form, pixels)))


def _image_of(pixels: Array) -> Any:
    height, width = pixels.shape[:2]
    bands = 1 if pixels.ndim == 2 else pixels.shape[2]
    formats = {"uint8": "uchar", "uint16": "ushort", "float32": "float"}
    image = pyvips.Image.new_from_memory(
        np.ascontiguousarray(pixels).data, width, height, bands, formats[pixels.dtype.name]
    )
    gray = bands <= 2
    interpretation = {
        "uint8": "b-w" if gray else "srgb",
        "uint16": "grey16" if gray else "rgb16",
        "float32": "b-w" if gray else "scrgb",
    }[pixels.dtype.name]
    return image.copy(interpretation=interpretation)
