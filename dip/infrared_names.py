"""The name of the file that holds the infrared plane of a scan, beside the photo's own file."""

from __future__ import annotations

import os
from collections.abc import Collection

ENDINGS = ("_IR", "_ir", "-IR", "-ir", "_infrared")


def is_infrared_of(name: str, photos: Collection[str]) -> bool:
    """Whether a file is named as the infrared plane of one of these photos."""
    stem, suffix = os.path.splitext(name)
    return any(stem.endswith(each) and stem[: -len(each)] + suffix in photos for each in ENDINGS)
