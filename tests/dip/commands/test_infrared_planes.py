"""The infrared plane of a scan is the same in its restored file, wherever the scanner put it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from infrared_scans import KINDS

from dip.image_io import find_infrared, read_photo, write_photo

QUICK = ["--iterations", 2, "--threads", 1]
KEPT_INSIDE = ["rgbi", "unmarked", "hdri", "dng"]

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Archive = Any  # see conftest.py


def infrared_of(path: Path) -> np.ndarray:
    found = find_infrared(path, read_photo(path))
    assert found is not None
    return found


@pytest.fixture
def infrared(photo: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 65536, photo.shape[:2], dtype=np.uint16)


@pytest.mark.parametrize("kind", KEPT_INSIDE)
def test_a_restored_file_keeps_it(
    files: Path, here: Run, photo: np.ndarray, mask: np.ndarray, infrared: np.ndarray, kind: str
) -> None:
    scan, output = files / "scan.tif", files / "result.tif"
    colours = photo.astype(np.uint16) * 257
    KINDS[kind](scan, colours, infrared)
    done = here("restore", scan, "--mask", files / "mask.png", "-o", output, *QUICK)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(infrared_of(output), infrared)
    after = read_photo(output).pixels
    np.testing.assert_array_equal(after[~mask], colours[~mask])
    assert (after != colours)[mask].any()


def test_a_batch_keeps_it_and_takes_the_file_of_a_plane_for_no_photo(
    archive: Archive, run: Run, photo: np.ndarray, infrared: np.ndarray
) -> None:
    scans, masks, out = (archive.folder / each for each in ("scans", "masks", "out"))
    for kind in ("rgbi", "hdri", "beside"):
        KINDS[kind](scans / f"{kind}.tif", photo.astype(np.uint16) * 257, infrared)
        write_photo(masks / f"{kind}.png", archive.mask)
    plane = (scans / "beside_IR.tif").read_bytes()
    ran = run()
    assert ran.returncode == 0, ran.stderr
    for kind in ("rgbi", "hdri"):
        np.testing.assert_array_equal(infrared_of(out / f"{kind}.tif"), infrared)
    assert {path.name for path in out.glob("*.tif")} == {"rgbi.tif", "hdri.tif", "beside.tif"}
    assert (scans / "beside_IR.tif").read_bytes() == plane
    assert "beside_IR.tif: it is the infrared plane of another photo" in ran.stderr
