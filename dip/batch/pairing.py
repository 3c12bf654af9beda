"""Pair photos with masks by their names, before any fit starts.

Photos with a missing or ambiguous mask, and photos whose results would have the same name, are left
out with a reason. Names are compared in composed Unicode (NFC): a mask saved on a Mac, which
decomposes names, is found too.
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
from dip.infrared_names import is_infrared_of

SUFFIXES = frozenset({
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp",
    ".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".heic", ".heif", ".avif",
})  # fmt: skip
PATTERNS_BESIDE = ("{name}_mask.*",)
PATTERNS_IN_FOLDER = ("{name}.*", "{name}_mask.*")
FORMAT_SUFFIXES = {"png": ".png", "tiff": ".tif", "webp": ".webp", "jpeg": ".jpg"}

MANIFEST = "manifest.jsonl"
REPORT = "report.html"
BEFORE_AFTER = "report_files"
CONTACT_SHEET = "contact_sheet.jpg"
LEFT_OUT = "left_out.txt"
OWN_FILES = (MANIFEST, REPORT, BEFORE_AFTER, CONTACT_SHEET, LEFT_OUT)
"""Files and folder that a batch writes beside the restored photos."""

_CASE_INSENSITIVE = os.name == "nt" or sys.platform == "darwin"


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One photo to restore.

    Parameters
    ----------
    photo : str
        Path relative to the folder of photos, with '/' as separator.
    mask : str, optional
        Path of the mask; None takes transparent pixels as the damage.
    output : str
        Path relative to the output folder, with '/' as separator.
    file_format : str
        Format of the output, a key of `FORMAT_SUFFIXES`.
    page : str, optional
        The page of a TIFF file, as `dip.config.PAGE`.
    """

    photo: str
    mask: str | None
    output: str
    file_format: str
    page: str | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is not restored.

    Parameters
    ----------
    name : str
    kind : str
        'unpaired', 'ambiguous', 'unreadable', 'collision', 'doubtful', 'undamaged' or 'no
        picture'.
    reason : str
        One phrase, for a message.
    """

    name: str
    kind: str
    reason: str


@dataclass
class Listing:
    """The photos to restore, and the files left out."""

    items: list[Item] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def list_photos(
    folder: Path,
    output: Path,
    *,
    masks: Path | None = None,
    patterns: Sequence[str] = (),
    file_format: str | None = None,
    page: str | None = None,
) -> Listing:
    """Pair every photo below a folder with its mask.

    Parameters
    ----------
    folder : Path
    output : Path
        Folder of the results; skipped where it lies inside `folder`.
    masks : Path, optional
        A folder with the masks in the same sub-folders, or one mask for all photos. Without it,
        masks lie beside the photos, and a photo without a mask is restored where it is transparent.
    patterns : sequence of str, optional
        Names of masks, such as '{name}-damage.*'.
    file_format : str, optional
        Format of the results. By default TIFF stays TIFF, and other formats become PNG.
    page : str, optional
        Of TIFF files, as `dip.config.PAGE`.

    Raises
    ------
    InputError, OutputError, SettingError
        A folder does not exist, two folders are the same, or a pattern has no '{name}'.
    """
    if not os.path.isdir(folder):  # unlike Path's, false for a name that is too long
        raise InputError(f"{folder} is not a folder.", "Name the folder with the photos.")
    if masks is not None and not os.path.exists(masks):
        raise InputError(f"{masks} does not exist.", "Check --masks.")
    for source in (folder, masks):
        if source is not None and _real(output) == _real(source):
            raise OutputError(
                f"{output} is the folder of the photos or the masks itself.",
                "Name another folder for the results.",
            )
    one_for_all = str(masks) if masks is not None and not os.path.isdir(masks) else None
    mask_folder = masks if masks is not None and os.path.isdir(masks) else None
    skipped = {_real(each) for each in (output, mask_folder) if each is not None}
    default = PATTERNS_BESIDE if mask_folder is None else PATTERNS_IN_FOLDER
    expressions = [_as_regex(each) for each in patterns or default]
    listing = Listing()
    for subfolder, names in _walk(folder, skipped, listing.left_out):
        if one_for_all is not None:
            pairs: Iterable[tuple[str, str | None]] = ((name, one_for_all) for name in names)
        elif mask_folder is None:
            pairs = _pair_beside(folder, subfolder, names, expressions, listing.left_out)
        else:
            pairs = _pair_with_folder(mask_folder, subfolder, names, expressions, listing.left_out)
        for name, mask in pairs:
            if mask in (None, one_for_all) and is_infrared_of(name, names):
                listing.left_out.append(_infrared(_joined(subfolder, name)))
                continue
            listing.items.append(_item(_joined(subfolder, name), mask, file_format, page))
    if mask_folder is not None:
        _leave_out_masks_without_folder(folder, mask_folder, skipped, listing.left_out)
    _leave_out_collisions(listing)
    return listing


def _item(photo: str, mask: str | None, file_format: str | None, page: str | None) -> Item:
    stem, suffix = os.path.splitext(photo)
    chosen = file_format or ("tiff" if suffix.lower() in {".tif", ".tiff"} else "png")
    output = stem + FORMAT_SUFFIXES[chosen]
    return Item(photo=photo, mask=mask, output=output, file_format=chosen, page=page)


def _walk(
    folder: Path, skipped: set[Path], left_out: list[LeftOut]
) -> Iterator[tuple[str, list[str]]]:
    """Each sub-folder with its pictures, in order; other files are added to `left_out`."""

    def unreadable(error: OSError) -> None:
        name = os.path.relpath(error.filename or folder, folder)
        left_out.append(LeftOut(name, "unreadable", f"the folder cannot be read: {error.strerror}"))

    for root, folders, names in os.walk(folder, onerror=unreadable):
        here = Path(root)
        subfolder = "" if here == folder else here.relative_to(folder).as_posix()
        for name in sorted(folders):
            if (here / name).is_symlink():
                reason = "links to folders are not followed"
                left_out.append(LeftOut(_joined(subfolder, name), "no picture", reason))
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (not skipped or _real(here / name) not in skipped)
        )
        pictures = []
        for name in sorted(names):
            if name.startswith("."):
                continue
            if os.path.splitext(name)[1].lower() in SUFFIXES:
                pictures.append(name)
            else:
                reason = "its name does not end like that of a picture that is read"
                left_out.append(LeftOut(_joined(subfolder, name), "no picture", reason))
        yield subfolder, pictures


# --- Pairing ------------------------------------------------------------------------------------


def _as_regex(pattern: str) -> re.Pattern[str]:
    """A pattern such as '{name}_mask.*' as a regular expression with the group `name`."""
    if pattern.count("{name}") != 1 or "/" in pattern or "\\" in pattern:
        raise SettingError(
            f"The mask pattern is {pattern!r}.",
            "It must contain {name} once, for the name of the photo without its suffix, and no "
            "folder: for example '{name}-damage.*'.",
        )
    before, after = (
        "".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in part)
        for part in _composed(pattern).split("{name}")
    )
    return re.compile(f"{before}(?P<name>.+){after}", re.DOTALL)


def _masks_by_name(
    names: Iterable[str], expressions: Sequence[re.Pattern[str]]
) -> Mapping[str, list[str]]:
    """For each name of a photo, the files that can be its mask."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        for expression in expressions:
            match = expression.fullmatch(_composed(name))
            if match and name not in found[match["name"]]:
                found[match["name"]].append(name)
    return found


def _pair_beside(
    folder: Path,
    subfolder: str,
    names: Sequence[str],
    expressions: Sequence[re.Pattern[str]],
    left_out: list[LeftOut],
) -> Iterator[tuple[str, str | None]]:
    """Photos of one sub-folder, each with its mask beside it or without a mask."""
    masks = _masks_by_name(names, expressions)
    all_masks = {name for each in masks.values() for name in each}
    photos = [name for name in names if name not in all_masks]
    used: set[str] = set()
    for name in photos:
        candidates = masks.get(_stem(name), [])
        used.update(candidates)
        if len(candidates) > 1:
            left_out.append(_ambiguous(subfolder, name, candidates))
        else:
            yield name, str(folder / subfolder / candidates[0]) if candidates else None
    for name in sorted(all_masks - used):
        left_out.append(_without_photo(_joined(subfolder, name)))


def _pair_with_folder(
    mask_folder: Path,
    subfolder: str,
    names: Sequence[str],
    expressions: Sequence[re.Pattern[str]],
    left_out: list[LeftOut],
) -> Iterator[tuple[str, str | None]]:
    """Photos of one sub-folder, each with its mask from the same sub-folder of `mask_folder`."""
    mask_subfolder = mask_folder / subfolder
    mask_names = _pictures_in(mask_subfolder)
    masks = _masks_by_name(mask_names, expressions)
    stems = {_stem(name) for name in names}
    used: set[str] = set()
    for name in names:
        candidates = masks.get(_stem(name), [])
        # Where a photo itself is called a_mask, the file a_mask.png is its mask, not that of a.
        candidates = [
            each for each in candidates if _stem(each) == _stem(name) or _stem(each) not in stems
        ]
        used.update(candidates)
        if len(candidates) == 1:
            yield name, str(mask_subfolder / candidates[0])
        elif candidates:
            left_out.append(_ambiguous(subfolder, name, candidates))
        elif is_infrared_of(name, names):
            left_out.append(_infrared(_joined(subfolder, name)))
        else:
            reason = f"it has no mask in {mask_subfolder}"
            left_out.append(LeftOut(_joined(subfolder, name), "unpaired", reason))
    for name in mask_names:
        if name not in used:
            left_out.append(_without_photo(str(mask_subfolder / name)))


def _leave_out_masks_without_folder(
    folder: Path, mask_folder: Path, skipped: set[Path], left_out: list[LeftOut]
) -> None:
    """Leave out the masks in sub-folders that the folder of photos does not have."""
    for subfolder, names in _walk(mask_folder, skipped - {_real(mask_folder)}, []):
        if not (folder / subfolder).is_dir():
            left_out.extend(_without_photo(str(mask_folder / subfolder / name)) for name in names)


def _real(path: Path) -> Path:
    """The path without links; a circle of links, at which `Path.resolve` fails, stays."""
    return Path(os.path.realpath(path))


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


def _ambiguous(subfolder: str, name: str, candidates: Sequence[str]) -> LeftOut:
    reason = f"it has several masks: {', '.join(candidates)}"
    return LeftOut(_joined(subfolder, name), "ambiguous", reason)


def _infrared(name: str) -> LeftOut:
    return LeftOut(name, "no picture", "it is the infrared plane of another photo")


def _without_photo(name: str) -> LeftOut:
    return LeftOut(name, "unpaired", "this mask has no photo")


def _leave_out_collisions(listing: Listing) -> None:
    """Leave out photos whose results would overwrite each other, or a file of the batch itself."""
    by_output: dict[str, list[Item]] = defaultdict(list)
    for item in listing.items:
        by_output[_comparable(item.output)].append(item)
    own = {_comparable(name) for name in OWN_FILES}
    reasons: dict[str, str] = {}
    for output, items in by_output.items():
        if len(items) > 1:
            names = ", ".join(item.photo for item in items)
            for item in items:
                reasons[item.photo] = f"the results of {names} would all be named {item.output}"
        elif output.split("/")[0] in own:
            reasons[items[0].photo] = f"the batch itself writes {output.split('/')[0]}"
    if reasons:
        listing.items = [item for item in listing.items if item.photo not in reasons]
        listing.left_out += [LeftOut(name, "collision", reason) for name, reason in reasons.items()]


# --- Names --------------------------------------------------------------------------------------


def _joined(subfolder: str, name: str) -> str:
    return f"{subfolder}/{name}" if subfolder else name


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _stem(name: str) -> str:
    return _composed(os.path.splitext(name)[0])


def _comparable(output: str) -> str:
    """A name by which the file system distinguishes files."""
    return _composed(output).casefold() if _CASE_INSENSITIVE else output


def shown(name: str) -> str:
    """A file name for display: control characters and undecodable bytes are escaped."""
    readable = os.fsencode(name).decode(errors="backslashreplace")
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in readable
    )
