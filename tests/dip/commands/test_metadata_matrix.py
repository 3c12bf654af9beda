"""Each tag of each format through `dip restore` and `dip batch`, as ExifTool reads it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tagged_photos import FORMATS, MATRIX_SAMPLE, Matrix, damage

from dip.image_io import write_photo

QUICK = ["--iterations", 1, "--threads", 1, "--texture", 0]

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.slow
def test_restore_loses_no_tag_silently(tmp_path: Path, here: Run, exhaustive: bool) -> None:
    matrix = Matrix(tmp_path / "photos", None if exhaustive else MATRIX_SAMPLE)
    write_photo(tmp_path / "mask.png", damage())
    for name, path in matrix.photos.items():
        for form, suffix in FORMATS.items():
            output = tmp_path / f"{name}_as{suffix}"
            words = ["restore", path, "--mask", tmp_path / "mask.png", "-o", output, *QUICK]
            done = here(*words, "--quiet")
            if done.returncode == 5:
                assert "cannot hold" in done.stderr
                assert not output.exists()
                matrix.refused += 1
                continue
            assert done.returncode == 0, done.stderr
            notes = [line.removeprefix("dip: ") for line in done.stderr.splitlines()]
            matrix.add(name, form, output, notes)
    matrix.check("dip restore")


@pytest.mark.slow
def test_batch_loses_no_tag_silently(
    tmp_path: Path, archive: Any, run: Run, exhaustive: bool
) -> None:
    matrix = Matrix(tmp_path / "scans", None if exhaustive else MATRIX_SAMPLE)
    for name in matrix.photos:
        write_photo(tmp_path / "masks" / f"{name}.png", damage())
    for form in FORMATS if exhaustive else [None]:
        assert run(*(["--format", form] if form else [])).returncode in (0, 11)
        for record in archive.manifest():
            name = Path(record["photo"]).stem
            if record["outcome"] == "failed":
                assert "cannot hold" in record["error"]["message"]
                assert not record["figures"]
                matrix.refused += 1
                continue
            output = tmp_path / "out" / record["output"]
            written = form or {".png": "png", ".tif": "tiff"}[output.suffix]
            kept = tmp_path / f"{name}_as{output.suffix}"
            output.rename(kept)
            matrix.add(name, written, kept, record["figures"]["notes"])
    matrix.check("dip batch")


def test_a_tag_that_is_missing_is_seen(tmp_path: Path) -> None:
    matrix = Matrix(tmp_path, ("jpeg",))
    write_photo(tmp_path / "bare.jpg", np.zeros((48, 64, 3), np.uint8))
    matrix.add("jpeg", "jpeg", tmp_path / "bare.jpg", [])
    with pytest.raises(AssertionError, match="Großmutter"):
        matrix.check("a bare file")
