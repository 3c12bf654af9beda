"""Writing photos and pictures; samples and metadata are kept, or an error is raised."""

from __future__ import annotations

import io
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import pyvips

from dip.errors import OutputError
from dip.image_io.formats import check_samples, format_named, saving_options
from dip.image_io.metadata import losses, write_around
from dip.image_io.photo import Array, Photo, has_alpha
from dip.image_io.reading import read_photo
from dip.image_io.replacing import replacing, write_file
from dip.image_io.vips import FAILURES, image_of, message_of
from dip.machine.disk import real_path
from dip.notes import Note
from dip.samples import to_8_bit


def write_photo(
    path: Path | str, pixels: Array, like: Photo | None = None, *, replace: bool = True
) -> None:
    """Write a photo with the metadata of another; the name's ending chooses the format.

    An existing file is replaced atomically, once the new file is complete and on disk; without
    `replace`, that is an error.

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
    form = format_named(path)
    check_samples(form, pixels, path.name)
    with replacing(path, replace=replace) as temporary, temporary.open("w+b") as out:

        def scratch() -> IO[bytes]:
            # On the disk: a large picture must not be in memory once more.
            return tempfile.TemporaryFile(dir=path.parent)

        _write(out, pixels, form, like, scratch)


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
        _write(out, pixels, form, like, io.BytesIO)
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


def write_pixels(path: Path | str, pixels: Array, *, replace: bool = True) -> None:
    """Write a picture for viewing, such as a preview: 8 bits, without metadata."""
    levels = to_8_bit(pixels)
    if Path(path).suffix.lower() in (".jpg", ".jpeg") and has_alpha(levels):
        levels = levels[:, :, :-1]
    write_photo(path, levels, replace=replace)


def check_writable(path: Path | str, photo: Photo | None = None) -> tuple[Note, ...]:
    """Raise OutputError before a fit if `write_photo` would raise it afterwards.

    Parameters
    ----------
    path : Path
    photo : Photo, optional
        The result will have its size, samples and metadata.

    Returns
    -------
    tuple of Note
        About the photo's metadata that the result cannot hold.
    """
    path = real_path(path)
    form = "" if path.suffix.lower() == ".json" else format_named(path)
    if form and photo is not None:
        check_samples(form, photo.pixels, path.name)
    with replacing(path, keep=False) as temporary:
        if path.is_dir():
            raise OutputError(f"{path} is a folder.", "Name a file in it.")
        if not path.parent.is_dir():
            raise OutputError(f"There is no folder {path.parent}.", "Make it first.")
        if path.exists() and not os.access(path, os.W_OK):
            raise OutputError(f"{path} is write-protected.", "Name another file.")
        temporary.touch()
        free_bytes = shutil.disk_usage(path.parent).free
    if photo is None or not form:
        return ()
    extra_bytes = 0 if photo.extra is None else photo.extra.nbytes
    # Twice: the encoded pixels lie beside the file while they are put into it.
    needed_bytes = 2 * (photo.pixels.nbytes + extra_bytes) + photo.metadata.carried_bytes
    if free_bytes < needed_bytes:
        raise OutputError(
            f"The disk of {path} has {free_bytes / 1e6:.0f} MB of free space; the result "
            f"may take {needed_bytes / 1e6:.0f} MB.",
            "Make room, or name a folder on another disk.",
        )
    encode_photo(photo.pixels[:1, :1], form, like=photo)  # its metadata can be written
    return losses(photo, form)


def write_result(path: Path | str, pixels: Array, like: Photo, *, replace: bool = True) -> None:
    """Write a result as `write_photo` does; where that fails, write a TIFF file elsewhere.

    Raises
    ------
    OutputError
        The wished file cannot be written; the message names the file that holds the result.
    """
    try:
        write_photo(path, pixels, like, replace=replace)
    except OutputError as error:
        for spare in _spare_files(Path(path).parent, ".tif"):
            for model, said in ((like, "as TIFF"), (None, "as a plain TIFF, without metadata")):
                try:
                    write_photo(spare, pixels, model)
                except OutputError:
                    continue
                raise OutputError(
                    f"{error.message} The result lies in {spare.absolute()}, {said}.", error.hint
                ) from error
        raise


def write_elsewhere(data: bytes, folder: Path, suffix: str) -> Path | None:
    """Write a result that its own file did not take; return the file, None where all fail.

    Parameters
    ----------
    data : bytes
    folder : Path
        Is tried before the home folder and the folder of temporary files.
    suffix : str
        Of the file, such as '.png'.
    """
    for spare in _spare_files(folder, suffix):
        with suppress(OutputError):
            write_file(spare, data)
            return spare
    return None


def _spare_files(folder: Path, suffix: str) -> list[Path]:
    """Names for a result that cannot be written as wished: in its folder, at home, elsewhere."""
    name = f"dip_restored_{secrets.token_hex(4)}{suffix}"
    return [each / name for each in (folder, Path.home(), Path(tempfile.gettempdir()))]


def _write(
    out: IO[bytes],
    pixels: Array,
    form: str,
    like: Photo | None,
    scratch: Callable[[], IO[bytes]],
) -> None:
    """Write pixels to a file, with the metadata of a photo around them.

    Parameters
    ----------
    out : file
        Empty, open for reading and writing.
    pixels : ndarray
    form : str
    like : Photo, optional
    scratch : callable
        Opens a file for the encoded pixels, until they are put between the metadata.
    """
    if like is None:
        _encode(pixels, form, out)
    else:
        write_around(out, pixels, form, like, lambda each: _encode(each, form, scratch()))


def _encode(pixels: Array, form: str, file: IO[bytes]) -> IO[bytes]:
    """Write pixels without metadata to an empty file, and rewind it."""
    if isinstance(file, io.BytesIO):
        target = pyvips.TargetCustom()  # save_buffer has the whole file in memory twice more
        target.on_write(file.write)
        target.on_read(file.read)
        target.on_seek(file.seek)
    else:
        target = pyvips.Target.new_to_descriptor(file.fileno())
    getattr(image_of(pixels), f"{form}save_target")(target, **saving_options(form, pixels))
    file.seek(0)
    return file
