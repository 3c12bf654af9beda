"""Rules about damage that the engine shares with the GIMP plug-in.

`dip gimp install` copies this file beside the plug-in, which has no numpy: use the standard library
only, and import nothing of this project.
"""

from __future__ import annotations

UNKNOWN_ABOVE = 16 / 255
"""Coverage above which a pixel is unknown; a JPEG's ringing around a mask stays below it."""

FEWEST_KNOWN = 64
"""A fit needs at least this many known pixels."""

BLOCK_PX = 16
"""Damages are first found on a grid this coarse, so that 100 megapixels are scanned in a second."""

THIN_CONTEXT_PX = 48
"""Margin around thin and scattered damage; more changed nothing that could be measured."""

_HOLE_CONTEXT = 4.5
"""Margin around a hole, in thicknesses: a large hole is filled from far around (3 lost 4 dB)."""


def hole_context_px(thickness_px: float) -> int:
    """Margin around a hole whose widest part has this thickness."""
    return max(THIN_CONTEXT_PX, round(_HOLE_CONTEXT * thickness_px))


def has_enough_context(known: int, area: int) -> bool:
    """Whether a region of `area` pixels has enough known ones; if not, its margin is doubled."""
    return known >= area / 8
