"""The search for damage in the photos of a batch that have no mask.

A process of its own searches one photo after another: where an image library crashes, it costs
that photo, and a new process takes the next one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dip.batch.pairing import Item, LeftOut, Listing, shown
from dip.console import say
from dip.errors import DipError, ProcessDied, TooMuchFound
from dip.image_io import read_header, read_mask
from dip.machine.child_process import ChildProcess


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
    search = _Search(folder, options, quiet=quiet)
    try:
        for item in listing.items:
            if item.mask is not None or _has_alpha(folder / item.photo):
                items.append(item)
            else:
                found = search.find(item, output / f"{os.path.splitext(item.photo)[0]}{ending}")
                if isinstance(found, LeftOut):
                    listing.left_out.append(found)
                else:
                    items.append(found)
    finally:
        search.end()
    listing.items = items


def _has_alpha(photo: Path) -> bool:
    try:
        return read_header(photo).has_alpha
    except DipError:
        return True  # the plan of the batch names the fault


class _Search:
    """Finds the damage of one photo after another, in a process that starts with the first."""

    def __init__(self, folder: Path, options: Sequence[str], *, quiet: bool) -> None:
        self._folder, self._options, self._quiet = folder, options, quiet
        self._process: ChildProcess | None = None

    def find(self, item: Item, mask: Path) -> Item | LeftOut:
        """The photo with its mask, or the reason why it gets none."""
        photo = self._folder / item.photo
        try:
            if not (mask.exists() and mask.stat().st_mtime >= photo.stat().st_mtime):
                self._write_mask(item, photo, mask)
            if not read_mask(mask).any():
                return LeftOut(item.photo, "undamaged", "no damage was found")
        except TooMuchFound as error:
            return LeftOut(item.photo, "doubtful", str(error))
        except DipError as error:
            return LeftOut(item.photo, "unreadable", str(error))
        return replace(item, mask=str(mask))

    def end(self) -> None:
        """End the process, also in the middle of a search."""
        if self._process is not None:
            self._process.kill()
            self._process.close()
            self._process = None

    def _write_mask(self, item: Item, photo: Path, mask: Path) -> None:
        if not self._quiet:
            say(f"dip: finding the damage of {shown(item.photo)}")
        mask.parent.mkdir(parents=True, exist_ok=True)
        words = ["--quiet", *self._options, "-o", str(mask), "--", str(photo)]
        if self._process is None:
            self._process = ChildProcess("dip.commands.detect_worker")
        try:
            reply = self._process.run_task({"do": "detect", "words": words}).content
        except ProcessDied:
            self.end()
            raise
        if "error" in reply:
            error = reply["error"]
            kind = TooMuchFound if error["code"] == TooMuchFound.code else DipError
            raise kind(error["message"], error["hint"])
        for line in reply["done"] if not self._quiet else ():
            say(f"dip: {shown(item.photo)}: {line.removeprefix('dip: ')}")
