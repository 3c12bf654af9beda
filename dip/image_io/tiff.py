"""TIFF files: all that surrounds the pixels of one page stays in its place.

A result is the photo's own file with the pixels of one page exchanged: every other page, directory,
tag and private block stays where it was, so that offsets inside maker notes remain true. The
directory of the page gets the tags that describe the new pixels; its other tags keep their bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from PIL.ExifTags import Base as Tag

from dip.image_io.blocks import Blocks, split_photoshop, without_thumbnails
from dip.image_io.photo import Metadata
from dip.image_io.tiff_structure import (
    BYTE,
    LINEAR_RAW,
    NESTED,
    SIZES,
    UNDEFINED,
    Directory,
    Entries,
    Entry,
    Layout,
    exif_block,
    resolution_of,
    upright_entries,
)
from dip.notes import Note

_LAYERS = 0x935C  # ImageSourceData
BLOCKS = {
    "icc": (Tag.InterColorProfile, UNDEFINED),
    "xmp": (Tag.XMLPacket, BYTE),
    "iptc": (Tag.IPTCNAA, UNDEFINED),
    "photoshop": (Tag.ImageResources, BYTE),
}
"""The tag of each block of `Metadata`, and its type."""
OF_PIXELS = frozenset((
    *range(0x0100, 0x0104), 0x0106, 0x010A, 0x0111, *range(0x0115, 0x011A), 0x011C,
    *range(0x0120, 0x0126), 0x013D, *range(0x0140, 0x0146), *range(0x0152, 0x0156), 0x015B,
    *range(0x0200, 0x020A), *range(0x0211, 0x0215),
))  # fmt: skip
"""Tags that describe how pixels are stored: size, depth, compression, strips, tiles, sampling."""
Span = tuple[int, int]
"""Start and stop of bytes in a file."""


@dataclass(frozen=True, kw_only=True)
class Container:
    """A TIFF file without the pixels of one page.

    Parameters
    ----------
    layout : Layout
    pieces : tuple of (int, bytes)
        Offsets and bytes of everything but the holes.
    holes : tuple of (int, int)
        Start and stop of the pixels that were cut out, and of blocks that will be replaced.
    page : int
        The page in the chain of directories, from 0.
    thumbnails : frozenset of int
        Pages that are reduced copies of it.
    transposed : bool
        Whether rows became columns when the photo was turned upright.
    replaced : mapping of int to bytes
        Blocks of the page that change, by tag; an empty one is removed.
    """

    layout: Layout
    pieces: tuple[tuple[int, bytes], ...]
    holes: tuple[Span, ...]
    page: int = 0
    thumbnails: frozenset[int] = frozenset()
    transposed: bool = False
    replaced: Mapping[int, bytes] = field(default_factory=dict)

    def is_sound(self, entry: Entry) -> bool:
        """Whether a value is of a known type and inside the file; libtiff may refuse others."""
        size = max((start + len(data) for start, data in self.pieces), default=0)
        size = max([size, *(stop for _, stop in self.holes)])
        return entry.type in SIZES and (entry.offset is None or entry.offset + entry.size <= size)


@dataclass(frozen=True, kw_only=True)
class Pages:
    """The pages of a TIFF file: which one is the photo, and which are reduced copies of it.

    Parameters
    ----------
    layout : Layout
    chain : tuple of Directory
        All pages; none where the directories are damaged.
    page : int
        The photo, from 0.
    full_size : tuple of int
        The pages that are no reduced copies.
    thumbnails : frozenset of int
        Reduced copies of the photo.
    extra_kinds : tuple of int
        ExtraSamples of the photo: 1 (premultiplied) and 2 are alpha.
    photometric : int
        The meaning of the samples.
    compression : int
    is_chosen : bool
        Whether the caller asked for this page.
    """

    layout: Layout
    chain: tuple[Directory, ...]
    page: int
    full_size: tuple[int, ...] = ()
    thumbnails: frozenset[int] = frozenset()
    extra_kinds: tuple[int, ...] = ()
    photometric: int = 2
    compression: int = 1
    is_chosen: bool = False


NO_PAGES = Pages(layout=Layout("<", False), chain=(), page=0)
"""Of a file whose directories are damaged."""


def find_pages(file: IO[bytes], page: int | None = None) -> Pages:
    """Look through the pages.

    Parameters
    ----------
    file : file
    page : int, optional
        The page that is the photo, from 0; by default the first one that is no reduced copy.

    Raises
    ------
    ValueError, LookupError, struct.error
        The directories are damaged, or there is no such page.
    """
    file.seek(0)
    layout = Layout.of(file.read(16))
    chain = tuple(directory for _, directory in layout.chain(file))
    full_size = [at for at, each in enumerate(chain) if not is_reduced(file, layout, each)]
    is_chosen = page is not None
    if page is None:
        page = full_size[0] if full_size else 0
    entries = chain[page].entries
    # Reduced copies follow their page; those at the start belong to the first one.
    following = next((at for at in full_size if at > page), len(chain))
    first = page if any(at < page for at in full_size) else 0
    own = frozenset(range(first, following)) - {page, *full_size}
    return Pages(
        layout=layout,
        chain=chain,
        page=page,
        full_size=tuple(full_size),
        thumbnails=own,
        extra_kinds=tuple(layout.numbers(file, entries, Tag.ExtraSamples)),
        photometric=(layout.numbers(file, entries, Tag.PhotometricInterpretation) or [2])[0],
        compression=(layout.numbers(file, entries, Tag.Compression) or [1])[0],
        is_chosen=is_chosen,
    )


def read(file: IO[bytes], orientation: int, pages: Pages) -> Metadata:
    """The container of a file, and the blocks in it, for a photo that is turned upright."""
    layout, chain = pages.layout, pages.chain
    entries = chain[pages.page].entries
    straight = upright_entries(layout, entries, orientation >= 5)
    # Tags that only stand with a thumbnail describe the photo, too.
    described = {tag: entry for at in pages.thumbnails for tag, entry in chain[at].entries.items()}
    described |= straight
    found: dict[str, Any] = {
        name: layout.value(file, described[tag])
        for name, (tag, _) in BLOCKS.items()
        if tag in described
    }
    replaced: dict[int, bytes] = {}
    notes: list[Note] = []
    if "xmp" in found:
        xmp = Blocks(orientation).xmp(found["xmp"])
        if xmp != found["xmp"] and Tag.XMLPacket in entries:
            replaced[Tag.XMLPacket] = xmp
        found["xmp"] = xmp
    if "photoshop" in found:
        whole = found.pop("photoshop")
        if without_thumbnails(whole) != whole and Tag.ImageResources in entries:
            replaced[Tag.ImageResources] = without_thumbnails(whole)
        found = split_photoshop(whole) | found
    if _LAYERS in entries:
        replaced[_LAYERS] = b""
        notes.append(Note("layers_removed"))
    container = _cut(file, pages, replaced, orientation >= 5)
    damaged = [f"{tag:#x}" for tag, entry in entries.items() if not container.is_sound(entry)]
    if damaged:
        notes.append(Note("tags_damaged", tags=damaged))
    if pages.extra_kinds[:1] == (1,):
        notes.append(Note("premultiplied"))
    if not pages.full_size:
        notes.append(Note("all_reduced"))
    if len(pages.full_size) > 1 and not pages.is_chosen:
        notes.append(Note("one_page", count=len(pages.full_size), page=pages.page + 1))
    moved = {*OF_PIXELS, _LAYERS, Tag.SubIFDs, Tag.NewSubfileType}
    moved |= {tag for tag, _ in BLOCKS.values()}
    described = {tag: entry for tag, entry in described.items() if tag not in moved}
    if described:
        found["exif"] = exif_block(described, layout, file)
    return Metadata(
        form="tiff",
        resolution=resolution_of(file, layout, straight),
        container=container,
        notes=tuple(notes),
        own=tuple(_own_names(file, pages)),
        **found,
    )


def _own_names(file: IO[bytes], pages: Pages) -> list[str]:
    """The names of the things that no other format can hold."""
    layout, entries = pages.layout, pages.chain[pages.page].entries
    names: list[str] = []
    others = len(pages.chain) - 1 - len(pages.thumbnails)
    if others:
        names.append(Note("pages", count=others) if others > 1 else Note("page"))
    if Tag.SubIFDs in entries:
        names.append(Note("sub_images"))
    if pages.photometric == LINEAR_RAW:
        names.append(Note("linear"))
    for offset in layout.numbers(file, entries, Tag.ExifOffset):
        if Tag.MakerNote in layout.read_directory(file, offset).entries:
            names.append(Note("maker_note_offsets"))
    return names


def is_reduced(file: IO[bytes], layout: Layout, directory: Directory) -> bool:
    new = layout.numbers(file, directory.entries, Tag.NewSubfileType)
    old = layout.numbers(file, directory.entries, Tag.SubfileType)
    return bool((new and new[0] & 1) or (not new and old and old[0] == 2))


def strips_of(file: IO[bytes], layout: Layout, entries: Entries) -> list[Span]:
    """Start and stop of all strips or tiles."""
    found = []
    for starts, sizes in (
        (Tag.StripOffsets, Tag.StripByteCounts),
        (Tag.TileOffsets, Tag.TileByteCounts),
    ):
        first, length = (layout.numbers(file, entries, tag) for tag in (starts, sizes))
        found += [(at, at + size) for at, size in zip(first, length, strict=False)]
    return found


def _cut(
    file: IO[bytes], pages: Pages, replaced: Mapping[int, bytes], transposed: bool
) -> Container:
    """Everything in a file but the pixels of its page."""
    entries = pages.chain[pages.page].entries
    free = strips_of(file, pages.layout, entries)
    for tag in replaced:
        entry = entries[tag]
        if entry.offset is not None:
            free.append((entry.offset, entry.offset + entry.size))
    used = [(0, 16), *_used(file, pages, replaced)]
    size = file.seek(0, io.SEEK_END)
    holes = _untaken([(min(start, size), min(stop, size)) for start, stop in free], used)
    pieces, at = [], 0
    for start, stop in [*holes, (size, size)]:
        if at < start:
            file.seek(at)
            pieces.append((at, file.read(start - at)))
        at = stop
    return Container(
        layout=pages.layout,
        pieces=tuple(pieces),
        holes=tuple(holes),
        page=pages.page,
        thumbnails=pages.thumbnails,
        transposed=transposed,
        replaced=replaced,
    )


def _used(file: IO[bytes], pages: Pages, replaced: Mapping[int, bytes]) -> Iterator[Span]:
    """The bytes that directories, values and the pixels of other pages take."""
    layout = pages.layout
    waiting = [(directory, number == pages.page) for number, directory in enumerate(pages.chain)]
    seen = set[int]()
    while waiting:
        directory, is_page = waiting.pop()
        first = min(directory.places.values())
        yield first - 8, directory.pointer + layout.field
        for tag, entry in directory.entries.items():
            if entry.offset is not None and not (is_page and tag in replaced):
                yield entry.offset, entry.offset + entry.size
        if not is_page:
            yield from strips_of(file, layout, directory.entries)
        for tag in (*NESTED, Tag.SubIFDs):
            for offset in layout.numbers(file, directory.entries, tag):
                if offset not in seen:
                    seen.add(offset)
                    waiting.append((layout.read_directory(file, offset), False))


def _untaken(spans: list[Span], taken: Iterable[Span]) -> list[Span]:
    """The parts of spans that are not taken, joined where they touch."""
    changes = [(at, step, 0) for span in spans for at, step in zip(span, (1, -1), strict=True)]
    changes += [(at, 0, step) for span in taken for at, step in zip(span, (1, -1), strict=True)]
    left: list[Span] = []
    wanted = used = last = 0
    for at, more_wanted, more_used in sorted(changes):
        if wanted > 0 and used <= 0 and at > last:
            start = left.pop()[0] if left and left[-1][1] == last else last
            left.append((start, at))
        wanted, used, last = wanted + more_wanted, used + more_used, at
    return left
