"""The structure of TIFF files and of EXIF blocks: directories of tags whose bytes stay as they are.

Values are never decoded, so a text keeps its bytes in any encoding, and a private tag its value.

References
----------
TIFF 6.0, Adobe, 1992; Exif 2.32, CIPA DC-008; BigTIFF, https://www.awaresystems.be/imaging/tiff/bigtiff.html.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import IO

import numpy as np
from PIL.ExifTags import Base as Tag

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
          16: 8, 17: 8, 18: 8}  # fmt: skip
_INTEGERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
BYTE, SHORT, LONG, UNDEFINED, LONG8, IFD8 = 1, 3, 4, 7, 16, 18

NESTED = (Tag.ExifOffset, Tag.GPSInfo, Tag.ExifInteroperabilityOffset)
LINEAR_RAW = 34892
"""Linear samples of a camera or scanner, as DNG has them; of PhotometricInterpretation."""


class StructureError(ValueError):
    """A structure that is damaged."""


@dataclass(frozen=True)
class Entry:
    """A tag's value: its bytes, or their offset in the file."""

    type: int
    count: int
    data: bytes = b""
    offset: int | None = None

    @property
    def size(self) -> int:
        return SIZES.get(self.type, 1) * self.count


Entries = dict[int, Entry]


@dataclass(frozen=True)
class Directory:
    """A directory, the places of its entries, and that of the pointer to the next one."""

    entries: Entries
    places: dict[int, int]
    next: int
    pointer: int


@dataclass(frozen=True)
class Layout:
    """Byte order ('<' or '>'), and whether offsets have 8 bytes (BigTIFF)."""

    order: str
    big: bool

    @classmethod
    def of(cls, start: bytes) -> Layout:
        order = {b"II": "<", b"MM": ">"}.get(start[:2])
        if order is None or len(start) < 8:
            raise StructureError("no TIFF header")
        version = struct.unpack(order + "H", start[2:4])[0]
        if version not in (42, 43):
            raise StructureError(f"version {version}")
        return cls(order, version == 43)

    @property
    def field(self) -> int:
        """Bytes of an offset, of a value inside its entry, and before the first offset."""
        return 8 if self.big else 4

    @property
    def _offset_form(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def _count_form(self) -> str:
        return self.order + ("Q" if self.big else "H")

    @property
    def _entry_form(self) -> str:
        """Of tag, type and count."""
        return self.order + ("HHQ" if self.big else "HHI")

    def pack_offset(self, offset: int) -> bytes:
        try:
            return struct.pack(self._offset_form, offset)
        except struct.error:
            raise StructureError("more than 4 GB") from None

    def unpack_offset(self, data: bytes) -> int:
        return self._unpack(self._offset_form, data)

    def integers(self, data: bytes, kind: int) -> list[int]:
        """Decode the bytes of an integer tag."""
        if kind not in _INTEGERS:
            raise StructureError(f"type {kind} where integers are expected")
        return [int(each) for each in np.frombuffer(data, self.order + _INTEGERS[kind])]

    def entry(self, kind: int, values: Iterable[int]) -> Entry:
        """Encode an integer tag."""
        try:
            data = np.array(list(values), self.order + _INTEGERS[kind])
        except OverflowError:
            raise StructureError("more than 4 GB") from None
        return Entry(kind, data.size, data.tobytes())

    def pack_directory(self, entries: Mapping[int, Entry], start: int, next_offset: int) -> bytes:
        """The bytes of a directory at `start`: its entries, then the values that need room."""
        listed, values = bytearray(struct.pack(self._count_form, len(entries))), bytearray()
        size = struct.calcsize(self._entry_form) + self.field
        after = start + len(listed) + size * len(entries) + self.field
        for tag, entry in sorted(entries.items()):
            if entry.offset is None and len(entry.data) > self.field:
                values += bytes((after + len(values)) % 2)
                listed += self.pack_entry(tag, replace(entry, offset=after + len(values)))
                values += entry.data
            else:
                listed += self.pack_entry(tag, entry)
        return bytes(listed) + self.pack_offset(next_offset) + bytes(values)

    def pack_entry(self, tag: int, entry: Entry) -> bytes:
        """The bytes of an entry whose value is inside it or has an offset."""
        head = struct.pack(self._entry_form, tag, entry.type, entry.count)
        if entry.offset is not None:
            return head + self.pack_offset(entry.offset)
        return head + entry.data.ljust(self.field, b"\0")

    def read_directory(self, file: IO[bytes], offset: int) -> Directory:
        """The directory at an offset; StructureError if it is not inside the file."""
        if offset > file.seek(0, io.SEEK_END):
            raise StructureError("a directory outside the file")
        file.seek(offset)
        count = self._unpack(self._count_form, file.read(struct.calcsize(self._count_form)))
        head = struct.calcsize(self._entry_form)
        if not 0 < count <= 0xFFFF:
            raise StructureError(f"{count} entries")
        size = head + self.field
        listed = file.read(count * size)
        pointer = file.tell()
        following = file.read(self.field)
        if len(listed) < count * size:
            raise StructureError("a directory outside the file")
        entries: Entries = {}
        places: dict[int, int] = {}
        for at in range(0, len(listed), size):
            tag, kind, number = struct.unpack(self._entry_form, listed[at : at + head])
            field = listed[at + head : at + size]
            entry = Entry(kind, number, field)
            if entry.size > self.field:
                entry = Entry(kind, number, offset=self.unpack_offset(field))
            else:
                entry = replace(entry, data=field[: entry.size])
            if tag not in entries:
                entries[tag], places[tag] = entry, pointer - len(listed) + at
        # An EXIF block may end before the pointer of its only directory.
        after = self.unpack_offset(following) if len(following) == self.field else 0
        return Directory(entries, places, after, pointer)

    def value(self, file: IO[bytes], entry: Entry) -> bytes:
        """The bytes of a value; StructureError if they are not inside the file."""
        if entry.offset is None:
            return entry.data
        end = file.seek(0, io.SEEK_END)
        if entry.offset + entry.size > end:
            raise StructureError("a value outside the file")
        file.seek(entry.offset)
        return file.read(entry.size)

    def numbers(self, file: IO[bytes], entries: Entries, tag: int) -> list[int]:
        """The integers of a tag; empty without it."""
        entry = entries.get(tag)
        return [] if entry is None else self.integers(self.value(file, entry), entry.type)

    def chain(self, file: IO[bytes]) -> Iterator[tuple[int, Directory]]:
        """The directories that are linked to each other, with their offsets."""
        file.seek(self.field)
        offset, seen = self.unpack_offset(file.read(self.field)), set[int]()
        while offset and offset not in seen:
            seen.add(offset)
            directory = self.read_directory(file, offset)
            yield offset, directory
            offset = directory.next

    def _unpack(self, form: str, data: bytes) -> int:
        if len(data) < struct.calcsize(form):
            raise StructureError("a directory outside the file")
        return int(struct.unpack(form, data)[0])


def upright(block: bytes, *, transposed: bool) -> tuple[bytes, bool]:
    """An EXIF block of an upright photo: no orientation, no thumbnail; all else in its place.

    Parameters
    ----------
    block : bytes
    transposed : bool
        Whether rows became columns.

    Returns
    -------
    bytes
    bool
        Whether a thumbnail was removed.
    """
    layout, file = Layout.of(block[:8]), io.BytesIO(block)
    directories = [directory for _, directory in islice(layout.chain(file), 2)]
    if not directories:
        raise StructureError("no directory")
    first = directories[0]
    inner = [
        layout.read_directory(file, offset)
        for offset in layout.numbers(file, first.entries, Tag.ExifOffset)
    ]
    edited = bytearray(block)
    for each in (first, *inner):
        for tag, entry in upright_entries(layout, each.entries, transposed).items():
            if entry != each.entries[tag]:
                at = each.places[tag]
                packed = layout.pack_entry(tag, entry)
                edited[at : at + len(packed)] = packed
    if len(directories) < 2:
        return bytes(edited), False
    edited[first.pointer : first.pointer + layout.field] = bytes(layout.field)
    thumbnail = directories[1].entries
    starts = layout.numbers(file, thumbnail, Tag.JpegIFOffset)
    sizes = layout.numbers(file, thumbnail, Tag.JpegIFByteCount)
    for start, size in zip(starts, sizes, strict=False):
        if edited[start : start + 2] == b"\xff\xd8" and start + size <= len(block):
            edited[start : start + size] = bytes(size)
            if start + size == len(block):
                del edited[start:]
    return bytes(edited), True


def upright_entries(layout: Layout, entries: Entries, transposed: bool) -> Entries:
    """The entries of an upright photo: orientation 1; width and height exchanged if transposed."""
    changed = dict(entries)
    if Tag.Orientation in changed:
        changed[Tag.Orientation] = layout.entry(SHORT, [1])
    if transposed:
        for one, other in (
            (Tag.ImageWidth, Tag.ImageLength),
            (Tag.ExifImageWidth, Tag.ExifImageHeight),
            (Tag.XResolution, Tag.YResolution),
        ):
            if one in entries and other in entries:
                changed[one], changed[other] = entries[other], entries[one]
    return changed


def resolution_of(file: IO[bytes], layout: Layout, entries: Entries) -> tuple[float, float] | None:
    """Horizontal and vertical resolution in px/mm, or None if there is none or it has no unit."""
    unit = {2: 25.4, 3: 10.0}.get((layout.numbers(file, entries, Tag.ResolutionUnit) or [2])[0])
    found = []
    for tag in (Tag.XResolution, Tag.YResolution):
        entry = entries.get(tag)
        if unit is None or entry is None or entry.type != 5 or entry.count != 1:
            return None
        above, below = struct.unpack(layout.order + "II", layout.value(file, entry))
        if not above or not below:
            return None
        found.append(above / below / unit)
    return found[0], found[1]


def exif_orientation(block: bytes) -> int:
    """The orientation mark of an EXIF block, 1 to 8; 1 where it has none that can be read."""
    try:
        layout, file = Layout.of(block[:8]), io.BytesIO(block)
        _, directory = next(layout.chain(file))
        entry = directory.entries.get(Tag.Orientation)
        mark: int = struct.unpack_from(layout.order + "H", entry.data)[0] if entry else 1
    except (StructureError, StopIteration, struct.error):
        return 1
    return mark if 1 <= mark <= 8 else 1


def exif_resolution(block: bytes) -> tuple[float, float] | None:
    """The resolution that an EXIF block names, px/mm; None if it names none that can be read."""
    try:
        layout, file = Layout.of(block[:8]), io.BytesIO(block)
        _, directory = next(layout.chain(file))
        return resolution_of(file, layout, directory.entries)
    except (StructureError, StopIteration):
        return None


def resolution_entries(layout: Layout, resolution: tuple[float, float]) -> Entries:
    """The three tags of a resolution in px/mm, written in dots per inch."""
    dots = [
        struct.pack(layout.order + "II", min(round(each * 25_400), 2**32 - 1), 1000)
        for each in resolution
    ]
    return {
        Tag.XResolution: Entry(5, 1, dots[0]),
        Tag.YResolution: Entry(5, 1, dots[1]),
        Tag.ResolutionUnit: layout.entry(SHORT, [2]),
    }


def empty_block(order: str) -> bytes:
    """The header of an EXIF block of this byte order, without a directory."""
    return (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 0)


def exif_block(entries: Entries, layout: Layout, file: IO[bytes]) -> bytes:
    """An EXIF block of some entries of a file, with the directories that they point to."""
    block = bytearray(empty_block(layout.order))
    start = _append(block, entries, layout, file, depth=0)
    block[4:8] = struct.pack(layout.order + "I", start)
    return bytes(block)


def _append(block: bytearray, entries: Entries, layout: Layout, file: IO[bytes], depth: int) -> int:
    """Append a directory and the data that it points to; return its offset."""
    small = Layout(layout.order, False)
    copied: Entries = {}
    for tag, entry in entries.items():
        if tag in NESTED:
            if depth < 2:
                inner = layout.read_directory(file, layout.numbers(file, entries, tag)[0]).entries
                copied[tag] = small.entry(LONG, [_append(block, inner, layout, file, depth + 1)])
            continue
        data = layout.value(file, entry)
        if entry.type in (LONG8, IFD8):  # BigTIFF's integers do not exist in EXIF
            copied[tag] = small.entry(LONG, layout.integers(data, entry.type))
        else:
            copied[tag] = Entry(entry.type, entry.count, data)
    block += bytes(len(block) % 2)
    start = len(block)
    block += small.pack_directory(copied, start, 0)
    return start
