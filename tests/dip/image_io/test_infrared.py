"""The infrared plane of a scan is found wherever scanner programs put it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from infrared_scans import KINDS

from dip.image_io import find_infrared, read_photo, write_photo

RANDOM = np.random.default_rng(0)
COLOURS = RANDOM.integers(0, 65536, (40, 50, 3), dtype=np.uint16)
INFRARED = RANDOM.integers(0, 65536, (40, 50), dtype=np.uint16)
RGBI = np.dstack([COLOURS, INFRARED])


@pytest.mark.parametrize("kind", KINDS)
def test_the_plane_is_found(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "scan.tif"
    KINDS[kind](path, COLOURS, INFRARED)
    found = find_infrared(path, read_photo(path))
    assert found is not None
    np.testing.assert_array_equal(found, INFRARED)


def test_a_photo_without_one_has_none(tmp_path: Path) -> None:
    for name in ("scan.tif", "scan.png"):
        write_photo(tmp_path / name, COLOURS)
        assert find_infrared(tmp_path / name, read_photo(tmp_path / name)) is None


@pytest.mark.parametrize("kind", [1, 2])
def test_alpha_is_no_infrared(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, RGBI, photometric="rgb", extrasamples=[kind])
    assert find_infrared(path, read_photo(path)) is None
