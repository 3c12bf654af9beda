"""The plug-in in the language of its user: GIMP's own setting, through gettext."""

from __future__ import annotations

import gettext
from pathlib import Path

DOMAIN = "dip_restore"
_LOCALE = Path(__file__).resolve().parent / "locale"
_catalogue = gettext.translation(DOMAIN, _LOCALE, fallback=True)

_ = _catalogue.gettext
ngettext = _catalogue.ngettext


def number(value: float, spec: str = ",") -> str:
    """A number for a person, formatted as Python does, with the signs of the user's language."""
    pattern = _("1,234.5%")
    return format(value, spec).translate(
        {ord(","): pattern[1], ord("."): pattern[5], ord("%"): pattern[7:]}
    )


def percent(share: float) -> str:
    """A share for a person, with as many digits as it needs."""
    return number(share, ".1%" if share >= 0.01 else ".2%")


def whole_percent(share: float) -> str:
    return number(share, ".0%")


def is_translated() -> bool:
    """Whether there is a catalogue of the user's language."""
    return isinstance(_catalogue, gettext.GNUTranslations)
