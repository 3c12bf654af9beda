"""The marks that the options of a search ask for, and a check whether they make a selection."""

from __future__ import annotations

from typing import Any

import marks
from checks import Refusal
from dip_rules import DAMAGE_KINDS
from marks import Levels
from translation import _, whole_percent

MOST_MARKED = 0.1
"""Where more than this share is marked, grain or a pattern is taken for damage."""


class MarkOptions:
    """The options of a search, as the dialog or a script gives them."""

    def __init__(self, config: Any) -> None:
        value = config.get_property
        self.sensitivity: float = value("sensitivity")
        self.largest_px: int = value("largest")
        self.adds: bool = value("operation") == "add"
        brightness = value("brightness")
        parity = {"any": (0, 1), "bright": (1,), "dark": (0,)}[brightness]
        self.codes = tuple(
            code for kind, codes in DAMAGE_KINDS.items() if value(kind) for code in codes
            if code % 2 in parity
        )  # fmt: skip


def mask_of(levels: Levels, options: MarkOptions) -> bytes:
    """The marks that the options ask for, as a binary mask of the layer."""
    mask = marks.marked(levels.only(options.codes), options.sensitivity)
    if options.largest_px and marks.share(mask) <= MOST_MARKED:
        mask = marks.without_larger(mask, levels.width, options.largest_px)
    return mask


def check_marks(mask: bytes) -> None:
    """Check that marks are worth a selection.

    Raises
    ------
    Refusal
        There are none, or so many that something else was taken for damage.
    """
    marked = marks.share(mask)
    if not marked:
        raise Refusal(
            _(
                "No damage was found. A higher sensitivity finds more; or select the damage with "
                "the selection tools."
            )
        )
    if marked > MOST_MARKED:
        raise Refusal(
            _(
                "{share} of the photograph would be selected. Film grain or a printed pattern is "
                "taken for damage: choose a lower sensitivity, or fewer kinds."
            ).format(share=whole_percent(marked))
        )
