"""Commands run in this process, and folders of photos and masks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from kept_processes import KeptProcesses

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


QUICK_BATCH = ["--iterations", "2", "--device", "cpu", "--workers", "1"]
"""One worker: each imports torch, which takes longer than such a fit."""
Pixels = npt.NDArray[Any]
Ran = subprocess.CompletedProcess[str]


class Archive:
    """A folder with photos and masks, and batches over it."""

    def __init__(self, folder: Path, photo: Pixels, mask: Pixels) -> None:
        self.folder, self.photo, self.mask = folder, photo, mask.astype(np.uint8) * 255
        (folder / "scans").mkdir()
        (folder / "masks").mkdir()

    def put(self, name: str, photo: Pixels | None = None) -> None:
        """Add a photo and its mask."""
        path = self.folder / "scans" / name
        path.parent.mkdir(exist_ok=True)
        write_photo(path, self.photo if photo is None else photo)
        mask = self.folder / "masks" / Path(name).with_suffix(".png")
        mask.parent.mkdir(exist_ok=True)
        write_photo(mask, self.mask)

    def words(self, *options: object) -> list[str]:
        """The words of a batch over the folder."""
        scans, masks, out = (self.folder / each for each in ("scans", "masks", "out"))
        words = ["batch", scans, "--masks", masks, "-o", out, *QUICK_BATCH, *options]
        return [str(word) for word in words]

    def start(self, *options: object, **given: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "dip", *self.words(*options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **given,
        )

    def manifest(self) -> list[dict[str, Any]]:
        path = self.folder / "out/manifest.jsonl"
        if not path.exists():
            return []
        lines = path.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def done(self) -> list[str]:
        return sorted(each["photo"] for each in self.manifest() if each["outcome"] == "done")

    def result(self, name: str) -> bytes:
        return (self.folder / "out" / name).read_bytes()


@pytest.fixture
def archive(tmp_path: Path, photo: Pixels, mask: Pixels) -> Archive:
    return Archive(tmp_path, photo, mask)


@pytest.fixture(scope="session")
def kept_processes() -> Iterator[KeptProcesses]:
    kept = KeptProcesses()
    yield kept
    kept.close()


@pytest.fixture
def run(
    archive: Archive,
    capfd: pytest.CaptureFixture[str],
    kept_processes: KeptProcesses,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Ran]:
    """Run a batch from this process; the fits have processes of their own all the same."""
    monkeypatch.setattr("dip.batch.worker_pool.FitProcess", kept_processes.take)

    def run(*options: object) -> Ran:
        words = archive.words(*options)
        capfd.readouterr()
        return subprocess.CompletedProcess(words, cli.main(words), *capfd.readouterr())

    return run
