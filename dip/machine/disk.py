"""Paths on the disk, and flushing files to it, so that they survive a power failure."""

from __future__ import annotations

import os
from pathlib import Path

from dip.errors import OutputError


def flush(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot flush folders
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def real_path(path: Path | str) -> Path:
    """The absolute path without links: a link stays, and its target is replaced.

    Raises
    ------
    OutputError
        Links lead to each other, or a name is too long.
    """
    try:
        path = Path(path).resolve()
        path.exists()
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        reason = error.strerror if isinstance(error, OSError) else "its links form a circle"
        raise OutputError(f"{path} cannot be written: {reason}.", "Name another file.") from error
    return path
