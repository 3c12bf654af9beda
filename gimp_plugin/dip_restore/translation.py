"""The plug-in in the language of its user: GIMP's own setting, through gettext."""

from __future__ import annotations

import gettext
from pathlib import Path

DOMAIN = "dip_restore"
_LOCALE = Path(__file__).resolve().parent / "locale"
_catalogue = gettext.translation(DOMAIN, _LOCALE, fallback=True)

_ = _catalogue.gettext
ngettext = _catalogue.ngettext


def is_translated() -> bool:
    """Whether there is a catalogue of the user's language."""
    return isinstance(_catalogue, gettext.GNUTranslations)
