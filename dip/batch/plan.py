"""What a batch is to do: what is listed, less what is done, and less what cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dip.batch.manifest import DONE, FAILED, Manifest, digest_of_settings
from dip.batch.pairing import FORMAT_SUFFIXES, LEFT_OUT, Item, LeftOut, Listing, shown
from dip.console import say

MOST_SAID = 40
LOOKED_AT_ONCE = 5000

Look = Callable[[Sequence[str]], dict[str, dict[str, Any]]]
"""Says of each file what it claims to be: width, height and has_alpha, or an error."""


@dataclass
class Plan:
    """What is to be done, what is done, and what is left out."""

    items: list[Item]
    done: int
    failed: int
    left_out: list[LeftOut]

    @property
    def lacks_something(self) -> bool:
        """Whether a picture is left out; other files need no attention."""
        return any(each.kind != "no picture" for each in self.left_out)

    def announce(self) -> None:
        """Say all that before anything starts."""
        for each in self.left_out[:MOST_SAID]:
            say(f"dip: left out: {shown(each.name)}: {shown(each.why)}")
        if len(self.left_out) > MOST_SAID:
            say(f"dip: left out: {len(self.left_out) - MOST_SAID} more, see {LEFT_OUT}")
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
    look: Look,
    retry_failed: bool,
) -> Plan:
    """Leave out what is done, and what cannot be read."""
    hashes = {each: digest_of_settings(settings, each) for each in FORMAT_SUFFIXES}
    fresh: list[Item] = []
    done = failed = 0
    for item in listing.items:
        outcome = manifest.outcome_of(item, hashes[item.file_format], folder, output)
        if outcome == DONE:
            done += 1
        elif outcome == FAILED and not retry_failed:
            failed += 1
        else:
            fresh.append(item)
    items = keep_readable(folder, fresh, listing.left_out, look)
    if not len(manifest):
        items = keep_apart(output, items, listing.left_out)
    return Plan(items, done, failed, listing.left_out)


def keep_readable(
    folder: Path,
    items: Sequence[Item],
    left_out: list[LeftOut],
    look: Look,
) -> list[Item]:
    """Leave out photos that cannot be read, or whose mask cannot be, or does not fit."""
    readable = []
    for start in range(0, len(items), LOOKED_AT_ONCE):
        part = items[start : start + LOOKED_AT_ONCE]
        masks = {item.mask for item in part if item.mask is not None}
        found = look([*(str(folder / item.photo) for item in part), *sorted(masks)])
        for item in part:
            mask = None if item.mask is None else found[item.mask]
            why = _trouble(found[str(folder / item.photo)], mask)
            if why is None:
                readable.append(item)
            else:
                left_out.append(LeftOut(item.photo, *why))
    return readable


def _trouble(photo: dict[str, Any], mask: dict[str, Any] | None) -> tuple[str, str] | None:
    for each in (photo, mask):
        if each is not None and "error" in each:
            error = each["error"]
            return "unreadable", f"{error['message']} {error['hint']}".strip()
    if mask is None:
        if photo["has_alpha"]:
            return None
        return "unpaired", "there is no mask for it, and nothing in it is transparent"
    sizes = [(each["width"], each["height"]) for each in (photo, mask)]
    # As stored: a photo that its camera marked as turned has its sides exchanged.
    if sizes[0] not in (sizes[1], sizes[1][::-1]):
        (width, height), (mask_width, mask_height) = sizes
        return (
            "unreadable",
            f"its mask is {mask_width}×{mask_height} px, the photo {width}×{height} px",
        )
    return None


def keep_apart(output: Path, items: Sequence[Item], left_out: list[LeftOut]) -> list[Item]:
    """Into a folder that no batch wrote to, write over nothing."""
    kept = []
    for item in items:
        if (output / item.output).exists():
            why = f"{item.output} is there already, and no batch wrote it"
            left_out.append(LeftOut(item.photo, "collision", why))
        else:
            kept.append(item)
    return kept
