"""The plan of a batch: the listed photos that are not done yet and can be read."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from dip.batch.manifest import DONE, FAILED, Manifest, digest_of_settings
from dip.batch.pairing import LEFT_OUT, Item, LeftOut, Listing, shown
from dip.config import ALL_PAGES
from dip.console import say
from dip.errors import MaskMayBeInverted

MAX_LEFT_OUT_SHOWN = 40
HEADERS_AT_ONCE = 5000

ReadHeaders = Callable[[Sequence[str]], dict[str, dict[str, Any]]]
"""Returns width, height and has_alpha of each file, or its error."""


@dataclass
class Plan:
    """The photos to restore, the numbers done and failed before, and the files left out."""

    items: list[Item]
    done: int
    failed: int
    left_out: list[LeftOut]

    @property
    def leaves_out_pictures(self) -> bool:
        """Whether a picture is left out; other files, and photos without damage, do not count."""
        return any(each.kind not in ("no picture", "undamaged") for each in self.left_out)

    def announce(self) -> None:
        """Write the plan to standard error."""
        for each in self.left_out[:MAX_LEFT_OUT_SHOWN]:
            say(f"dip: left out: {shown(each.name)}: {shown(each.reason)}")
        if len(self.left_out) > MAX_LEFT_OUT_SHOWN:
            more = len(self.left_out) - MAX_LEFT_OUT_SHOWN
            say(f"dip: left out: {more} more files, listed in {LEFT_OUT}")
        parts = [f"{len(self.items)} photos to restore"]
        if self.done:
            parts.append(f"{self.done} done before")
        if self.failed:
            parts.append(f"{self.failed} failed before (--retry-failed tries them again)")
        if self.left_out:
            parts.append(f"{len(self.left_out)} files left out")
        say(f"dip: {', '.join(parts)}")


def make_plan(
    listing: Listing,
    manifest: Manifest,
    *,
    folder: Path,
    output: Path,
    settings: dict[str, Any],
    read_headers: ReadHeaders,
    retry_failed: bool,
    masks_confirmed: bool,
) -> Plan:
    """Make the plan: compare the listing with the manifest, and read the headers of the rest.

    Parameters
    ----------
    listing : Listing
    manifest : Manifest
    folder, output : Path
        Folder of the photos, folder of the results.
    settings : dict
        Settings of every fit.
    read_headers : ReadHeaders
    retry_failed : bool
        Whether photos that failed before are restored again.
    masks_confirmed : bool
        Whether photos are restored again whose masks were refused before because they mark most of
        the photo.
    """
    hash_of = cache(partial(digest_of_settings, settings))
    confirmed = manifest.failed_with(MaskMayBeInverted.code) if masks_confirmed else frozenset()
    pending: list[Item] = []
    done = failed = 0
    for item in listing.items:
        digest = hash_of(item.file_format, item.page)
        outcome = manifest.outcome_of(item, digest, folder, output)
        if outcome == DONE:
            done += 1
        elif outcome == FAILED and not retry_failed and item.photo not in confirmed:
            failed += 1
        else:
            pending.append(item)
    items = keep_readable(folder, pending, listing.left_out, read_headers)
    if not len(manifest):
        items = keep_new(output, items, listing.left_out)
    return Plan(items, done, failed, listing.left_out)


def keep_readable(
    folder: Path,
    items: Sequence[Item],
    left_out: list[LeftOut],
    read_headers: ReadHeaders,
) -> list[Item]:
    """Leave out photos that are unreadable, or whose mask is unreadable or has another size."""
    readable = []
    for start in range(0, len(items), HEADERS_AT_ONCE):
        part = items[start : start + HEADERS_AT_ONCE]
        masks = {item.mask for item in part if item.mask is not None}
        headers = read_headers([*(str(folder / item.photo) for item in part), *sorted(masks)])
        for item in part:
            mask = None if item.mask is None else headers[item.mask]
            problem = _problem(headers[str(folder / item.photo)], mask, item.page)
            if problem is None:
                readable.append(item)
            else:
                left_out.append(LeftOut(item.photo, *problem))
    return readable


def _problem(
    photo: dict[str, Any], mask: dict[str, Any] | None, page: str | None
) -> tuple[str, str] | None:
    """The kind and the reason of a `LeftOut`, or None."""
    for each in (photo, mask):
        if each is not None and "error" in each:
            error = each["error"]
            return "unreadable", f"{error['message']} {error['hint']}".strip()
    if page not in (None, ALL_PAGES):
        return None  # the headers are those of the first pages
    if mask is None:
        if photo["has_alpha"]:
            return None
        return "unpaired", "it has no mask and no transparent pixels"
    sizes = [(each["width"], each["height"]) for each in (photo, mask)]
    # Headers give the size as stored: width and height of a rotated photo are exchanged.
    if sizes[0] not in (sizes[1], sizes[1][::-1]):
        (width, height), (mask_width, mask_height) = sizes
        return (
            "unreadable",
            f"its mask is {mask_width}×{mask_height} px, the photo {width}×{height} px",
        )
    return None


def keep_new(output: Path, items: Sequence[Item], left_out: list[LeftOut]) -> list[Item]:
    """Leave out photos whose result exists: in a folder without a manifest it is not ours."""
    kept = []
    for item in items:
        if os.path.exists(output / item.output):  # unlike Path's, false for a name that is too long
            reason = f"{item.output} exists already, and no batch wrote it"
            left_out.append(LeftOut(item.photo, "collision", reason))
        else:
            kept.append(item)
    return kept
