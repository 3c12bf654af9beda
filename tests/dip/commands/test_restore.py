"""`dip restore`: files, exit statuses, signals.

Most tests run in this process, which has torch loaded already; signals need a process of their own.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dip.image_io import encode_photo, read_photo, write_photo
from dip.machine.device import environment_for_cpu

# One thread: two wait for each other where the machine is busy.
QUICK = ["--iterations", 3, "--threads", 1]
ENDLESS = ["--iterations", 100_000, "--threads", 1]

Photo = Any
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "dip", *map(str, arguments)]


def dip(*arguments: object, **given: Any) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, timeout=120, **given
    )


def task(files: Path, *more: object) -> list[object]:
    """The words that restore the photo of the folder."""
    return ["restore", files / "photo.png", "--mask", files / "mask.png", *QUICK, *more]


# --- Results ------------------------------------------------------------------------------------


def test_a_photo_and_a_mask_become_a_restored_photo(
    files: Path, photo: Photo, mask: Photo, here: Run
) -> None:
    output = files / "restored.png"
    output.write_bytes(b"what was there before")
    done = dip(*task(files, "-o", output, "--seed", 5))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{output}\n"
    *_, progress, closing = done.stderr.splitlines()  # a slow machine shows progress earlier too
    assert re.fullmatch(
        r"3/3  [\d.]+ (it/s|s/it)  0 s left  loss [\d.]+  validation [\d.]+ dB", progress
    )
    assert "3 of 3 iterations in" in closing
    result = read_photo(output).pixels
    np.testing.assert_array_equal(result[~mask], photo[~mask])
    assert (result[mask] != photo[mask]).any()

    first = output.read_bytes()
    again = here(*task(files, "-o", output, "--seed", 5, "--quiet"))
    assert again.returncode == 0
    assert again.stdout == f"{output}\n"
    assert again.stderr == ""
    assert output.read_bytes() == first, "the same seed, the same result"


@pytest.mark.slow
def test_a_larger_photo_takes_more_memory_by_its_own_size(tmp_path: Path) -> None:
    program = (
        "import sys; from dip import cli; from dip.bench.worker import peak_memory_mb\n"
        "cli.main(sys.argv[1:]); print(peak_memory_mb())"
    )
    peaks_mb = []
    for width, height in ((2000, 1000), (5000, 4000)):
        mask = np.zeros((height, width), np.uint8)
        mask[100:104, 100:300] = 255
        write_photo(tmp_path / "mask.png", mask)
        write_photo(tmp_path / "photo.png", np.full((height, width, 3), 128, np.uint8))
        child = subprocess.run(
            [
                *(sys.executable, "-c", program),
                *map(str, task(tmp_path, "-o", tmp_path / "restored.png", "--preset", "fast")),
            ],
            env={**os.environ, **environment_for_cpu()},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        peaks_mb.append(float(child.stdout.splitlines()[-1]))
    assert peaks_mb[1] - peaks_mb[0] < 1.4 * 18 * 3  # of 18 megapixels more


def test_another_seed_gives_another_result(files: Path, here: Run) -> None:
    for seed in (5, 6):
        assert here(*task(files, "-o", files / f"{seed}.png", "--seed", seed)).returncode == 0
    assert (files / "5.png").read_bytes() != (files / "6.png").read_bytes()


def test_without_a_mask_transparent_pixels_are_restored(
    files: Path, photo: Photo, mask: Photo, here: Run
) -> None:
    alpha = np.where(mask, 0, 255).astype(np.uint8)
    write_photo(files / "cut.png", np.dstack([photo, alpha]))
    done = here("restore", files / "cut.png", "-o", files / "restored.png", *QUICK)
    assert done.returncode == 0, done.stderr
    result = read_photo(files / "restored.png").pixels
    assert (result[:, :, 3] == 255).all()
    np.testing.assert_array_equal(result[~mask][:, :3], photo[~mask])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("photo.png", "photo_restored.png"),
        ("photo.jpg", "photo_restored.png"),
        ("photo.webp", "photo_restored.png"),
        ("photo.tif", "photo_restored.tif"),
    ],
)
def test_the_result_is_named_after_the_photo_and_lossless(
    files: Path, photo: Photo, mask: Photo, name: str, expected: str, here: Run
) -> None:
    write_photo(files / name, photo)
    arguments = ("restore", files / name, "--mask", files / "mask.png", *QUICK)
    assert here(*arguments).stdout == f"{files / expected}\n"
    stored, result = read_photo(files / name).pixels, read_photo(files / expected).pixels
    np.testing.assert_array_equal(result[~mask], stored[~mask])

    before = (files / expected).read_bytes()
    again = here(*arguments)
    assert again.returncode == 5
    assert "exists already" in again.stderr
    assert (files / expected).read_bytes() == before
    assert here(*arguments, "-o", files / expected, "--seed", 1).returncode == 0
    assert (files / expected).read_bytes() != before


def test_sixteen_bits_go_through(files: Path, photo: Photo, mask: Photo, here: Run) -> None:
    deep = photo.astype(np.uint16) * 257 + 3
    write_photo(files / "deep.tif", deep)
    done = here("restore", files / "deep.tif", "--mask", files / "mask.png", *QUICK)
    assert done.returncode == 0, done.stderr
    result = read_photo(files / "deep_restored.tif").pixels
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result[~mask], deep[~mask])


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' file names are text")
def test_any_file_name_will_do(files: Path, here: Run) -> None:
    odd = os.fsdecode(b"\xff %s[n=1] \xc3\xa9.png")
    (files / "photo.png").rename(files / odd)
    done = subprocess.run(
        command("restore", files / odd, "--mask", files / "mask.png", *QUICK),
        capture_output=True,
        check=False,
    )
    expected = files / f"{odd[:-4]}_restored.png"
    assert done.stdout == os.fsencode(expected) + b"\n", done.stderr
    assert expected.exists()
    (files / odd).write_bytes(encode_photo(np.zeros((40, 40), dtype=np.uint8), "tiff")[:20])
    refusal = here("restore", files / odd, "-o", files / "restored.png")
    assert refusal.returncode == 3, refusal.stderr
    assert "cannot be decoded" in refusal.stderr
    assert here("restore", expected, "-o", files / "restored.png").returncode == 4, "all is well"


# --- While it works -----------------------------------------------------------------------------


def start(files: Path, *more: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*task(files), *ENDLESS, "-o", files / "restored.png", *more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], bool], timeout_s: float = 300) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.exhaustive)],
)
def test_the_preview_is_refreshed_until_a_signal_which_keeps_the_best_result_so_far(
    files: Path, photo: Photo, mask: Photo, number: signal.Signals, status: int
) -> None:
    preview = files / "preview.png"
    process = start(files, "--preview", preview)
    wait_for(preview.exists)
    first = preview.read_bytes()
    wait_for(lambda: preview.read_bytes() != first)
    assert not (files / "restored.png").exists()
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=600)
    assert process.returncode == status, stderr
    assert "the best result so far is kept" in stderr
    assert "of 100000 iterations" in stderr
    assert stdout == f"{files / 'restored.png'}\n"
    result = read_photo(files / "restored.png").pixels
    np.testing.assert_array_equal(result[~mask], photo[~mask])
    assert (result[mask] != photo[mask]).any()
    assert read_photo(preview).pixels.shape[2] == 3


def test_a_second_ctrl_c_quits_at_once_and_writes_nothing(files: Path) -> None:
    endless_result = (
        "import sys, time\n"
        "from dip import cli, restore\n"
        "restore.Restoration.result_in_place = lambda self: time.sleep(1000)\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    words = [str(word) for word in task(files, *ENDLESS, "-o", files / "restored.png")]
    preview = files / "preview.png"
    process = subprocess.Popen(
        [sys.executable, "-c", endless_result, *words, "--preview", str(preview)],
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(preview.exists)  # before torch is loaded
    first = preview.read_bytes()
    wait_for(lambda: preview.read_bytes() != first)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "Ctrl-C again quits at once" not in process.stderr.readline():
        pass
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=600)
    assert time.monotonic() - began < 300
    assert process.returncode == 130
    assert "stopped before there was a result" in stderr
    assert not (files / "restored.png").exists()


def test_a_full_disk_ends_the_previews_and_leaves_no_half_written_result(files: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    write_photo(files / "photo.png", noise)
    old = (files / "mask.png").read_bytes()
    (files / "restored.png").write_bytes(old)
    # A limit on the size of files fails in the same call as a full disk does.
    done = dip(
        *task(files, "-o", files / "restored.png", "--preview", files / "preview.png"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
        env={**os.environ, "COVERAGE_PROCESS_START": "", "COVERAGE_PROCESS_CONFIG": ""},
    )
    assert done.returncode == 5, done.stderr
    assert done.stderr.count("no more previews") == 1
    assert "restored.png cannot be written" in done.stderr
    assert done.stdout == ""
    assert (files / "restored.png").read_bytes() == old
    assert names_in(files) == ["mask.png", "photo.png", "restored.png"]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
