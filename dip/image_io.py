"""Image files: the only module that reads or writes them.

PNG, TIFF, JPEG and WebP through libvips, which keeps 16-bit and float samples as they are; Pillow
only for EXIF. A file is known by its first bytes, never by its name, and its size is checked
before anything is decoded. Samples are never converted between colour spaces: the profile, EXIF,
XMP, IPTC and resolution of a photo go with its pixels into what is written for it. A photo that
its camera marked as turned is turned upright, and loses the mark.
"""

from __future__ import annotations

import io
import logging
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from dip.errors import ImageTooLarge, InputError, MaskError, OutputError
from dip.metrics import to_8_bit

_log = logging.getLogger(__name__)

Array = NDArray[Any]

logging.getLogger("pyvips").setLevel(logging.CRITICAL)  # libraries' remarks on odd tags
pyvips.cache_set_max(0)  # nothing is opened twice, and a cache would hold files open


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is refused before it is decoded.

    Parameters
    ----------
    pixels : int
        Width × height.
    bytes : int
        Of the file.
    """

    pixels: int = 200_000_000
    bytes: int = 2 * 2**30


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file says of itself before it is decoded.

    Parameters
    ----------
    format : str
        'png', 'tiff', 'jpeg' or 'webp'.
    width, height : int
        px, as stored: before an orientation mark is obeyed.
    has_alpha : bool
    """

    format: str
    width: int
    height: int
    has_alpha: bool


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What goes with the pixels of a photo; None for what it does not have.

    Parameters
    ----------
    icc, xmp, iptc : bytes, optional
    exif : bytes, optional
        A TIFF structure, as in the file, without the orientation.
    resolution : tuple of float, optional
        (horizontal, vertical), px/mm.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    resolution: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A decoded photo.

    Parameters
    ----------
    pixels : ndarray
        (H, W) or (H, W, C), C from 2 to 4, upright; uint8, uint16 or float32.
    format : str
        Of the file it came from.
    metadata : Metadata
    """

    pixels: Array
    format: str
    metadata: Metadata


# --- Reading ------------------------------------------------------------------------------------

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
_SAMPLES = ("uchar", "ushort", "float")
_FAILURES = (pyvips.Error, UnicodeDecodeError)  # the second: libvips quotes bytes of a name or file
_ROWS = 256  # looked through at a time, so that 100 megapixels need no copies of themselves
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
        form = _format_of_file(path, limits)
        load = partial(_loader(form, buffer=False), os.fsencode(path))
        return _decode(form, load, lambda: path.open("rb"), limits)


def decode_photo(data: bytes, name: str = "image", limits: Limits = DEFAULT_LIMITS) -> Photo:
    """Read a photo from the bytes of a file; otherwise as `read_photo`."""
    with _named(name):
        form = _format_of(data[:16], len(data), limits)
        load = partial(_loader(form, buffer=True), data)
        return _decode(form, load, partial(io.BytesIO, data), limits)


def read_header(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> Header:
    """Say what a file holds without decoding it; errors as for `read_photo`."""
    path = Path(path)
    with _named(str(path)):
        form = _format_of_file(path, limits)
        image = _open(partial(_loader(form, buffer=False), os.fsencode(path)), limits)
        return Header(
            format=form, width=image.width, height=image.height, has_alpha=image.hasalpha()
        )


def read_mask(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> Array:
    """Read a mask from a file: white = restore this.

    Returns
    -------
    ndarray
        (H, W): unsigned integers of full scale, or floats in [0, 1]. Transparent is black.

    Raises
    ------
    MaskError
        It has colours.
    InputError, ImageTooLarge
        As for `read_photo`.
    """
    return _gray(read_photo(path, limits).pixels, str(path))


def decode_mask(data: bytes, name: str = "mask", limits: Limits = DEFAULT_LIMITS) -> Array:
    """Read a mask from the bytes of a file; otherwise as `read_mask`."""
    return _gray(decode_photo(data, name, limits).pixels, name)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Put the file's name before the message of any error inside."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{name}: {error.message}", error.hint) from error


def _format_of_file(path: Path, limits: Limits) -> str:
    try:
        with path.open("rb") as file:
            return _format_of(file.read(16), os.fstat(file.fileno()).st_size, limits)
    except OSError as error:
        raise InputError(
            f"It cannot be read: {error.strerror}.", "Check the name and the permissions."
        ) from error


def _format_of(start: bytes, size: int, limits: Limits) -> str:
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


def _loader(form: str, *, buffer: bool) -> Callable[..., Any]:
    """The loader of one format; no other is tried."""
    load = partial(pyvips.Operation.call, f"{form}load{'_buffer' if buffer else ''}")
    return partial(load, fail_on="error")


def _open(load: Callable[[], Any], limits: Limits) -> Any:
    """Read the header and check what it claims."""
    try:
        image = load()
    except _FAILURES as error:
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
    metadata = _metadata_of(image, form, open_source)
    try:
        image = image.autorot()
        pixels = image.numpy()
    except _FAILURES as error:
        raise _damaged(error) from error
    # pyvips makes a number of a single gray pixel.
    pixels = pixels.reshape(image.height, image.width, image.bands)
    if image.bands == 1:
        pixels = pixels[:, :, 0]
    return Photo(pixels=pixels, format=form, metadata=metadata)


def _damaged(error: pyvips.Error | UnicodeDecodeError) -> InputError:
    lines = [line.strip() for line in _said_by(error).splitlines() if line.strip()]
    said = lines[-1].rstrip(".") if lines else "no reason was given"
    return InputError(
        f"It cannot be decoded: damaged, cut short, or of a rare kind ({said}).",
        "Open it elsewhere and save it again.",
    )


def _said_by(error: pyvips.Error | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        pyvips.vips_lib.vips_error_clear()  # or every later error begins with the same bytes
        return bytes(error.object).decode(errors="replace")
    return str(error.detail)


def _gray(pixels: Array, name: str) -> Array:
    if pixels.ndim == 2:
        return pixels
    full = np.iinfo(pixels.dtype).max if np.issubdtype(pixels.dtype, np.integer) else 1
    if pixels.shape[2] >= 3 and _has_colours(pixels, full):
        raise MaskError(
            f"{name}: The mask has colours.",
            "It must be gray: white where the image is to be restored, black elsewhere.",
        )
    middle = pixels[:, :, 1 if pixels.shape[2] >= 3 else 0]
    if not _has_alpha(pixels):
        return middle.copy()  # a view would keep the other channels in memory
    opaque: Array = middle.astype(np.float32) / np.float32(full)
    opaque *= pixels[:, :, -1].astype(np.float32) / np.float32(full)
    return opaque


def _has_colours(pixels: Array, full: int) -> bool:
    """Whether the channels of any pixel that can be seen differ."""
    for top in range(0, len(pixels), _ROWS):
        rows = pixels[top : top + _ROWS]
        # Copied first: numpy is twenty times slower where neighbours are three bytes apart.
        bands = np.ascontiguousarray(np.moveaxis(rows[:, :, :3], 2, 0))
        spread = bands.max(axis=0) - bands.min(axis=0)
        coloured = spread > 0.04 * full  # a JPEG's gray is not quite neutral
        if _has_alpha(pixels):
            coloured &= rows[:, :, -1] > 0
        if coloured.any():
            return True
    return False


# --- Metadata -----------------------------------------------------------------------------------

_ORIENTATION = 0x0112
_SUBDIRECTORIES = (0x8769, 0x8825)  # Exif, GPS
_DESCRIPTIVE = (
    0x010D, 0x010E, 0x010F, 0x0110, 0x011D, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298,
    *_SUBDIRECTORIES,
)  # fmt: skip
"""Names of document and page, description, maker, model, software, date, artist, host, copyright.

The other tags of a TIFF's first directory say how its pixels are stored."""
_EXIF_PREFIX = b"Exif\0\0"


def _metadata_of(image: Any, form: str, open_source: Callable[[], IO[bytes]]) -> Metadata:
    def field(name: str) -> bytes | None:
        return image.get(name) if image.get_typeof(name) else None

    exif = field("exif-data")
    try:
        if form == "tiff":
            with open_source() as file:
                exif = _descriptive_tags(file)
        elif exif is not None:
            exif = _descriptive_tags(io.BytesIO(exif.removeprefix(_EXIF_PREFIX)))
    except Exception as error:  # whatever hostile tags raise in Pillow: the pixels matter more
        _log.warning("its EXIF data is damaged and is not carried over (%s)", error)
        exif = None
    # A file without a resolution is reported with 1 px/mm.
    says_resolution = (image.xres, image.yres) not in ((1.0, 1.0), (0.0, 0.0))
    return Metadata(
        icc=field("icc-profile-data"),
        exif=exif,
        xmp=field("xmp-data"),
        iptc=field("iptc-data"),
        resolution=(image.xres, image.yres) if says_resolution else None,
    )


def _read_directory(file: IO[bytes]) -> ImageFileDirectory_v2:
    """The first directory of a TIFF structure, those of Exif and GPS within it."""
    header = file.read(8)
    if header[2:3] in b"+" or header[3:4] in b"+":
        header += file.read(8)
    directory = ImageFileDirectory_v2(header)
    file.seek(directory.next)
    directory.load(file)
    for tag in _SUBDIRECTORIES:
        offset = directory.get(tag)
        if offset is not None:
            sub = ImageFileDirectory_v2(header, group=tag)
            file.seek(offset)
            sub.load(file)
            directory[tag] = dict(sub)
    return directory


def _descriptive_tags(file: IO[bytes]) -> bytes | None:
    """What a TIFF structure says of the photo, as a TIFF structure of its own."""
    everything = _read_directory(file)
    kept = ImageFileDirectory_v2()
    for tag in _DESCRIPTIVE:
        if tag in everything:
            kept[tag] = everything[tag]
    if not kept:
        return None
    structure = io.BytesIO()
    kept.save(structure)
    return structure.getvalue()


def _add_tags(file: IO[bytes], exif: bytes) -> None:
    """Add descriptive tags to the first directory of a TIFF file.

    What the file holds stays where it is; the tags, and a longer directory, are put at its end.
    """
    file.seek(0)
    if file.read(4) != b"II*\0":
        return  # BigTIFF: Pillow does not write its directories
    entries = _raw_entries(file, int.from_bytes(file.read(4), "little"))
    end = file.seek(0, io.SEEK_END)
    start = end + end % 2
    tags = ImageFileDirectory_v2()
    for tag, value in _read_directory(io.BytesIO(exif)).items():
        tags[tag] = value
    file.write(bytes(end % 2) + tags.tobytes(start))
    entries |= _raw_entries(file, start)
    end = file.seek(0, io.SEEK_END)
    start = end + end % 2
    listed = b"".join(entries[tag] for tag in sorted(entries))
    count = len(entries).to_bytes(2, "little")
    file.write(bytes(end % 2) + count + listed + bytes(4))
    file.seek(4)
    file.write(start.to_bytes(4, "little"))


def _raw_entries(file: IO[bytes], start: int) -> dict[int, bytes]:
    """The entries of a TIFF directory, 12 bytes each, by tag."""
    file.seek(start)
    count = int.from_bytes(file.read(2), "little")
    entries = [file.read(12) for _ in range(count)]
    return {int.from_bytes(entry[:2], "little"): entry for entry in entries}


# --- Writing ------------------------------------------------------------------------------------

_LARGEST_SIDE_PX = {"jpeg": 65_535, "webp": 16_383}
_SAVING: dict[str, dict[str, Any]] = {
    # Differences of neighbouring rows: photos 10 to 30 % smaller, in the same time.
    "png": {"compression": 6, "filter": "up"},
    "tiff": {"compression": "deflate", "predictor": "horizontal"},
    # Lossless, with the colours behind full transparency.
    "webp": {"lossless": True, "exact": True, "effort": 4},
    "jpeg": {"Q": 95, "subsample_mode": "off", "optimize_coding": True},
}


def write_photo(path: Path | str, pixels: Array, like: Photo | None = None) -> None:
    """Write a photo, with the metadata of another; the format is that of the name.

    A file that is already there is replaced at once or not at all: what is written lies beside
    it until it is complete and on disk.

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
    path = Path(path).resolve()  # a link stays, and what it points to is replaced
    form = _writable_format(path, pixels)
    with _replacing(path) as beside:
        _image_of(pixels, like).__getattr__(f"{form}save")(
            os.fsencode(beside), **_options(form, pixels)
        )
        if form == "tiff" and like is not None and like.metadata.exif:
            with beside.open("r+b") as file:
                _add_tags(file, like.metadata.exif)


def encode_photo(pixels: Array, form: str, like: Photo | None = None) -> bytes:
    """Write a photo into memory.

    Parameters
    ----------
    pixels : ndarray
    form : str
        'png', 'tiff', 'webp' or 'jpeg'.
    like : Photo, optional

    Returns
    -------
    bytes
        Of the file.

    Raises
    ------
    OutputError
        The format cannot hold these samples.
    """
    _check_samples(form, pixels, f"The format {form}")
    image = _image_of(pixels, like)
    data: bytes = image.__getattr__(f"{form}save_buffer")(**_options(form, pixels))
    if form == "tiff" and like is not None and like.metadata.exif:
        file = io.BytesIO(data)
        _add_tags(file, like.metadata.exif)
        return file.getvalue()
    return data


def write_file(path: Path | str, data: bytes | memoryview) -> None:
    """Write the bytes of a file, such as `encode_photo` gives, as `write_photo` does."""
    path = Path(path).resolve()
    with _replacing(path) as beside:
        beside.write_bytes(data)


def write_pixels(path: Path | str, pixels: Array) -> None:
    """Write a picture that is only looked at, such as a preview: in 8 bits, without metadata."""
    levels = to_8_bit(pixels)
    if Path(path).suffix.lower() in (".jpg", ".jpeg") and _has_alpha(levels):
        levels = levels[:, :, :-1]
    write_photo(path, levels)


def check_writable(path: Path | str, photo: Photo | None = None) -> None:
    """Raise OutputError now where `write_photo` would after hours of work.

    Parameters
    ----------
    path : Path
    photo : Photo, optional
        What will be written has its size and samples.
    """
    path = Path(path).resolve()
    if path.suffix.lower() == ".json":
        pass
    elif photo is None:
        _format_named(path)
    else:
        _writable_format(path, photo.pixels)
    if path.is_dir():
        raise OutputError(f"{path} is a folder.", "Name a file in it.")
    if not path.parent.is_dir():
        raise OutputError(f"There is no folder {path.parent}.", "Make it first.")
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputError(f"{path} is write-protected.", "Name another file.")
    with _replacing(path, keep=False) as beside:
        beside.touch()


def _image_of(pixels: Array, like: Photo | None) -> Any:
    height, width = pixels.shape[:2]
    bands = 1 if pixels.ndim == 2 else pixels.shape[2]
    formats = {"uint8": "uchar", "uint16": "ushort", "float32": "float"}
    image = pyvips.Image.new_from_memory(
        np.ascontiguousarray(pixels).data, width, height, bands, formats[pixels.dtype.name]
    )
    gray = bands <= 2
    meaning = {
        "uint8": "b-w" if gray else "srgb",
        "uint16": "grey16" if gray else "rgb16",
        "float32": "b-w" if gray else "scrgb",
    }[pixels.dtype.name]
    metadata = Metadata() if like is None else like.metadata
    image = image.copy(interpretation=meaning)
    if metadata.resolution is not None:
        image = image.copy(xres=metadata.resolution[0], yres=metadata.resolution[1])
    fields = {
        "icc-profile-data": metadata.icc,
        "exif-data": metadata.exif and _EXIF_PREFIX + metadata.exif,
        "xmp-data": metadata.xmp,
        "iptc-data": metadata.iptc,
    }
    for name, value in fields.items():
        if value:
            image.set_type(pyvips.GValue.blob_type, name, value)
    return image


def _options(form: str, pixels: Array) -> dict[str, Any]:
    options = dict(_SAVING[form])
    if form == "tiff" and pixels.dtype == np.float32:
        options["predictor"] = "float"
    return options


def _has_alpha(pixels: Array) -> bool:
    return pixels.ndim == 3 and pixels.shape[2] in (2, 4)


def _format_named(path: Path) -> str:
    try:
        return _SUFFIXES[path.suffix.lower()]
    except KeyError:
        raise OutputError(
            f"{path.name} does not say what to write: {path.suffix or 'nothing'} is no known "
            "ending.",
            "End it with .png, .tif, .webp or .jpg.",
        ) from None


def _writable_format(path: Path, pixels: Array) -> str:
    form = _format_named(path)
    _check_samples(form, pixels, path.name)
    return form


def _check_samples(form: str, pixels: Array, what: str) -> None:
    """Nothing is lost on the way into a file without being asked for."""
    held: dict[str, tuple[str, ...]] = {
        "png": ("uint8", "uint16"),
        "tiff": ("uint8", "uint16", "float32"),
        "webp": ("uint8",),
        "jpeg": ("uint8",),
    }
    samples = pixels.dtype.name
    if samples not in held[form]:
        raise OutputError(
            f"{what} cannot hold {samples} samples: {form.upper()} has {' or '.join(held[form])}.",
            "Write .tif." if samples == "float32" else "Write .tif or .png.",
        )
    if form == "jpeg" and _has_alpha(pixels):
        raise OutputError(f"{what} cannot hold transparency.", "Write .png, .tif or .webp.")
    longest, most = max(pixels.shape[:2]), _LARGEST_SIDE_PX.get(form)
    if most is not None and longest > most:
        raise OutputError(
            f"{what} cannot hold {longest} px to a side: {form.upper()} ends at {most}.",
            "Write .png or .tif.",
        )


@contextmanager
def _replacing(path: Path, *, keep: bool = True) -> Iterator[Path]:
    """Yield a name beside a file; put what was written there in its place once it is on disk."""
    beside = path.with_name(f".{secrets.token_hex(6)}.part")
    try:
        yield beside
        if keep:
            if path.exists():
                beside.chmod(path.stat().st_mode & 0o777)
            _flush(beside)
            beside.replace(path)
            _flush(path.parent)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror}.", "Name another file or folder."
        ) from error
    except _FAILURES as error:
        reason = " ".join(_said_by(error).split()) or "the disk may be full"
        raise OutputError(
            f"{path} cannot be written: {reason}.", "Is the disk full? Name another folder."
        ) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """See a file, or the entries of a folder, on disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows flushes no folders
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
