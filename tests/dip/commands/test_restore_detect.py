"""`dip restore --detect` and `dip batch --detect`: restorations without a mask."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from kept_processes import KeptProcesses
from numpy.typing import NDArray

from dip.image_io import read_mask, read_photo, write_photo

Run = Callable[..., "subprocess.CompletedProcess[str]"]
QUICK = ["--iterations", 2, "--device", "cpu", "--threads", 1]
SPECK = (slice(40, 46), slice(60, 66))


def ramp(channels: int = 3) -> NDArray[np.uint16]:
    """(96, 128, C) with grain, and a white speck."""
    random = np.random.default_rng(0)
    photo = np.linspace(0.3, 0.6, 128)[None, :, None].repeat(96, axis=0)
    photo = photo + random.normal(0, 0.006, (96, 128, channels))
    photo[SPECK] = 0.97
    return np.rint(photo * 65535).astype(np.uint16)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    (tmp_path / "scans").mkdir()
    write_photo(tmp_path / "scans/scan.tif", ramp())
    return tmp_path / "scans"


def test_the_damage_is_found_and_restored(here: Run, scans: Path) -> None:
    output = scans / "restored.tif"
    done = here("restore", scans / "scan.tif", "--detect", "-o", output, *QUICK)
    assert done.returncode == 0, done.stderr
    assert "1 marks on 0." in done.stderr
    before, after = ramp() / 65535, read_photo(output).pixels / 65535
    assert np.abs(after[SPECK] - 0.45).max() < 0.1
    changed = np.abs(after - before).max(axis=2) > 0
    assert changed[SPECK].all()
    assert changed.mean() < 0.02


def test_the_infrared_plane_shows_the_damage_and_is_kept(here: Run, scans: Path) -> None:
    infrared = np.full((96, 128), 50_000, np.uint16)
    infrared += np.random.default_rng(1).integers(0, 400, infrared.shape, dtype=np.uint16)
    infrared[70:74, 20:24] = 9_000  # dust that the colours do not show
    path, output = scans / "rgbi.tif", scans / "restored.tif"
    tifffile.imwrite(path, np.dstack([ramp(), infrared]), photometric="rgb", extrasamples=[0])
    done = here("restore", path, "--detect", "-o", output, *QUICK)
    assert done.returncode == 0, done.stderr
    assert "found in the infrared plane" in done.stderr
    written = tifffile.imread(output)
    np.testing.assert_array_equal(written[:, :, 3], infrared)
    changed = (written[:, :, :3] != ramp()).any(axis=2)
    assert changed[70:74, 20:24].all()
    assert not changed[SPECK].any()
    off = here("restore", path, "--detect", "--infrared", "off", "-o", output, *QUICK)
    assert off.returncode == 0, off.stderr
    assert (tifffile.imread(output)[:, :, :3] != ramp()).any(axis=2)[SPECK].all()


def test_pages_without_damage_stay_as_they_are(here: Run, scans: Path) -> None:
    flat = np.full((96, 128, 3), 30_000, np.uint16)
    path, output = scans / "album.tif", scans / "restored.tif"
    with tifffile.TiffWriter(path) as file:
        for page in (flat, ramp(), flat):
            file.write(page, photometric="rgb", metadata=None)
    done = here("restore", path, "--detect", "--page", "all", "-o", output, *QUICK)
    assert done.returncode == 0, done.stderr
    assert "page 1: " in done.stderr
    assert "page 3: " in done.stderr
    first, second, third = (read_photo(output, page=page).pixels for page in range(3))
    np.testing.assert_array_equal(first, flat)
    np.testing.assert_array_equal(third, flat)
    assert (second != ramp()).any(axis=2)[SPECK].all()


def test_nothing_found_is_an_error_and_writes_nothing(here: Run, scans: Path) -> None:
    write_photo(scans / "flat.png", np.full((60, 60, 3), 90, np.uint8))
    done = here("restore", scans / "flat.png", "--detect", *QUICK)
    assert done.returncode == 4
    assert "No damage was found." in done.stderr
    assert not list(scans.glob("flat_restored*"))


def test_more_than_the_limit_is_left_to_a_person(here: Run, scans: Path) -> None:
    options = ["--most-coverage", "0.1"]
    for words in (["restore", "--detect", *QUICK], ["detect"]):
        done = here(words[0], scans / "scan.tif", *words[1:], *options)
        assert done.returncode == 4
        assert "% of the photo look like damage, more than 0.1 %." in " ".join(done.stderr.split())
    assert [each.name for each in scans.iterdir()] == ["scan.tif"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["restore", "scan.tif", "--detect", "--mask", "m.png"], "--mask gives it"),
        (["restore", "scan.tif", "--detect", "--most-coverage", "0"], "--most-coverage is 0."),
        (["batch", ".", "-o", "out", "--detect", "--masks", "m"], "--masks exclude each other"),
        (["batch", ".", "-o", "out", "--detect", "--page", "all"], "searches one page of each"),
        (["batch", ".", "-o", "out", "--detect", "--dry-run"], "--dry-run exclude each other"),
    ],
)
def test_options_that_exclude_each_other_are_refused(
    here: Run, scans: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(scans)
    done = here(*words)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_batch_finds_damage_and_keeps_the_masks(
    here: Run, scans: Path, kept_processes: KeptProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dip.batch.worker_pool.FitProcess", kept_processes.take)
    write_photo(scans / "scan_IR.tif", ramp()[:, :, 0])
    write_photo(scans / "flat.png", np.full((60, 60, 3), 90, np.uint8))
    random = np.random.default_rng(2)
    specks = np.full((96, 128), 0.4) + random.normal(0, 0.004, (96, 128))
    for top, left in random.integers(0, (90, 120), (30, 2)):
        specks[top : top + 4, left : left + 4] = 0.95
    write_photo(scans / "grainy.png", np.rint(specks * 255).astype(np.uint8))
    write_photo(scans / "marked.png", np.rint(ramp() / 257).astype(np.uint8))
    mask = np.zeros((96, 128), np.uint8)
    mask[50:54, 20:24] = 255
    write_photo(scans / "marked_mask.png", mask)

    output = scans.parent / "out"
    words: list[Any] = ["batch", scans, "-o", output, "--detect", "--most-coverage", 1]
    words += ["--iterations", 2, "--device", "cpu", "--workers", 1]
    done = here(*words)
    assert done.returncode == 11, done.stderr
    said = done.stderr
    assert "left out: grainy.png: " in said
    assert "more than 1 %" in said
    assert "left out: flat.png: no damage was found" in said
    assert "left out: scan_IR.tif: it is the infrared plane of another photo" in said
    found = read_mask(output / "scan_mask.png") > 127
    assert found[SPECK].all()
    assert found.mean() < 0.02
    lines = [json.loads(line) for line in (output / "manifest.jsonl").read_text().splitlines()]
    assert {line["photo"] for line in lines if line.get("outcome", "done") == "done"} >= {
        "scan.tif",
        "marked.png",
    }
    assert (output / "scan.tif").exists()
    assert not (output / "marked_mask.png").exists()

    # A mask that was edited by hand is used as it is.
    write_photo(output / "scan_mask.png", mask)
    later = os.stat(scans / "scan.tif").st_mtime + 10
    os.utime(output / "scan_mask.png", (later, later))
    assert "finding the damage of scan.tif" not in here(*words).stderr
    changed = (read_photo(output / "scan.tif").pixels != ramp()).any(axis=2)
    assert changed[50:54, 20:24].all()
    assert not changed[SPECK].any()
