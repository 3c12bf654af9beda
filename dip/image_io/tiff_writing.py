"""Writing TIFF files: the pixels of one page are exchanged in the container of a photo."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import IO

import numpy as np
from PIL.ExifTags import Base as Tag

from dip.image_io.photo import Array, Metadata
from dip.image_io.tiff import BLOCKS, OF_PIXELS, Container, is_reduced, strips_of
from dip.image_io.tiff_structure import (
    LINEAR_RAW,
    LONG,
    LONG8,
    SHORT,
    Entries,
    Entry,
    Layout,
    empty_block,
    resolution_entries,
    upright_entries,
)
from dip.image_io.vips import image_of
from dip.samples import to_8_bit

_EXIV2_MARK = b"ExifMeta"

Encode = Callable[[Array], IO[bytes]]


def wrap(
    out: IO[bytes], metadata: Metadata, pixels: Array, extra: Array | None, encode: Encode
) -> None:
    """Write a TIFF file with these pixels in the container of a photo.

    Parameters
    ----------
    out : file
        Empty, open for reading and writing.
    metadata : Metadata
        Of a TIFF file, or of another format, whose blocks become tags.
    pixels : ndarray
    extra : ndarray, optional
        (H, W, C): samples behind the pixels that are not alpha.
    encode : callable
        Encodes pixels as a little-endian TIFF file without metadata.
    """
    container, added = metadata.container, {}
    if not isinstance(container, Container):
        container = _container_of_blocks(metadata)
        added = _tags_of_blocks(metadata, container.layout)
    _Writer(out, container, encode).write(pixels, extra, added)


def _container_of_blocks(metadata: Metadata) -> Container:
    """A TIFF file without pixels that begins with an EXIF block: offsets in it remain true."""
    block = metadata.exif or empty_block("<")
    if block[8:16] == _EXIV2_MARK:  # with it, readers take the file for an EXIF block
        block = block[:8] + bytes(8) + block[16:]
    return Container(layout=Layout.of(block[:8]), pieces=((0, block),), holes=())


def _tags_of_blocks(metadata: Metadata, layout: Layout) -> Entries:
    tags: Entries = {
        tag: Entry(kind, len(data), data)
        for name, (tag, kind) in BLOCKS.items()
        if (data := getattr(metadata, name))
    }
    if metadata.resolution:
        tags |= resolution_entries(layout, metadata.resolution)
    return tags


class _Writer:
    """Writes pages into the container of a TIFF file."""

    def __init__(self, out: IO[bytes], container: Container, encode: Encode) -> None:
        self._out = out
        self._container = container
        self._layout = container.layout
        self._encode = encode
        for offset, data in container.pieces:  # between them are zeros
            out.seek(offset)
            out.write(data)
        # A hole at the end is no hole: the file is that much shorter.
        end = out.seek(0, io.SEEK_END)
        self._holes = [hole for hole in container.holes if hole[1] <= end]

    def write(self, pixels: Array, extra: Array | None, added: Entries) -> None:
        layout, container = self._layout, self._container
        chain = list(layout.chain(self._out))
        if not chain:
            start = self._page({}, pixels, extra, added, 0)
            self._point(layout.field, start)
            return
        following = 0
        for number in reversed(range(len(chain))):
            start, directory = chain[number]
            if number == container.page:
                sound = {
                    tag: entry
                    for tag, entry in directory.entries.items()
                    if container.is_sound(entry)
                }
                entries = upright_entries(layout, sound, container.transposed)
                entries = self._renewed(entries, pixels)
                start = self._page(entries, pixels, extra, added, following)
            elif number in container.thumbnails:
                start = self._thumbnail(directory.entries, pixels, following)
            elif directory.next != following:
                self._point(directory.pointer, following)
            following = start
        self._point(layout.field, following)

    def _renewed(self, entries: Entries, pixels: Array) -> Entries:
        """The tags of the page, with blocks and thumbnails that agree with the new pixels."""
        layout = self._layout
        for tag, block in self._container.replaced.items():
            old = entries.pop(tag, None)
            if block and old is not None:
                entries[tag] = Entry(old.type, len(block), block)
        if Tag.SubIFDs in entries:
            kind, offsets = entries[Tag.SubIFDs].type, []
            for offset in layout.numbers(self._out, entries, Tag.SubIFDs):
                directory = layout.read_directory(self._out, offset)
                if is_reduced(self._out, layout, directory):
                    offset = self._thumbnail(directory.entries, pixels, directory.next)
                offsets.append(offset)
            entries[Tag.SubIFDs] = layout.entry(kind, offsets)
        return entries

    def _page(
        self, entries: Entries, pixels: Array, extra: Array | None, added: Entries, following: int
    ) -> int:
        """Write pixels and their directory; return its offset."""
        kinds = entries.get(Tag.ExtraSamples)
        kept = {tag: entry for tag, entry in entries.items() if tag not in OF_PIXELS}
        if self._layout.numbers(self._out, entries, Tag.ResolutionUnit) not in ([], [1], [2], [3]):
            del kept[Tag.ResolutionUnit]  # libtiff refuses a file with another unit
        samples = pixels
        if extra is not None:
            samples = np.concatenate([np.atleast_3d(pixels), extra], axis=2)
        stored = self._pixels(samples)
        if extra is not None:  # samples without a mark are none of alpha
            stored[Tag.ExtraSamples] = kinds or self._layout.entry(SHORT, [0] * extra.shape[2])
        if self._layout.numbers(self._out, entries, Tag.PhotometricInterpretation) == [LINEAR_RAW]:
            stored[Tag.PhotometricInterpretation] = entries[Tag.PhotometricInterpretation]
        return self._append(kept | added | stored, following)

    def _thumbnail(self, entries: Entries, pixels: Array, following: int) -> int:
        """Write a reduced copy of the pixels in place of a thumbnail; return its offset."""
        layout = self._layout
        side = max(
            layout.numbers(self._out, entries, tag)[0] for tag in (Tag.ImageWidth, Tag.ImageLength)
        )
        height, width = pixels.shape[:2]
        scale = min(1.0, side / max(height, width))
        image = image_of(pixels).resize(
            max(1, round(width * scale)) / width, vscale=max(1, round(height * scale)) / height
        )
        reduced = image.numpy()
        if max(layout.numbers(self._out, entries, Tag.BitsPerSample) or [8]) <= 8:
            reduced = to_8_bit(reduced)
        kept = {tag: entry for tag, entry in entries.items() if tag not in OF_PIXELS}
        return self._append(kept | self._pixels(reduced), following)

    def _pixels(self, pixels: Array) -> Entries:
        """Write encoded pixels; return the tags that describe them."""
        swapped = self._layout.order == ">" and pixels.itemsize > 1
        # libvips writes little-endian files: the bytes of big-endian samples are swapped before.
        samples = pixels.astype(pixels.dtype.newbyteorder(">")) if swapped else pixels
        entries: Entries = {}
        places = []
        with self._encode(samples) as encoded:
            source = Layout.of(encoded.read(16))
            _, directory = next(source.chain(encoded))
            for tag, entry in directory.entries.items():
                if tag in OF_PIXELS:
                    kind = LONG if entry.type == LONG8 else entry.type
                    values = source.integers(source.value(encoded, entry), entry.type)
                    entries[tag] = self._layout.entry(kind, values)
            for start, stop in strips_of(encoded, source, directory.entries):
                encoded.seek(start)
                data = encoded.read(stop - start)
                places.append(self._room(len(data)))
                self._out.seek(places[-1])
                self._out.write(data)
        kind = LONG8 if self._layout.big else LONG
        entries[Tag.StripOffsets] = self._layout.entry(kind, places)
        return entries

    def _room(self, size: int) -> int:
        """The offset of free bytes: in a hole, or at the end."""
        for number, (start, stop) in enumerate(self._holes):
            if stop - start >= size:
                taken = start + size + size % 2
                self._holes[number] = taken, max(taken, stop)
                return start
        end = self._out.seek(0, io.SEEK_END)
        return end + end % 2

    def _append(self, entries: Entries, following: int) -> int:
        end = self._out.seek(0, io.SEEK_END)
        start = end + end % 2
        self._out.write(bytes(end % 2) + self._layout.pack_directory(entries, start, following))
        return start

    def _point(self, pointer: int, offset: int) -> None:
        self._out.seek(pointer)
        self._out.write(self._layout.pack_offset(offset))
