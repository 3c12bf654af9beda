"""Rules about damage that the engine shares with the GIMP plug-in.

`dip gimp install` copies this file beside the plug-in, which has no numpy: use the standard library
only, and import nothing of this project.
"""

from __future__ import annotations

UNKNOWN_ABOVE = 16 / 255
"""A pixel is unknown where the mask, in [0, 1], is above this; JPEG ringing around a mask stays
below."""

FEWEST_KNOWN = 64
"""A fit needs at least this many known pixels."""

MOSTLY_ABOVE = 0.6
"""A mask with a larger share of unknown pixels is perhaps inverted: the user is asked. Real damage
that is scattered over half of all pixels stays below."""

THIN_UP_TO_PX = 30
"""Damage up to this thickness is 'thin' (text, scratches, dust); thicker damage is a 'hole'. The
thickness is that of `dip.regions.mask.thickness_px`: a strip of 3 pixels measures 4, and damage at
the border of the image counts about twice."""

SCATTERED_UP_TO_PX = 12
"""Damage is 'scattered' below this thickness, if it covers more than `SCATTERED_ABOVE`."""

SCATTERED_ABOVE = 0.35
"""Share of unknown pixels above which thin damage is 'scattered'; text covers at most a quarter."""

BLOCK_PX = 16
"""Damage is first located on a grid of this size, which scans 100 megapixels in a second."""

THIN_CONTEXT_PX = 48
"""Margin around thin and scattered damage; a larger margin had no measurable effect."""

DAMAGE_KINDS = {"specks": (1, 2), "scratches": (3, 4), "creases": (5, 6)}
"""The kinds of damage that the search finds, each with the codes of bright and of dark damage."""

DEFAULT_SENSITIVITY = 0.5
"""Found damage is marked at this sensitivity unless the user chooses another: 0 marks nothing, 1
also the doubtful."""

RIM_PX = 4
"""Damage that the mask missed is looked for up to this distance. A mask that grows over such damage
grows by a pixel more, over the pixels that blend with it."""

_HOLE_CONTEXT = 4.5
"""The margin around a hole is this many times its thickness; with 3 the result was 4 dB worse."""


def lowest_marked_level(sensitivity: float) -> int:
    """The lowest level of certainty, 1 to 256, that is marked at a sensitivity of 0 to 1."""
    return 256 - round(255 * sensitivity)


def may_be_inverted(unknown: int, area: int) -> bool:
    """Whether a mask marks so much of an image of `area` pixels that it is perhaps inverted."""
    return unknown > MOSTLY_ABOVE * area


def hole_context_px(thickness_px: float) -> int:
    """Margin around a hole of this thickness at its widest part."""
    return max(THIN_CONTEXT_PX, round(_HOLE_CONTEXT * thickness_px))


def has_enough_context(known: int, area: int) -> bool:
    """Whether a region of `area` pixels has enough known pixels; if not, its margin is doubled."""
    return known >= area / 8
