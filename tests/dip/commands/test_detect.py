"""`dip detect`: a mask of the damage in a photo."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from dip.commands import detect
from dip.image_io import read_mask, read_photo, write_photo

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A gray ramp with grain, a black scratch and a white speck."""
    random = np.random.default_rng(0)
    photo = np.linspace(90, 150, 160)[None].repeat(120, axis=0) + random.normal(0, 1.5, (120, 160))
    photo[10:110, 40:43] = 20
    photo[60:66, 100:106] = 250
    write_photo(tmp_path / "scan.png", np.rint(photo).astype(np.uint8))
    return tmp_path / "scan.png"


def test_the_mask_lies_beside_the_photo_and_is_never_replaced(here: Run, scan: Path) -> None:
    done = here("detect", scan)
    mask = scan.with_name("scan_mask.png")
    assert (done.returncode, done.stdout) == (0, f"{mask}\n")
    assert "2 marks" in done.stderr
    marked = read_mask(mask) > 127
    assert marked[12:108, 41].mean() > 0.9
    assert marked[61:65, 101:105].all()
    assert marked.mean() < 0.05
    again = here("detect", scan)
    assert again.returncode == 5
    assert "exists already" in again.stderr


def test_kinds_and_sizes_are_chosen(here: Run, scan: Path) -> None:
    output = scan.with_name("m.png")
    here("detect", scan, "-o", output, "--kinds", "bright-specks")
    marked = read_mask(output) > 127
    assert marked[62, 102]
    assert not marked[:, 38:46].any()
    here("detect", scan, "-o", output, "--largest", 30)
    np.testing.assert_array_equal(read_mask(output) > 127, marked)


def test_the_overlay_shows_the_damage_in_red(here: Run, scan: Path) -> None:
    overlay = scan.with_name("overlay.jpg")
    assert here("detect", scan, "--overlay", overlay).returncode == 0
    shown = read_photo(overlay).pixels.astype(int)
    assert shown.shape == (120, 160, 3)
    assert shown[60, 41, 0] - shown[60, 41, 1] > 100
    assert abs(shown[20, 120, 0] - shown[20, 120, 1]) < 30


def test_nothing_found_is_said_and_the_mask_is_black(here: Run, tmp_path: Path) -> None:
    write_photo(tmp_path / "flat.png", np.full((80, 90), 120, np.uint8))
    done = here("detect", tmp_path / "flat.png", "-o", tmp_path / "m.png")
    assert done.returncode == 0
    assert "no damage was found; a higher --sensitivity may find some" in done.stderr
    assert not read_mask(tmp_path / "m.png").any()


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--sensitivity", "2"], 2, "The sensitivity is 2.0. It must be from 0 to 1."),
        (["--kinds", "dust"], 2, "There is no kind of damage 'dust'. Choose from specks, "),
        (["--largest", "0"], 2, "--largest is 0."),
        (["-o", "scan.png"], 5, "is the photo itself"),
        (["-o", "m.png", "--overlay", "m.png"], 5, "is the mask and the overlay"),
    ],
)
def test_wrong_options_are_named(
    here: Run,
    scan: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    status: int,
    said: str,
) -> None:
    monkeypatch.chdir(scan.parent)
    before = scan.read_bytes()
    done = here("detect", scan, *options)
    assert done.returncode == status
    assert said in " ".join(done.stderr.replace("dip: ", "").split())
    assert scan.read_bytes() == before


@pytest.fixture
def album(scan: Path) -> Path:
    """Two pages: the scan, and the scan upside down."""
    page = read_photo(scan).pixels
    with tifffile.TiffWriter(scan.with_name("album.tif")) as file:
        for each in (page, page[::-1]):
            file.write(each, photometric="minisblack", metadata=None)
    return scan.with_name("album.tif")


def test_a_page_is_searched(here: Run, album: Path) -> None:
    masks = [album.with_name(f"{page}.png") for page in (1, 2)]
    for page, mask in enumerate(masks, 1):
        assert here("detect", album, "--page", page, "-o", mask, "--quiet").returncode == 0
    first, second = (read_mask(mask) > 127 for mask in masks)
    assert first[61:65, 101:105].all()
    assert second[::-1][61:65, 101:105].all()
    assert not second[61:65, 101:105].any()
    done = here("detect", album, "--page", 3, "-o", masks[0])
    assert (done.returncode, "no page 3" in done.stderr) == (3, True)


def test_all_pages_are_searched_for_a_mask_of_as_many(here: Run, album: Path) -> None:
    overlay = album.with_name("overlay.tif")
    done = here("detect", album, "--page", "all", "--overlay", overlay)
    mask = album.with_name("album_mask.tif")
    assert (done.returncode, done.stdout) == (0, f"{mask}\n"), done.stderr
    first, second = (read_mask(mask, page=page) > 127 for page in (0, 1))
    assert first[61:65, 101:105].all()
    assert second[::-1][61:65, 101:105].all()
    assert read_photo(overlay, page=1).pixels.shape == (120, 160, 3)
    refused = here("detect", album, "--page", "all", "-o", album.with_name("m.png"))
    assert (refused.returncode, "cannot hold 2 pages" in refused.stderr) == (5, True)


def test_a_mask_does_not_replace_one_that_came_meanwhile(
    here: Run, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = scan.with_name("scan_mask.png")
    monkeypatch.setattr(detect, "refuse_most", lambda *given: mask.write_bytes(b"by hand"))
    done = here("detect", scan)
    assert (done.returncode, "File exists" in done.stderr) == (5, True)
    assert mask.read_bytes() == b"by hand"


def test_standard_input_and_output_serve_for_photo_and_mask(scan: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dip", "detect", "-", "-o", "-", "--quiet"],
        input=scan.read_bytes(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert (read_mask(done.stdout) > 127)[61:65, 101:105].all()


def test_a_photo_that_is_too_small_is_refused(here: Run, tmp_path: Path) -> None:
    write_photo(tmp_path / "small.png", np.zeros((20, 20), np.uint8))
    done = here("detect", tmp_path / "small.png")
    assert done.returncode == 3
    assert "20 × 20 pixels" in done.stderr
