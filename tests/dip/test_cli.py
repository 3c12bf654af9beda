"""The command line as its users meet it: real processes, real files, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dip.device import environment_for_cpu
from dip.image_io import encode_photo, read_photo, write_photo

QUICK = ["--iterations", "3"]
ENOUGH_FOR_A_SIGNAL = ["--iterations", "100000"]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "dip", *map(str, arguments)]


def dip(*arguments: object, **given: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, timeout=120, **given
    )


@pytest.fixture
def files(tmp_path: Path, photo: Any, mask: Any) -> Path:
    """A folder with photo.png and mask.png."""
    write_photo(tmp_path / "photo.png", photo)
    write_photo(tmp_path / "mask.png", mask.astype(np.uint8) * 255)
    return tmp_path


def restore(files: Path, *more: object, **given: Any) -> subprocess.CompletedProcess[str]:
    return dip("restore", files / "photo.png", "--mask", files / "mask.png", *QUICK, *more, **given)


# --- What it does -------------------------------------------------------------------------------


def test_a_photo_and_a_mask_become_a_restored_photo(files: Path, photo: Any, mask: Any) -> None:
    done = restore(files, "-o", files / "restored.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == str(files / "restored.png")
    assert "3 of 3 iterations" in done.stdout
    result = read_photo(files / "restored.png").pixels
    np.testing.assert_array_equal(result[~mask], photo[~mask])
    assert (result[mask] != photo[mask]).any()


def test_without_a_mask_transparent_pixels_are_restored(files: Path, photo: Any, mask: Any) -> None:
    alpha = np.where(mask, 0, 255).astype(np.uint8)
    write_photo(files / "cut.png", np.dstack([photo, alpha]))
    done = dip("restore", files / "cut.png", "-o", files / "restored.png", *QUICK)
    assert done.returncode == 0, done.stderr
    result = read_photo(files / "restored.png").pixels
    assert (result[:, :, 3] == 255).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("photo.jpg", "photo_restored.png"), ("photo.tif", "photo_restored.tif")],
)
def test_the_result_is_named_after_the_photo_and_lossless(
    files: Path, photo: Any, name: str, expected: str
) -> None:
    write_photo(files / name, photo)
    arguments = ("restore", files / name, "--mask", files / "mask.png", *QUICK)
    assert dip(*arguments).returncode == 0
    before = (files / expected).read_bytes()
    again = dip(*arguments)
    assert again.returncode == 5
    assert "exists already" in again.stderr
    assert (files / expected).read_bytes() == before
    assert dip(*arguments, "-o", files / expected, "--seed", 1).returncode == 0
    assert (files / expected).read_bytes() != before


def test_sixteen_bits_go_through(files: Path, photo: Any, mask: Any) -> None:
    deep = photo.astype(np.uint16) * 257 + 3
    write_photo(files / "deep.tif", deep)
    done = dip("restore", files / "deep.tif", "--mask", files / "mask.png", *QUICK)
    assert done.returncode == 0, done.stderr
    result = read_photo(files / "deep_restored.tif").pixels
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result[~mask], deep[~mask])


def test_the_same_seed_gives_the_same_file_in_another_process(files: Path) -> None:
    for name, seed in (("a.png", 5), ("b.png", 5), ("c.png", 6)):
        assert restore(files, "-o", files / name, "--seed", seed).returncode == 0
    first, again, other = ((files / name).read_bytes() for name in ("a.png", "b.png", "c.png"))
    assert first == again != other


def test_progress_is_said_on_standard_error_alone(files: Path) -> None:
    done = restore(files, "-o", files / "restored.png")
    assert "3/3" in done.stderr
    assert "loss" in done.stderr
    assert len(done.stdout.splitlines()) == 2
    quiet = restore(files, "-o", files / "restored.png", "--quiet")
    assert quiet.returncode == 0
    assert quiet.stderr == ""


def test_a_preview_is_refreshed_on_the_way(files: Path) -> None:
    preview = files / "preview.png"
    process = subprocess.Popen(
        command(
            "restore", files / "photo.png", "--mask", files / "mask.png", *ENOUGH_FOR_A_SIGNAL,
            "-o", files / "restored.png", "--preview", preview,
        ),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        seen = {wait_for(preview.exists) and preview.read_bytes()}
        wait_for(lambda: seen.add(preview.read_bytes()) or len(seen) > 2)  # type: ignore[func-returns-value]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
    assert read_photo(preview).pixels.ndim == 3


def wait_for(condition: Any, timeout_s: float = 90) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return True


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_the_best_result_so_far(
    files: Path, photo: Any, mask: Any, number: signal.Signals, status: int
) -> None:
    output, preview = files / "restored.png", files / "preview.png"
    process = subprocess.Popen(
        command(
            "restore", files / "photo.png", "--mask", files / "mask.png", *ENOUGH_FOR_A_SIGNAL,
            "-o", output, "--preview", preview,
        ),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(preview.exists)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == status, stderr
    assert "the best result so far is kept" in stderr
    assert stdout.splitlines()[0] == str(output)
    result = read_photo(output).pixels
    np.testing.assert_array_equal(result[~mask], photo[~mask])
    assert (result[mask] != photo[mask]).any()


# --- What it refuses ----------------------------------------------------------------------------


def nan_tiff() -> bytes:
    image = np.full((48, 64, 3), 0.5, dtype=np.float32)
    image[3, 4] = np.nan
    return encode_photo(image, "tiff")


GOOD = encode_photo(np.full((48, 64, 3), 99, dtype=np.uint8), "png")
BAD_PHOTOS = {
    "empty": (b"", 3, "0 bytes"),
    "text": (b"Dear photograph, ...", 3, "known format"),
    "truncated": (GOOD[: len(GOOD) // 2], 3, "cannot be decoded"),
    "nan": (nan_tiff(), 3, "NaN or infinite"),
}


@pytest.mark.parametrize("kind", BAD_PHOTOS)
def test_a_bad_photo_is_named(files: Path, kind: str) -> None:
    data, status, seen = BAD_PHOTOS[kind]
    (files / "photo.png").write_bytes(data)
    refused(restore(files, "-o", files / "restored.tif"), status, seen, files)


def test_an_image_that_is_too_small_is_named(files: Path) -> None:
    write_photo(files / "photo.png", np.full((8, 64), 99, dtype=np.uint8))
    half = np.zeros((8, 64), dtype=np.uint8)
    half[:, :20] = 255
    write_photo(files / "mask.png", half)
    refused(restore(files, "-o", files / "restored.png"), 3, "64×8 px", files)


@pytest.mark.parametrize(
    ("level", "shape", "seen"),
    [
        (0, (48, 64), "Nothing is marked"),
        (10, (48, 64), "Nothing is marked"),
        (255, (48, 64), "3072 of 3072"),
        (255, (20, 30), "30×20 px, the image 64×48 px"),
    ],
)
def test_a_bad_mask_is_named(files: Path, level: int, shape: tuple[int, int], seen: str) -> None:
    write_photo(files / "mask.png", np.full(shape, level, dtype=np.uint8))
    refused(restore(files, "-o", files / "restored.png"), 4, seen, files)


@pytest.mark.parametrize(
    ("arguments", "status", "seen"),
    [
        (["-o", "missing/restored.png"], 5, "no folder"),
        (["-o", "restored.gif"], 5, "no known ending"),
        (["-o", "photo.png"], 5, "is the photo itself"),
        (["-o", "mask.png"], 5, "is the mask itself"),
        (["-o", "restored.png", "--preview", "photo.png"], 5, "is the photo itself"),
        (["-o", "restored.png", "--device", "mps"], 6, "'mps' is not available"),
        (["-o", "restored.png", "--iterations", "0"], 2, "iterations"),
        (["-o", "restored.png", "--network", "resnet"], 2, "resnet"),
        (["-o", "restored.png", "--max-memory-mb", "100"], 7, "100 MB"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_work(
    files: Path, arguments: list[str], status: int, seen: str
) -> None:
    refused(restore(files, *arguments, cwd=files), status, seen, files)


def refused(done: subprocess.CompletedProcess[str], status: int, seen: str, folder: Path) -> None:
    """The right status, what was seen, no fault of the program, nothing written."""
    assert done.returncode == status, done.stderr
    assert seen in done.stderr
    assert "Traceback" not in done.stderr
    assert "1/3" not in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["mask.png", "photo.png"]


def test_a_missing_photo_is_named(tmp_path: Path) -> None:
    done = dip("restore", tmp_path / "missing.png", "-o", tmp_path / "restored.png")
    assert done.returncode == 3
    assert "missing.png: It cannot be read: No such file" in done.stderr


# --- Around it ----------------------------------------------------------------------------------


def test_help_needs_neither_torch_nor_numpy() -> None:
    program = (
        "import sys\n"
        "from dip.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'numpy', 'scipy', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    for name in ("restore", "compare", "bench", "demo", "networks", "presets", "doctor"):
        assert name in done.stdout


def test_networks_and_presets_are_listed() -> None:
    assert {line.split()[0] for line in dip("networks").stdout.splitlines()} == {"unet", "segnet"}
    listed = [line.split()[0] for line in dip("presets").stdout.splitlines()]
    assert listed == ["fast", "balanced", "best", "paper"]


@pytest.mark.skipif(sys.platform != "linux", reason="the C library's allocator is set on Linux")
def test_the_process_restarts_once_with_its_environment(files: Path) -> None:
    bare = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    done = restore(files, "-o", files / "restored.png", env=bare)
    assert done.returncode == 0, done.stderr
    doctor = dip("doctor", env=bare)
    assert "large buffers are reused" in doctor.stdout + doctor.stderr


ENVIRONMENT = {"DIP_RESTARTED", "GOMP_SPINCOUNT", *environment_for_cpu()}


def test_the_doctor_finds_this_machine_well() -> None:
    done = dip("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a small fit works" in done.stdout
