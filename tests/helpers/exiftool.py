"""ExifTool, the independent reader and writer of metadata in tests: one process for all calls."""

from __future__ import annotations

import atexit
import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any

import pytest

_NOT_METADATA = ("SourceFile", "System", "ExifTool", "Composite")
_READY = "{ready1}"  # without a number, -q suppresses it
_STATUS = "status of this call: "


def tags_of(*paths: Path) -> list[dict[str, Any]]:
    """All tags of some files, named 'Group:Tag'; known and unknown ones, binary ones in full."""
    command = ["-j", "-a", "-G1:4", "-s", "-n", "-b", "-u", "-struct", "-api", "LargeFileSupport=1"]
    listed = json.loads(run(*command, *map(str, paths)))
    return [
        {name: value for name, value in each.items() if not name.startswith(_NOT_METADATA)}
        for each in listed
    ]


def write_tags(arguments: Sequence[str], *paths: Path) -> None:
    """Write tags into files."""
    options = ["-q", "-overwrite_original", "-m", "-charset", "exif=UTF8"]
    run(*options, *arguments, *map(str, paths))


def run(*arguments: str) -> str:
    """Let ExifTool work on arguments, or skip the test if it is missing."""
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool reads the tags, and is not here: tests/run.sh installs it")
    process, complaints = _process()
    assert process.stdin is not None
    assert process.stdout is not None
    said = complaints.seek(0, 2)
    words = [*arguments, "-echo3", _STATUS + "${status}", "-execute1"]
    process.stdin.write("".join(f"{word}\n" for word in words))
    process.stdin.flush()
    lines = []
    for line in process.stdout:
        if line.strip() == _READY:
            break
        lines.append(line)
    complaints.seek(said)
    assert lines, complaints.read()
    assert lines.pop().strip() == f"{_STATUS}0", complaints.read()
    return "".join(lines)


@cache
def _process() -> tuple[subprocess.Popen[str], IO[str]]:
    """ExifTool, which waits for calls, and the file of its complaints."""
    complaints = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
    process = subprocess.Popen(
        ["exiftool", "-stay_open", "True", "-@", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        encoding="utf-8",
    )

    @atexit.register
    def end() -> None:
        process.communicate("-stay_open\nFalse\n", timeout=10)
        complaints.close()

    return process, complaints
