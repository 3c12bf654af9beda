"""ExifTool, the independent reader and writer of metadata in tests."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

_NOT_METADATA = ("SourceFile", "System", "ExifTool", "Composite")


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
    """Run ExifTool, or skip the test if it is missing."""
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool reads the tags, and is not here: tests/run.sh installs it")
    done = subprocess.run(["exiftool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
