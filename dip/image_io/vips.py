"""libvips: its set-up, and the messages of its errors."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pyvips

logging.getLogger("pyvips").setLevel(logging.CRITICAL)  # warnings of libraries about unusual tags
pyvips.cache_set_max(0)  # no file is opened twice, and a cache would keep files open

FAILURES = (pyvips.Error, UnicodeDecodeError)
"""Errors of libvips; the second occurs when its message quotes bytes of a name or file."""


def message_of(error: pyvips.Error | UnicodeDecodeError) -> str:
    """The message of the library, with one or more lines."""
    if isinstance(error, UnicodeDecodeError):
        pyvips.vips_lib.vips_error_clear()  # otherwise each later error begins with the same bytes
        return bytes(error.object).decode(errors="replace")
    return str(error.detail)


def load_by_vips(photo: Path | bytes, form: str, **options: Any) -> Any:
    """An image of libvips, which decodes rows on demand; no other format than `form` is tried."""
    if isinstance(photo, bytes):
        return pyvips.Operation.call(f"{form}load_buffer", photo, **options)
    return pyvips.Operation.call(f"{form}load", os.fsencode(photo), **options)
