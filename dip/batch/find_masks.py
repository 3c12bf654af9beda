"""The search for damage in the photos of a batch that have no mask.

Each photo is searched by a process of its own, `dip detect`: one that crashes an image library
costs that photo only.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dip.batch.pairing import Item, LeftOut, Listing, shown
from dip.console import say
from dip.errors import DipError, TooMuchFound
from dip.image_io import read_header, read_mask


def find_masks(
    listing: Listing,
    folder: Path,
    output: Path,
    options: Sequence[str],
    page: str | None = None,
    *,
    quiet: bool = False,
) -> None:
    """Find the damage of the photos that have neither a mask nor alpha; keep the masks.

    Parameters
    ----------
    listing : Listing
        Its items get their masks; photos without damage, or with too much, are left out.
    folder, output : Path
        Of the photos, and of the results; a mask is kept beside its result. A mask that is there
        already is used as it is, unless the photo is newer.
    options : sequence of str
        Of `dip detect`.
    page : str, optional
        Of TIFF files, from 1; its masks are `photo_pageN_mask.png`.
    quiet : bool
        Tell nothing.
    """
    ending = "_mask.png"
    if page is not None:
        options, ending = [*options, "--page", page], f"_page{page}{ending}"
    items = []
    for item in listing.items:
        if item.mask is not None or _has_alpha(folder / item.photo):
            items.append(item)
        else:
            mask = output / f"{os.path.splitext(item.photo)[0]}{ending}"
            found = _find(item, folder, mask, options, quiet=quiet)
            if isinstance(found, LeftOut):
                listing.left_out.append(found)
            else:
                items.append(found)
    listing.items = items


def _has_alpha(photo: Path) -> bool:
    try:
        return read_header(photo).has_alpha
    except DipError:
        return True  # the plan of the batch names the fault


def _find(
    item: Item, folder: Path, mask: Path, options: Sequence[str], *, quiet: bool
) -> Item | LeftOut:
    photo = folder / item.photo
    if not (mask.exists() and mask.stat().st_mtime >= photo.stat().st_mtime):
        if not quiet:
            say(f"dip: finding the damage of {shown(item.photo)}")
        mask.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "dip", "detect", "--quiet", *options, "-o", str(mask)]
        done = subprocess.run(
            [*command, "--", str(photo)], capture_output=True, text=True, check=False
        )
        lines = [line.removeprefix("dip: ") for line in done.stderr.splitlines()]
        if done.returncode:
            said = " ".join(" ".join(lines).split())
            if done.returncode == TooMuchFound.exit_status:
                return LeftOut(item.photo, "doubtful", said)
            reason = said or f"the search for damage ended with status {done.returncode}"
            return LeftOut(item.photo, "unreadable", reason)
        for line in lines if not quiet else ():
            say(f"dip: {shown(item.photo)}: {line}")
    try:
        if not read_mask(mask).any():
            return LeftOut(item.photo, "undamaged", "no damage was found")
    except DipError as error:
        return LeftOut(item.photo, "unreadable", str(error))
    return replace(item, mask=str(mask))
