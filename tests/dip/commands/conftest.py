"""Commands run in this process, and a folder with a photo and its mask."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dip import cli
from dip.image_io import write_photo


@pytest.fixture
def here(
    capfd: pytest.CaptureFixture[str],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command in this process, which has torch loaded already."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        words = [str(argument) for argument in arguments]
        capfd.readouterr()
        try:
            status = cli.main(words)
        except SystemExit as left:
            status = int(left.code or 0)
        return subprocess.CompletedProcess(words, status, *capfd.readouterr())

    return run


@pytest.fixture
def files(tmp_path: Path, photo: Any, mask: Any) -> Path:
    """A folder with photo.png and mask.png."""
    write_photo(tmp_path / "photo.png", photo)
    write_photo(tmp_path / "mask.png", mask.astype(np.uint8) * 255)
    return tmp_path
