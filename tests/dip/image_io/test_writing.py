"""Writing photos: samples are kept, files are replaced atomically, refusals come early."""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image
from skimage.data import astronaut

from dip.errors import DipError, OutputError
from dip.image_io import check_writable, encode_photo, read_photo, write_photo, write_pixels

Samples = Callable[..., npt.NDArray[Any]]


@pytest.mark.parametrize("channels", [None, 2, 3, 4])
@pytest.mark.parametrize(
    ("dtype", "suffix"),
    [("uint8", ".png"), ("uint16", ".png"), ("uint8", ".tif"), ("uint16", ".tiff"),
     ("float32", ".tif")],
)  # fmt: skip
def test_lossless_formats_keep_samples_bit_for_bit(
    tmp_path: Path, dtype: str, channels: int | None, suffix: str, samples: Samples
) -> None:
    pixels = samples(dtype, channels)
    path = tmp_path / f"photo{suffix}"
    write_photo(path, pixels)
    again = read_photo(path).pixels
    assert again.dtype == pixels.dtype
    np.testing.assert_array_equal(again, pixels)
    np.testing.assert_array_equal(read_photo(path.read_bytes()).pixels, pixels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (1, 1, 3)])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_picture_of_one_pixel_is_written_and_read(
    tmp_path: Path, suffix: str, shape: tuple[int, ...]
) -> None:
    pixels = np.full(shape, 7, np.uint8)
    write_photo(tmp_path / f"a{suffix}", pixels)
    np.testing.assert_array_equal(read_photo(tmp_path / f"a{suffix}").pixels, pixels)


@pytest.mark.parametrize("channels", [3, 4])
def test_webp_keeps_the_colours_of_transparent_pixels(
    tmp_path: Path, channels: int, samples: Samples
) -> None:
    pixels = samples("uint8", channels)
    if channels == 4:
        pixels[:10, :, 3] = 0
    write_photo(tmp_path / "photo.webp", pixels)
    np.testing.assert_array_equal(read_photo(tmp_path / "photo.webp").pixels, pixels)


def test_gray_becomes_three_equal_channels_in_webp(tmp_path: Path, samples: Samples) -> None:
    pixels = samples("uint8", None)
    write_photo(tmp_path / "photo.webp", pixels)
    again = read_photo(tmp_path / "photo.webp").pixels
    np.testing.assert_array_equal(again, np.repeat(pixels[:, :, None], 3, axis=2))


@pytest.mark.parametrize("form", ["png", "tiff", "webp", "jpeg"])
def test_encoded_bytes_and_written_files_are_equal(
    tmp_path: Path, form: str, samples: Samples
) -> None:
    pixels = samples("uint8", 3)
    write_photo(tmp_path / f"photo.{form}", pixels)
    from_memory = read_photo(encode_photo(pixels, form)).pixels
    np.testing.assert_array_equal(from_memory, read_photo(tmp_path / f"photo.{form}").pixels)


def test_a_png_of_a_photo_is_smaller_than_three_fifths_of_its_samples() -> None:
    photo = astronaut()
    assert len(encode_photo(photo, "png")) < 0.6 * photo.nbytes


def test_jpeg_keeps_full_colour_resolution(tmp_path: Path) -> None:
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:, ::2, 0] = 255  # one-pixel red stripes: halved colour would turn them brown
    write_photo(tmp_path / "photo.jpg", pixels)
    assert np.abs(read_photo(tmp_path / "photo.jpg").pixels.astype(int) - pixels).max() < 40


@pytest.mark.parametrize(
    ("dtype", "channels", "name", "seen"),
    [
        ("uint16", 3, "photo.jpg", "cannot hold uint16"),
        ("uint16", 3, "photo.webp", "cannot hold uint16"),
        ("float32", 3, "photo.png", "cannot hold float32"),
        ("uint8", 4, "photo.jpg", "transparency"),
        ("uint8", 3, "photo.gif", "no known ending"),
        ("uint8", 3, "photo", "no known ending"),
        ("uint8", 3, "missing/photo.png", "no folder"),
        ("uint8", 3, ".", "no known ending"),
    ],
)
def test_unwritable_results_are_refused_before_the_fit(
    tmp_path: Path, dtype: str, channels: int, name: str, seen: str, samples: Samples
) -> None:
    photo = read_photo(encode_photo(samples(dtype, channels), "tiff"))
    with pytest.raises(OutputError, match=seen):
        check_writable(tmp_path / name, photo)
    assert not list(tmp_path.iterdir())


def test_a_side_above_the_formats_limit_is_refused_before_the_fit(tmp_path: Path) -> None:
    photo = read_photo(encode_photo(np.zeros((16, 17_000), dtype=np.uint8), "png"))
    with pytest.raises(OutputError, match="17000 px"):
        check_writable(tmp_path / "photo.webp", photo)
    check_writable(tmp_path / "photo.jpg", photo)


def test_the_room_for_a_result_counts_further_pages(
    tmp_path: Path, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tifffile.TiffWriter(tmp_path / "pages.tif") as file:
        file.write(samples("uint8", 3), photometric="rgb")
        file.write(np.zeros((400, 500), np.uint16), photometric="minisblack")
    photo = read_photo(tmp_path / "pages.tif")
    free = SimpleNamespace(free=300_000)  # enough for the page itself
    monkeypatch.setattr("dip.image_io.writing.shutil.disk_usage", lambda folder: free)
    check_writable(tmp_path / "page.png", read_photo(encode_photo(photo.pixels, "png")))
    with pytest.raises(OutputError, match="free space"):
        check_writable(tmp_path / "result.tif", photo)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_write_protected_folder_is_refused_before_the_fit(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be written"):
        check_writable(tmp_path / "photo.png")


def test_a_replaced_file_keeps_its_permissions_and_its_link(
    tmp_path: Path, samples: Samples
) -> None:
    real, link = tmp_path / "real.png", tmp_path / "link.png"
    write_photo(real, samples("uint8", 3))
    real.chmod(0o640)
    link.symlink_to(real)
    pixels = samples("uint8", 3, seed=1)
    write_photo(link, pixels)
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    np.testing.assert_array_equal(read_photo(real).pixels, pixels)


def test_a_full_disk_leaves_the_old_file_and_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "photo.tif"
    old = np.zeros((40, 40), dtype=np.uint8)
    write_photo(path, old)
    program = (
        "import sys, numpy as np; from dip.image_io import write_photo; "
        "from dip.errors import OutputError\n"
        "noise = np.random.default_rng(0).integers(0, 255, (400, 400, 3), dtype=np.uint8)\n"
        "try: write_photo(sys.argv[1], noise)\n"
        "except OutputError as error: print(error.message)"
    )
    # A file size limit fails in the same call as a full disk does.
    limit = (100_000, resource.RLIM_INFINITY)
    child = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COVERAGE_PROCESS_START": "", "COVERAGE_PROCESS_CONFIG": ""},
    )
    assert "cannot be written" in child.stdout
    np.testing.assert_array_equal(read_photo(path).pixels, old)
    assert [each.name for each in tmp_path.iterdir()] == ["photo.tif"]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_previews_of_all_samples_can_be_written(
    tmp_path: Path, dtype: str, suffix: str, samples: Samples
) -> None:
    write_pixels(tmp_path / f"preview{suffix}", samples(dtype, 4))
    with Image.open(tmp_path / f"preview{suffix}") as image:
        assert image.size == (47, 33)


def test_unsupported_samples_raise_only_dip_errors(samples: Samples) -> None:
    for form in ("png", "tiff", "webp", "jpeg"):
        for dtype in ("uint8", "uint16", "float32"):
            for channels in (None, 2, 3, 4):
                try:
                    data = encode_photo(samples(dtype, channels), form)
                except DipError:
                    continue
                assert read_photo(io.BytesIO(data).read()).pixels.dtype == dtype
