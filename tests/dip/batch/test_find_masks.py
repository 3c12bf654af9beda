"""The search for damage in the photos of a batch, by processes of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from crashing_reader import crashing_at

from dip.batch.find_masks import find_masks
from dip.batch.pairing import list_photos
from dip.detection.suitability import HALFTONE
from dip.image_io import write_photo


def test_doubts_about_a_photo_are_told_and_one_that_crashes_the_search_costs_itself(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "sitecustomize.py").write_text(crashing_at("a.png", "dip.commands.detect_worker"))
    monkeypatch.setenv("PYTHONPATH", str(code))
    y, x = np.mgrid[:160, :160]
    dots = 0.5 + 0.24 * (np.cos(2 * np.pi * x / 6) + np.cos(2 * np.pi * y / 6))
    write_photo(tmp_path / "print.png", np.rint(dots * 255).astype(np.uint8))
    write_photo(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    listing = list_photos(tmp_path, tmp_path / "out")
    find_masks(listing, tmp_path, tmp_path / "out", [])
    (crashed,) = (each for each in listing.left_out if each.name == "a.png")
    assert "SIGSEGV" in crashed.reason
    assert f"dip: print.png: {HALFTONE}" in capfd.readouterr().err
