"""Notes of the engine in the user's language, by their codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dip_notes import TECHNICAL, TEXTS
from translation import _, number


class Notes:
    """The notes of one job, as sentences: for everyone, and among the details.

    Of the notes about runs, the latest alone is kept.
    """

    def __init__(self) -> None:
        self._told: dict[tuple[bool, str], str] = {}

    def add(self, note: dict[str, Any]) -> None:
        """Add a note: its code, values and English message."""
        for each in _single(note):
            text = told(each)
            key = each["code"] if each["code"] == "run" else text
            self._told[each["code"] in TECHNICAL, key] = text

    @property
    def plain(self) -> list[str]:
        return [text for (is_technical, _key), text in self._told.items() if not is_technical]

    @property
    def technical(self) -> list[str]:
        return [text for (is_technical, _key), text in self._told.items() if is_technical]


def told(note: dict[str, Any]) -> str:
    """A note as a sentence; in English where its code is unknown."""
    words = _words(note)
    sentence = words[:1].upper() + words[1:]
    return sentence if sentence[-1:] in ".!?？" else _("{sentence}.").format(sentence=sentence)


def _single(note: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if note["code"] == "several":
        yield from note["values"]["notes"]
    else:
        yield note


def _words(note: dict[str, Any]) -> str:
    if note["code"] == "rim_damaged":
        return _(
            "Damage is left around the selection, up to {width} px wide. Undo, and restore again "
            "with “Grow it over damage found at its rim” switched on."
        ).format(width=note["values"]["px"])
    if note["code"] not in TEXTS:
        return str(note["message"])
    values = {name: _shown(value) for name, value in note["values"].items()}
    return _(TEXTS[note["code"]]).format_map(values)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return _words(value)
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return number(value) if isinstance(value, int) else str(value)
