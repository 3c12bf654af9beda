"""`-` in place of a file name: standard input and output, through a temporary folder."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dip.errors import InputError, OutputError
from dip.file_signatures import SIGNATURE_BYTES, identify

STREAM = Path("-")


@contextmanager
def as_files(
    photo: Path, mask: Path | None, output: Path | None
) -> Iterator[tuple[Path, Path | None, Path | None]]:
    """Give photo, mask and result file names; at the end, write a result `-` to standard output.

    Raises
    ------
    InputError
        Photo and mask are both `-`, or standard input is closed.
    OutputError
        The photo is `-`, and the result has no name; or standard output is closed, full or gone.
    """
    if STREAM not in (photo, mask, output):
        yield photo, mask, output
        return
    if output == STREAM and getattr(sys.stdout, "was_closed", False):
        raise OutputError("Standard output is closed.", "Name a file: -o FILE.")
    if photo == mask == STREAM:
        raise InputError("Photo and mask are both -.", "Name a file for one of them.")
    if photo == STREAM and output is None:
        raise OutputError(
            "The photo is -, and the result has no name.", "Name it: -o FILE, or -o -."
        )
    with tempfile.TemporaryDirectory() as folder:
        if photo == STREAM:
            photo = _received(Path(folder) / "standard input")
        if mask == STREAM:
            mask = _received(Path(folder) / "standard input")
        if output != STREAM:
            yield photo, mask, output
            return
        with photo.open("rb") as file:
            is_tiff = identify(file.read(SIGNATURE_BYTES)) == "tiff"
        output = Path(folder) / f"result{'.tif' if is_tiff else '.png'}"
        try:
            yield photo, mask, output
        finally:
            if output.exists():
                _send(output)


def _send(result: Path) -> None:
    """Write a result to standard output; where that fails, keep it in a file."""
    try:
        with result.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except OSError as error:
        # Python would try to write the rest once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(
            f"Standard output cannot be written: {error.strerror}.{_kept(result)}",
            "Is its disk full, or its reader gone?",
        ) from error


def _kept(result: Path) -> str:
    """Copy a result to a place that stays; a sentence that names it."""
    from dip.image_io import write_elsewhere

    spare = write_elsewhere(result.read_bytes(), Path.cwd(), result.suffix)
    return "" if spare is None else f" The result lies in {spare}."


def _received(path: Path) -> Path:
    if sys.stdin is None:
        raise InputError("Standard input is closed.", "Name a file.")
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return path
