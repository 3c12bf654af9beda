"""`dip restore` refuses a task: the exit status, the message, and nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from image_headers import png_claiming

from dip.image_io import encode_photo, read_mask, write_photo

QUICK = ["--iterations", 3, "--threads", 1]

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def task(files: Path, *more: object) -> list[object]:
    """The words that restore the photo of the folder."""
    return ["restore", files / "photo.png", "--mask", files / "mask.png", *QUICK, *more]


def tiff_with(sample: float) -> bytes:
    image = np.full((48, 64, 3), 0.5, dtype=np.float32)
    image[3, 4] = sample
    return encode_photo(image, "tiff")


GOOD = encode_photo(np.full((48, 64, 3), 99, dtype=np.uint8), "png")
BAD_PHOTOS = {
    "empty": (b"", "photo.png: The file is empty (0 bytes).", "copied completely"),
    "of another kind": (b"GIF89a" + bytes(50), "This is a GIF file.", "PNG, TIFF, JPEG, WebP"),
    "text": (b"Dear photograph, ...", "This is not a picture", "PNG, TIFF, JPEG, WebP"),
    "truncated": (GOOD[: len(GOOD) // 2], "cannot be decoded", "save it again"),
    "hostile": (png_claiming(60_000, 60_000), "60000×60000 px, 3600 megapixels", "Cut out"),
    "too small": (encode_photo(np.ones((8, 64), np.uint8), "png"), "64×8 px", "16 px or more"),
    "NaN": (tiff_with(np.nan), "3, column 4", "Add them to the mask"),
    "infinite": (tiff_with(np.inf), "3, column 4", "Add them to the mask"),
}


@pytest.mark.parametrize("kind", BAD_PHOTOS)
def test_a_bad_photo_is_named(files: Path, kind: str, here: Run) -> None:
    data, seen, hint = BAD_PHOTOS[kind]
    (files / "photo.png").write_bytes(data)
    if kind == "too small":
        write_photo(files / "mask.png", np.eye(8, 64, dtype=np.uint8) * 255)
    refused(here(*task(files, "-o", files / "restored.tif")), 3, seen, hint, files)


def test_a_photo_that_is_not_there_is_named(files: Path, here: Run) -> None:
    (files / "photo.png").unlink()
    done = here(*task(files, "-o", files / "restored.png"))
    refused(done, 3, "photo.png: The file cannot be read: No such file", "Check the name", files)
    (files / "photo.png").mkdir()
    done = here(*task(files, "-o", files / "restored.png"))
    refused(done, 3, "cannot be read", "Check the name", files)


def test_a_photo_without_mask_and_transparency_is_named(files: Path, here: Run) -> None:
    done = here("restore", files / "photo.png", *QUICK, "-o", files / "restored.png")
    refused(done, 4, "There is no mask", "make the damage transparent", files)


@pytest.mark.parametrize(
    ("level", "shape", "seen", "hint"),
    [
        (0, (48, 64), "Nothing is marked", "white on black"),
        (10, (48, 64), "Nothing is marked", "white on black"),
        (255, (48, 64), "3072 of 3072 pixels and leaves 0 known", "inverted"),
        (255, (20, 30), "The mask is 30×20 px, the image 64×48 px.", "exactly the image's size"),
    ],
)
def test_a_bad_mask_is_named(
    files: Path, level: int, shape: tuple[int, int], seen: str, hint: str, here: Run
) -> None:
    write_photo(files / "mask.png", np.full(shape, level, dtype=np.uint8))
    refused(here(*task(files, "-o", files / "restored.png")), 4, seen, hint, files)


def test_a_mask_that_leaves_too_little_is_named(files: Path, here: Run) -> None:
    mask = np.full((48, 64), 255, dtype=np.uint8)
    mask[0, :63] = 0
    write_photo(files / "mask.png", mask)
    done = here(*task(files, "-o", files / "restored.png"))
    refused(done, 4, "leaves 63 known", "needs 64 or more", files)


@pytest.mark.parametrize("command", ["restore", "compare"])
def test_a_mask_that_may_be_inverted_needs_a_yes(files: Path, command: str, here: Run) -> None:
    mask = read_mask(files / "mask.png")
    write_photo(files / "mask.png", 255 - mask)
    words = [command, files / "photo.png", "--mask", files / "mask.png", *QUICK]
    done = here(*words, "-o", files / "out.png")
    refused(done, 4, "The mask marks 9", "add --yes", files)
    assert not (files / "out.png").exists()
    done = here(*words, "--yes", "-o", files / "out.png")
    assert done.returncode == 0
    assert (files / "out.png").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "seen", "hint"),
    [
        (["-o", "missing/restored.png"], 5, "There is no folder", "Make it first"),
        (["-o", "."], 5, "no known ending", "End it with"),
        (["-o", "restored.gif"], 5, "no known ending", "End it with .png"),
        (["-o", "restored.png", "--preview", "missing/a.png"], 5, "There is no folder", "Make"),
        (["-o", "photo.png"], 5, "photo.png is the photo itself", "Name another file"),
        (["-o", "mask.png"], 5, "mask.png is the mask itself", "Name another file"),
        (["-o", "a.png", "--preview", "photo.png"], 5, "is the photo itself", "Name another"),
        (["-o", "a.png", "--preview", "a.png"], 5, "is the result itself", "Name another"),
        (["-o", "a.png", "--device", "mps"], 6, "'mps' is not available", "--device auto"),
        (["-o", "a.png", "--iterations", "0"], 2, "iterations is 0", "from 1 to"),
        (["-o", "a.png", "--seed", "-1"], 2, "seed is -1", "from 0 to"),
        (["-o", "a.png", "--network", "resnet"], 2, "'resnet'", "choose from"),
        (["-o", "a.png", "--max-memory-mb", "100"], 7, "100 MB", "the limit"),
    ],
)
def test_an_impossible_task_is_refused_before_the_work(
    files: Path,
    arguments: list[str],
    status: int,
    seen: str,
    hint: str,
    here: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(files)
    if "mps" in arguments and sys.platform == "darwin":
        pytest.skip("this machine may have the device")
    refused(here(*task(files, *arguments)), status, seen, hint, files)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to_is_named_before_the_work(
    files: Path, here: Run
) -> None:
    files.chmod(0o500)
    done = here(*task(files, "-o", files / "restored.png"))
    files.chmod(0o700)
    refused(done, 5, "restored.png cannot be written", "Name another", files)


def test_a_link_to_the_photo_is_the_photo(files: Path, here: Run) -> None:
    before = (files / "photo.png").read_bytes()
    (files / "link.png").symlink_to(files / "photo.png")
    done = here(*task(files, "-o", files / "link.png"))
    assert done.returncode == 5
    assert "is the photo itself" in done.stderr
    assert (files / "photo.png").read_bytes() == before


def refused(
    done: subprocess.CompletedProcess[str], status: int, seen: str, hint: str, folder: Path
) -> None:
    """Check the exit status, the message and its hint, and that nothing was written."""
    assert done.returncode == status, done.stderr
    assert seen in done.stderr
    assert hint in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "left" not in done.stderr, "no iteration has begun"
    assert set(names_in(folder)) <= {"mask.png", "photo.png"}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
