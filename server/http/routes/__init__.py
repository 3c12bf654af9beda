"""The HTTP API, version 1: one module for each group of paths."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from server.errors import MEANINGS
from server.http.schemas import ErrorOut

SUBMISSION = (
    "parameter_invalid", "image_too_large", "image_unreadable", "content_type_refused",
    "body_too_large", "too_many_parts", "queue_full", "disk_full",
)  # fmt: skip
"""The errors of a form with a photo."""


def refusals(*codes: str) -> dict[Any, Any]:
    """Documentation of a path's errors, for /openapi.json."""
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for code in codes:
        by_status[MEANINGS[code].status].append(code)
    return {
        status: {
            "description": "`error.code` is " + " or ".join(f"`{code}`" for code in each) + ".",
            "content": {"application/json": {"schema": ErrorOut}},
        }
        for status, each in by_status.items()
    }
