"""Versions that a result depends on."""

from __future__ import annotations

import platform
from importlib.metadata import version

from dip import __version__


def versions() -> dict[str, str]:
    """Return the versions that a result depends on, besides photo, mask and settings."""
    return {
        "dip": __version__,
        "torch": version("torch").partition("+")[0],
        "python": ".".join(platform.python_version_tuple()[:2]),
    }
