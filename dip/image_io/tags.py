"""The tags of TIFF files, and of EXIF data, which has the same structure.

Pillow reads and writes the directories. libvips copies EXIF data, but drops most tags of a TIFF
file.
"""

from __future__ import annotations

import io
from typing import IO

from PIL.TiffImagePlugin import ImageFileDirectory_v2

_SUBDIRECTORIES = (0x8769, 0x8825)  # Exif, GPS
_DESCRIPTIVE = (
    0x010D, 0x010E, 0x010F, 0x0110, 0x011D, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298,
    *_SUBDIRECTORIES,
)  # fmt: skip
"""Names of document and page, description, maker, model, software, date, artist, host, copyright.

The other tags of a TIFF's first directory describe the storage of its pixels."""


def _read_directory(file: IO[bytes]) -> ImageFileDirectory_v2:
    """The first directory of a TIFF structure, with its Exif and GPS directories."""
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


def descriptive_tags(file: IO[bytes]) -> bytes | None:
    """The descriptive tags of a TIFF structure, as a new TIFF structure; None if it has none."""
    tags = _read_directory(file)
    kept = ImageFileDirectory_v2()
    for tag in _DESCRIPTIVE:
        if tag in tags:
            kept[tag] = tags[tag]
    if not kept:
        return None
    structure = io.BytesIO()
    kept.save(structure)
    return structure.getvalue()


def add_tags(file: IO[bytes], exif: bytes) -> None:
    """Add descriptive tags to the first directory of a TIFF file.

    The content of the file stays in place; the tags and a longer directory are appended.
    """
    file.seek(0)
    if file.read(4) != b"II*\0":
        return  # BigTIFF: Pillow cannot write its directories
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
    directory = b"".join(entries[tag] for tag in sorted(entries))
    count = len(entries).to_bytes(2, "little")
    file.write(bytes(end % 2) + count + directory + bytes(4))
    file.seek(4)
    file.write(start.to_bytes(4, "little"))


def _raw_entries(file: IO[bytes], start: int) -> dict[int, bytes]:
    """The entries of a TIFF directory, 12 bytes each, by tag."""
    file.seek(start)
    count = int.from_bytes(file.read(2), "little")
    entries = [file.read(12) for _ in range(count)]
    return {int.from_bytes(entry[:2], "little"): entry for entry in entries}
