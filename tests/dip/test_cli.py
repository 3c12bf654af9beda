"""The command line as its users meet it: files, statuses, signals, real processes.

Whatever a process of its own does not change runs in this one, which has torch loaded already.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dip import cli
from dip.image_io import encode_photo, read_photo, write_photo
from dip.machine.device import environment_for_cpu
from dip.restore import Restoration

# One thread: two would wait for each other wherever the machine is busy.
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


@pytest.fixture
def here(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        words = [str(argument) for argument in arguments]
        capfd.readouterr()
        try:
            status = cli.main(words)
        except SystemExit as left:
            status = int(left.code or 0)
        return subprocess.CompletedProcess(words, status, *capfd.readouterr())

    return run


@pytest.fixture
def files(tmp_path: Path, photo: Photo, mask: Photo) -> Path:
    """A folder with photo.png and mask.png."""
    write_photo(tmp_path / "photo.png", photo)
    write_photo(tmp_path / "mask.png", mask.astype(np.uint8) * 255)
    return tmp_path


def task(files: Path, *more: object) -> list[object]:
    """Restore the photo of the folder."""
    return ["restore", files / "photo.png", "--mask", files / "mask.png", *QUICK, *more]


# --- What it does -------------------------------------------------------------------------------


def test_a_photo_and_a_mask_become_a_restored_photo(files: Path, photo: Photo, mask: Photo) -> None:
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
    again = dip(*task(files, "-o", output, "--seed", 5, "--quiet"))
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
    for width, height in ((2000, 1000), (6000, 5000)):
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
    assert peaks_mb[1] - peaks_mb[0] < 1.4 * 28 * 3  # of 28 megapixels more


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


def test_networks_and_presets_are_listed(here: Run) -> None:
    listed = [line.split()[0] for line in here("networks").stdout.splitlines()]
    assert listed == ["unet", "segnet"]
    listed = [line.split()[0] for line in dip("presets").stdout.splitlines()]
    assert listed == ["fast", "balanced", "best", "paper"]


# --- While it works -----------------------------------------------------------------------------


def start(files: Path, *more: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*task(files), *ENDLESS, "-o", files / "restored.png", *more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], bool], timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
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
    stdout, stderr = process.communicate(timeout=60)
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
        "restore.Restoration.finish = lambda self: time.sleep(100)\n"
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
    while "Again to quit at once" not in process.stderr.readline():
        pass
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert time.monotonic() - began < 20
    assert process.returncode == 130
    assert "stopped before there was a result" in stderr
    assert not (files / "restored.png").exists()


def test_a_full_disk_ends_the_previews_and_leaves_no_half_written_result(
    files: Path,
) -> None:
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


def test_whoever_stops_reading_sees_no_traceback() -> None:
    process = subprocess.Popen(
        command("presets"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 141
    assert stderr == ""


# --- What it refuses ----------------------------------------------------------------------------


def claiming(width: int, height: int) -> bytes:
    """A small PNG file that claims to be a large picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff_with(sample: float) -> bytes:
    image = np.full((48, 64, 3), 0.5, dtype=np.float32)
    image[3, 4] = sample
    return encode_photo(image, "tiff")


GOOD = encode_photo(np.full((48, 64, 3), 99, dtype=np.uint8), "png")
BAD_PHOTOS = {
    "empty": (b"", "photo.png: The file is empty (0 bytes).", "copied completely"),
    "of another kind": (b"GIF89a" + bytes(50), "This is a GIF file.", "PNG, TIFF, JPEG and WebP"),
    "text": (b"Dear photograph, ...", "This is not a picture", "PNG, TIFF, JPEG and WebP"),
    "truncated": (GOOD[: len(GOOD) // 2], "cannot be decoded", "save it again"),
    "hostile": (claiming(60_000, 60_000), "60000×60000 px, 3600 megapixels", "Cut out"),
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
    refused(done, 3, "photo.png: It cannot be read: No such file", "Check the name", files)
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
def test_what_cannot_be_done_is_said_before_the_work(
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
    """The right status, what was seen, what to do; no fault of the program, nothing written."""
    assert done.returncode == status, done.stderr
    assert seen in done.stderr
    assert hint in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "left" not in done.stderr, "no iteration has begun"
    assert set(names_in(folder)) <= {"mask.png", "photo.png"}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_status_of_a_refusal_is_that_of_the_process(tmp_path: Path) -> None:
    done = dip("restore", tmp_path / "missing.png", "-o", tmp_path / "restored.png")
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 2


def test_a_fault_of_the_program_says_so(
    files: Path, here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Restoration) -> None:
        raise RuntimeError("a wire is loose")

    monkeypatch.setattr(Restoration, "finish", fail)
    done = here(*task(files, "-o", files / "restored.png"))
    assert done.returncode == 1
    assert "RuntimeError: a wire is loose" in done.stderr
    assert "a fault in dip, not in your picture" in done.stderr


# --- How it starts ------------------------------------------------------------------------------


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


@pytest.mark.skipif(sys.platform != "linux", reason="the C library's allocator is set on Linux")
@pytest.mark.parametrize(
    ("arguments", "starts"),
    [
        (["restore", "no such.png", "-o", "a b.png"], 2),
        (["restore", "--help"], 1),
        (["networks"], 1),
    ],
)
def test_a_command_that_fits_restarts_once_with_its_arguments(
    tmp_path: Path, arguments: list[str], starts: int
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "print('started', sys.orig_argv[1:], 'DIP_RESTARTED' in os.environ, flush=True)"
    )
    wanted = environment_for_cpu()
    bare = {name: value for name, value in os.environ.items() if name not in PREPARED}
    paths = os.pathsep.join([str(tmp_path), bare.get("PYTHONPATH", "")])
    done = dip(*arguments, env={**bare, "PYTHONPATH": paths})
    seen = [line for line in done.stdout.splitlines() if line.startswith("started")]
    words = repr(command(*arguments)[1:])
    assert seen == [f"started {words} {n == 1}" for n in range(starts)]
    assert wanted.keys() <= PREPARED


PREPARED = {
    "DIP_RESTARTED",
    "GOMP_SPINCOUNT",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_TOP_PAD_",
    "MALLOC_ARENA_MAX",
}


def test_the_doctor_finds_a_prepared_process_on_this_machine() -> None:
    bare = {name: value for name, value in os.environ.items() if name not in PREPARED}
    done = dip("doctor", env=bare)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "large buffers are reused" in done.stdout
    assert "a small fit works" in done.stdout
