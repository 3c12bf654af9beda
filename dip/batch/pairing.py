"""Which photo goes with which mask, and what is left out, found before anything starts.

Only names are read here. Names are compared in composed Unicode: a mask that was drawn on a Mac
finds its photo. Two photos that would give one result are found here too.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dip.errors import InputError, OutputError, SettingError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"})
BESIDE = ("{name}_mask.*",)
IN_A_FOLDER = ("{name}.*", "{name}_mask.*")
FORMAT_SUFFIXES = {"png": ".png", "tiff": ".tif", "webp": ".webp", "jpeg": ".jpg"}

MANIFEST = "manifest.jsonl"
REPORT = "report.html"
SHEETS = "report_files"
CONTACT_SHEET = "contact_sheet.jpg"
LEFT_OUT = "left_out.txt"
OWN_FILES = (MANIFEST, REPORT, SHEETS, CONTACT_SHEET, LEFT_OUT)
"""What a batch writes into its folder beside the restored photos."""

_SAME_NAME_IN_ANY_CASE = os.name == "nt" or sys.platform == "darwin"


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One photo to restore.

    Parameters
    ----------
    photo : str
        Relative to the folder of photos, with '/' between folders.
    mask : str, optional
        Path of its mask; None takes transparent pixels as the damage.
    output : str
        Relative to the output folder, likewise.
    file_format : str
        Format of the output.
    """

    photo: str
    mask: str | None
    output: str
    file_format: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is not worked on.

    Parameters
    ----------
    name : str
    kind : str
        'unpaired', 'ambiguous', 'unreadable', 'collision' or 'no picture'.
    why : str
        For a person.
    """

    name: str
    kind: str
    why: str


@dataclass
class Listing:
    """What is to be done, and what is left out."""

    items: list[Item] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def list_photos(
    folder: Path,
    output: Path,
    *,
    masks: Path | None = None,
    patterns: Sequence[str] = (),
    file_format: str | None = None,
) -> Listing:
    """Pair every photo below a folder with its mask.

    Parameters
    ----------
    folder : Path
    output : Path
        Where results go; left alone where it lies inside of the folder.
    masks : Path, optional
        A folder with the masks in the same sub-folders, or one mask for all. Without it masks lie
        beside their photos, and a photo without one is restored where it is transparent.
    patterns : sequence of str, optional
        How masks are named, such as '{name}-damage.*'.
    file_format : str, optional
        Format of the results; TIFF stays TIFF and the rest becomes PNG when None.

    Raises
    ------
    InputError, OutputError, SettingError
        A folder is not there, or they are one and the same, or a pattern has no '{name}'.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.", "Name the folder with the photos.")
    if masks is not None and not masks.exists():
        raise InputError(f"{masks} is not there.", "Check --masks.")
    for taken in (folder, masks):
        if taken is not None and output.resolve() == taken.resolve():
            raise OutputError(
                f"{output} is the folder with the photos or the masks itself.",
                "Name another folder for the results.",
            )
    one_for_all = str(masks) if masks is not None and not masks.is_dir() else None
    mask_folder = masks if masks is not None and masks.is_dir() else None
    spare = {each.resolve() for each in (output, mask_folder) if each is not None}
    named = [
        _as_regex(each) for each in patterns or (BESIDE if mask_folder is None else IN_A_FOLDER)
    ]
    listing = Listing()
    for place, names in _walk(folder, spare, listing.left_out):
        if one_for_all is not None:
            chosen: Iterable[tuple[str, str | None]] = ((name, one_for_all) for name in names)
        elif mask_folder is None:
            chosen = _pair_beside(folder, place, names, named, listing.left_out)
        else:
            chosen = _pair_apart(mask_folder, place, names, named, listing.left_out)
        for name, mask in chosen:
            listing.items.append(_item(_joined(place, name), mask, file_format))
    if mask_folder is not None:
        _find_folders_without_photos(folder, mask_folder, spare, listing.left_out)
    _take_out_collisions(listing)
    return listing


def _item(photo: str, mask: str | None, file_format: str | None) -> Item:
    stem, suffix = os.path.splitext(photo)
    chosen = file_format or ("tiff" if suffix.lower() in {".tif", ".tiff"} else "png")
    return Item(photo=photo, mask=mask, output=stem + FORMAT_SUFFIXES[chosen], file_format=chosen)


def _walk(
    folder: Path, spare: set[Path], left_out: list[LeftOut]
) -> Iterator[tuple[str, list[str]]]:
    """Each sub-folder with the pictures in it, in order; what is no picture is noted."""

    def unreadable(error: OSError) -> None:
        name = os.path.relpath(error.filename or folder, folder)
        left_out.append(LeftOut(name, "unreadable", f"the folder cannot be read: {error.strerror}"))

    for root, folders, names in os.walk(folder, onerror=unreadable):
        here = Path(root)
        place = "" if here == folder else here.relative_to(folder).as_posix()
        for name in sorted(folders):
            if (here / name).is_symlink():
                why = "a link to a folder is not followed"
                left_out.append(LeftOut(_joined(place, name), "no picture", why))
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (not spare or (here / name).resolve() not in spare)
        )
        pictures = []
        for name in sorted(names):
            if name.startswith("."):
                continue
            if os.path.splitext(name)[1].lower() in SUFFIXES:
                pictures.append(name)
            else:
                why = "its name does not end like that of a PNG, JPEG, TIFF or WebP file"
                left_out.append(LeftOut(_joined(place, name), "no picture", why))
        yield place, pictures


# --- Pairing ------------------------------------------------------------------------------------


def _as_regex(pattern: str) -> re.Pattern[str]:
    """A pattern such as '{name}_mask.*' as an expression that finds the name."""
    if pattern.count("{name}") != 1 or "/" in pattern or "\\" in pattern:
        raise SettingError(
            f"The mask pattern is {pattern!r}.",
            "It must hold {name} once, for the photo's name without its ending, and no folder; "
            "such as '{name}-damage.*'.",
        )
    before, after = (
        "".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in part)
        for part in _composed(pattern).split("{name}")
    )
    return re.compile(f"{before}(?P<name>.+){after}", re.DOTALL)


def _masks_by_name(
    names: Iterable[str], named: Sequence[re.Pattern[str]]
) -> Mapping[str, list[str]]:
    """Which files may be the mask of a photo of each name."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        for pattern in named:
            match = pattern.fullmatch(_composed(name))
            if match and name not in found[match["name"]]:
                found[match["name"]].append(name)
    return found


def _pair_beside(
    folder: Path,
    place: str,
    names: Sequence[str],
    named: Sequence[re.Pattern[str]],
    left_out: list[LeftOut],
) -> Iterator[tuple[str, str | None]]:
    masks = _masks_by_name(names, named)
    taken = {name for each in masks.values() for name in each}
    photos = [name for name in names if name not in taken]
    used: set[str] = set()
    for name in photos:
        candidates = masks.get(_stem(name), [])
        used.update(candidates)
        if len(candidates) > 1:
            left_out.append(_ambiguous(place, name, candidates))
        else:
            yield name, str(folder / place / candidates[0]) if candidates else None
    for name in sorted(taken - used):
        left_out.append(_without_photo(_joined(place, name)))


def _pair_apart(
    mask_folder: Path,
    place: str,
    names: Sequence[str],
    named: Sequence[re.Pattern[str]],
    left_out: list[LeftOut],
) -> Iterator[tuple[str, str | None]]:
    where = mask_folder / place
    there = _pictures_in(where)
    masks = _masks_by_name(there, named)
    stems = {_stem(name) for name in names}
    used: set[str] = set()
    for name in names:
        candidates = masks.get(_stem(name), [])
        # Beside a photo that is itself called photo_mask, photo_mask.png is that one's mask.
        candidates = [
            each for each in candidates if _stem(each) == _stem(name) or _stem(each) not in stems
        ]
        used.update(candidates)
        if len(candidates) == 1:
            yield name, str(where / candidates[0])
        elif candidates:
            left_out.append(_ambiguous(place, name, candidates))
        else:
            why = f"there is no mask for it in {where}"
            left_out.append(LeftOut(_joined(place, name), "unpaired", why))
    for name in there:
        if name not in used:
            left_out.append(_without_photo(str(where / name)))


def _find_folders_without_photos(
    folder: Path, mask_folder: Path, spare: set[Path], left_out: list[LeftOut]
) -> None:
    """Masks in sub-folders that the photos do not have."""
    for place, names in _walk(mask_folder, spare - {mask_folder.resolve()}, []):
        if not (folder / place).is_dir():
            left_out.extend(_without_photo(str(mask_folder / place / name)) for name in names)


def _pictures_in(folder: Path) -> list[str]:
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return sorted(
        name
        for name in names
        if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES
    )


def _ambiguous(place: str, name: str, candidates: Sequence[str]) -> LeftOut:
    why = f"several masks fit it: {', '.join(candidates)}"
    return LeftOut(_joined(place, name), "ambiguous", why)


def _without_photo(name: str) -> LeftOut:
    return LeftOut(name, "unpaired", "a mask without a photo")


def _take_out_collisions(listing: Listing) -> None:
    """Leave out what would be written over by another, or over what the batch itself writes."""
    by_output: dict[str, list[Item]] = defaultdict(list)
    for item in listing.items:
        by_output[_comparable(item.output)].append(item)
    own = {_comparable(name) for name in OWN_FILES}
    clashing: dict[str, str] = {}
    for output, items in by_output.items():
        if len(items) > 1:
            names = ", ".join(item.photo for item in items)
            for item in items:
                clashing[item.photo] = f"{names} would all be written to {item.output}"
        elif output.split("/")[0] in own:
            clashing[items[0].photo] = f"the batch itself writes {output.split('/')[0]}"
    if clashing:
        listing.items = [item for item in listing.items if item.photo not in clashing]
        listing.left_out += [LeftOut(name, "collision", why) for name, why in clashing.items()]


# --- Names --------------------------------------------------------------------------------------


def _joined(place: str, name: str) -> str:
    return f"{place}/{name}" if place else name


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _stem(name: str) -> str:
    return _composed(os.path.splitext(name)[0])


def _comparable(output: str) -> str:
    """A name as the file system tells it from others."""
    return _composed(output).casefold() if _SAME_NAME_IN_ANY_CASE else output


def shown(name: str) -> str:
    """A file's name for a terminal or a page: nothing in it that would do something there."""
    readable = os.fsencode(name).decode(errors="backslashreplace")
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in readable
    )
