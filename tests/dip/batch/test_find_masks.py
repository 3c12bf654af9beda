"""The search for damage in the photos of a batch, by processes of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dip.batch.find_masks import find_masks
from dip.batch.pairing import list_photos
from dip.detection.suitability import HALFTONE
from dip.image_io import write_photo


def test_doubts_about_a_photo_are_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    y, x = np.mgrid[:160, :160]
    dots = 0.5 + 0.24 * (np.cos(2 * np.pi * x / 6) + np.cos(2 * np.pi * y / 6))
    write_photo(tmp_path / "print.png", np.rint(dots * 255).astype(np.uint8))
    find_masks(list_photos(tmp_path, tmp_path / "out"), tmp_path, tmp_path / "out", [])
    assert f"dip: print.png: {HALFTONE}" in capfd.readouterr().err
