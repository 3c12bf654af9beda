"""Seeing to it that what was written outlives a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def flush(path: Path) -> None:
    """See a file, or the entries of a folder, on disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows flushes no folders
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
