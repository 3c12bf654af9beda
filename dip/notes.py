"""Notes for the user: English sentences with a code, by which clients say them in other languages.

`dip gimp install` copies this file beside the plug-in: use the standard library only, and import
nothing of this project. The page has the same texts in `server/static/texts/en.json`.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from typing import Any

TEXTS = {
    # Before a fit.
    "mask_grown": "the mask is grown by up to {px} px, where its rim still held damage",
    "rim_damaged": (
        "the rim of the mask still holds damage ({pixels} pixels, which are not trusted): grow it "
        "by {px} px, or as needed (grow: auto)?"
    ),
    "smaller_groups": (
        "memory is short: specks are fitted in smaller groups, of {pixels} pixels instead of "
        "{wanted}"
    ),
    "tiled": "worked on in {count} overlapping tiles of at most {megapixels} megapixels",
    "enlarged_copied": (
        "a hole is too large to be fitted at full size: it is filled at 1/{reduction} of its size "
        "and enlarged; its finest detail is copied from around it"
    ),
    "enlarged_smooth": (
        "a hole is too large to be fitted at full size: it is filled at 1/{reduction} of its size "
        "and enlarged; its finest detail is missing"
    ),
    # During a fit.
    "spots_fitted": "{fitted} of {count} spots need a network",
    "spots_keep_last": "{count} spots keep their fill so far: their fit diverged",
    "spots_keep_first": "{count} spots keep their first fill: their fit diverged",
    "run": "run {run} of {runs}; the result is a mean of the runs that agree",
    "stopped_early": (
        "stopped at iteration {iteration} of {iterations}: held-out pixels were predicted better "
        "before"
    ),
    "diverged": (
        "diverged at iteration {iteration} (loss {loss}); went back and goes on at {rate} times "
        "the rate"
    ),
    "steps_unrecorded": (
        "the steps could not be recorded as a CUDA graph ({reason}); they are launched one by one, "
        "which is slower"
    ),
    "device_full": "{device} ran out of memory; this region and the rest use the CPU",
    "time_over": "the time is over: not everything was fitted",
    "several": "{notes}",
    # About a search for damage.
    "infrared": "the damage was found in the infrared plane",
    "infrared_silver": (
        "the infrared plane shows the picture itself, as it does of silver film and Kodachrome: "
        "the damage was found in the colours"
    ),
    "halftone": (
        "the photo looks like a halftone print: its dots hide damage and resemble it; remove the "
        "screen before, or mark the damage by hand"
    ),
    "drawing": (
        "the photo looks like a drawing or a page of text: its lines resemble hairs and scratches; "
        "look at each mark, or leave scratches out"
    ),
    "grain": (
        "the grain of the photo is as strong as damage: small marks may be grain; lower the "
        "sensitivity, or leave specks out"
    ),
    "dense": (
        "fine, sharp detail covers the photo: damage too dense to be told from the picture, or the "
        "picture's own; little can be found in it: mark the damage by hand"
    ),
    "much": (
        "much of the photo looks like damage: look at the marks before you restore it; a lower "
        "sensitivity marks less"
    ),
    # About files.
    "plain_tiff": "{reason} The result is a TIFF file without metadata.",
    "metadata_damaged": "its metadata is damaged and is left out ({reason})",
    "tags_damaged": "damaged tags are left out: {tags}",
    "layers_removed": "Photoshop's layers, which show the damage, are removed",
    "exif_thumbnail_removed": "the EXIF thumbnail, which shows the damage, is removed",
    "jfif_thumbnail_removed": "the JFIF thumbnail, which shows the damage, is removed",
    "images_removed": "further images after the photo ({bytes} bytes) are removed",
    "frames_removed": "the frames of an animation but the first are removed",
    "premultiplied": "its premultiplied colours become plain ones; nothing else changes in them",
    "all_reduced": "all its pages are marked as reduced copies; the first one is restored",
    "one_page": "of {count} pages, page {page} is restored",
    "bits": "samples of {bits} bit become {stored} bit",
    "losses": "a {format} file cannot hold {things}",
    # Things that a file cannot hold.
    "colour_coding": "the coding of the colours of the HEIF file (HDR, or a wide gamut)",
    "exif_resolution": "the resolution in the EXIF data, which differs from that of the file",
    "resolution": "the resolution",
    "jp2_resolution": "the resolution in the JPEG 2000 file",
    "channels": "{count} channels that are neither colour nor alpha",
    "profile_cut": "the colour profile is {bytes} bytes too long and was cut to its own size",
    "profile_of_other_colours": "the colour profile (of other colours: PNG refuses it)",
    "profile_damaged": "the colour profile (damaged: PNG refuses it)",
    "profile_too_long": "the colour profile (too long)",
    "profile_gray": "the colour profile (WebP has no gray)",
    "unsafe_chunk": "PNG {name}, which may not be copied",
    "frames": "the frames of an animation",
    "block_too_long": "{block} data ({kilobytes} kB; JPEG holds 65 kB)",
    "comment": "the JPEG comment",
    "trailer": "{count} bytes after the picture",
    "xmp_extension": "the extension of the XMP data",
    "iptc": "the IPTC data",
    "photoshop": "Photoshop's resources",
    "page": "1 further page",
    "pages": "{count} further pages",
    "sub_images": "the sub-images of the page",
    "linear": "the mark of linear samples (LinearRaw)",
    "maker_note_offsets": "the offsets inside the maker notes",
    "heif_images": "further images of the HEIF file",
    "heif_picture": "the picture beside the photo ({kind})",
}
"""The sentence of each code, with the names of its values in braces."""

TECHNICAL = frozenset((
    "smaller_groups", "tiled", "spots_fitted", "run", "stopped_early", "diverged",
    "steps_unrecorded", "device_full",
))  # fmt: skip
"""Notes that clients show among the details; of the runs, the latest alone."""

Value = str | float | Sequence[str]
CodedNote = dict[str, Any]
"""A note as JSON: its `code`, `values` and English `message`."""


class Note(str):
    """A note in English that knows its code and its values.

    Parameters
    ----------
    code : str
        One of `TEXTS`.
    **values : str, number, or sequence of str
        For the names in the braces of the text. Texts may be notes themselves. Names from files
        lose the characters that cannot be printed.
    """

    code: str
    values: dict[str, Any]

    def __new__(cls, code: str, **values: Value) -> Note:
        plain = {name: _plain(value) for name, value in values.items()}
        separator = "; " if code == "several" else ", "
        shown = {name: _shown(value, separator) for name, value in plain.items()}
        note = super().__new__(cls, TEXTS[code].format_map(shown))
        note.code, note.values = code, plain
        return note

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        return (self.code,), self.values

    def to_json(self) -> CodedNote:
        values = {name: _json(value) for name, value in self.values.items()}
        return {"code": self.code, "values": values, "message": str(self)}


def joined(notes: Sequence[Note]) -> Note | None:
    """Some notes as one; None without any."""
    return Note("several", notes=notes) if len(notes) > 1 else next(iter(notes), None)


def to_json(notes: Iterable[Note]) -> list[CodedNote]:
    """All notes with their codes, without those that were said before."""
    return [note.to_json() for note in dict.fromkeys(notes)]


def _plain(value: Value) -> Any:
    if isinstance(value, Note):
        return value
    if isinstance(value, str):
        return "".join(each for each in value if each.isprintable())
    if isinstance(value, Sequence):
        return tuple(map(_plain, value))
    if isinstance(value, numbers.Integral):
        return int(value)  # also one of numpy
    return float(f"{value:.3g}") if math.isfinite(value) else str(value)


def _shown(value: Any, separator: str) -> str:
    if isinstance(value, tuple):
        return separator.join(value)
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _json(value: Any) -> Any:
    if isinstance(value, Note):
        return value.to_json()
    return list(map(_json, value)) if isinstance(value, tuple) else value
