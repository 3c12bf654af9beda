"""libvips: quiet, without a cache, and what it says of its failures."""

from __future__ import annotations

import logging

import pyvips

logging.getLogger("pyvips").setLevel(logging.CRITICAL)  # libraries' remarks on odd tags
pyvips.cache_set_max(0)  # nothing is opened twice, and a cache would hold files open

FAILURES = (pyvips.Error, UnicodeDecodeError)
"""What its calls raise; the second since it quotes bytes of a name or file."""


def said_by(error: pyvips.Error | UnicodeDecodeError) -> str:
    """The library's own words, on as many lines as it took."""
    if isinstance(error, UnicodeDecodeError):
        pyvips.vips_lib.vips_error_clear()  # or every later error begins with the same bytes
        return bytes(error.object).decode(errors="replace")
    return str(error.detail)
