"""Fields of forms that are checked more strictly than the framework does, and their ranges."""

from __future__ import annotations

import re
from typing import Any

from apiflask import fields
from apiflask.validators import Range

from dip.config import GROW_AUTO, MAX_GROWTH_PX, RANGES


class _AsciiDigits:
    """Refuses texts that Python reads as numbers and others do not: '١٢', '1_000', ' 7', 'nan'."""

    _number = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
    _max_characters = 40

    def _deserialize(self, value: Any, *given: Any, **named: Any) -> Any:
        text = str(value)
        if len(text) > self._max_characters or self._number.fullmatch(text) is None:
            raise self.make_error("invalid", input=value)  # type: ignore[attr-defined]
        return super()._deserialize(value, *given, **named)  # type: ignore[misc]


class Integer(_AsciiDigits, fields.Integer):
    _number = re.compile(r"[+-]?[0-9]+")


class Float(_AsciiDigits, fields.Float):
    pass


class Growth(fields.Field):
    """Pixels by which the mask is grown, or 'auto'."""

    default_error_messages = {  # noqa: RUF012
        "invalid": f"Must be a whole number from 0 to {MAX_GROWTH_PX}, or {GROW_AUTO}."
    }

    def _deserialize(self, value: Any, *given: Any, **named: Any) -> int | str:
        text = str(value)
        if text == GROW_AUTO:
            return text
        if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) > MAX_GROWTH_PX:
            raise self.make_error("invalid")
        return int(text)


GROWTH = {
    "oneOf": [
        {"type": "integer", "minimum": 0, "maximum": MAX_GROWTH_PX},
        {"type": "string", "enum": [GROW_AUTO]},
    ]
}
"""Field metadata of a growth for /openapi.json."""


def setting_range(name: str) -> Range:
    """The range that the engine accepts for a setting."""
    low, high = RANGES[name]
    return Range(min=low, max=high)


def described(text: str) -> dict[str, Any]:
    """Field metadata with a description for /openapi.json."""
    return {"description": text}
