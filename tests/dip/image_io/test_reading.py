"""Reading photos: samples, sizes, and damaged or hostile files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dip import image_io
from dip.errors import InputError
from dip.image_io import encode_photo, read_photo, write_photo

Samples = Callable[..., npt.NDArray[Any]]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("1", (20, 30)), ("P", (20, 30, 3)), ("L", (20, 30)), ("LA", (20, 30, 2))],
)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_palettes_and_single_bits_are_expanded(
    tmp_path: Path, mode: str, expected: tuple[int, ...], suffix: str
) -> None:
    colours = np.zeros((20, 30, 3), dtype=np.uint8)
    colours[:, 15:] = (255, 255, 255) if mode != "P" else (250, 20, 30)
    path = tmp_path / f"photo{suffix}"
    with Image.fromarray(colours).convert(mode) as image:
        reference = np.asarray(image.convert({"P": "RGB", "1": "L"}.get(mode, mode)))
        image.save(path)
    pixels = read_photo(path).pixels
    assert pixels.shape == expected
    np.testing.assert_array_equal(pixels, reference)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_tiffs_of_other_programs_are_read(
    tmp_path: Path, compression: str, samples: Samples
) -> None:
    pixels = samples("uint8", 3)
    Image.fromarray(pixels).save(tmp_path / "photo.tif", compression=compression)
    np.testing.assert_array_equal(read_photo(tmp_path / "photo.tif").pixels, pixels)


@pytest.mark.parametrize(
    ("dtype", "kind"), [("float64", "rare kind"), ("uint32", "uint"), ("int16", "short")]
)
def test_unsupported_samples_are_refused(tmp_path: Path, dtype: str, kind: str) -> None:
    pyvips.Image.new_from_array(np.ones((20, 20), dtype=dtype)).tiffsave(str(tmp_path / "x.tif"))
    with pytest.raises(InputError, match=kind):
        read_photo(tmp_path / "x.tif")


def test_cmyk_is_refused(tmp_path: Path) -> None:
    Image.new("CMYK", (30, 30), (10, 20, 30, 40)).save(tmp_path / "press.jpg")
    with pytest.raises(InputError, match="CMYK"):
        read_photo(tmp_path / "press.jpg")


@pytest.mark.parametrize("form", ["png", "tif", "jpg"])
def test_a_photo_is_in_memory_once(tmp_path: Path, form: str) -> None:
    pixels = np.zeros((4000, 6000, 3), np.uint8)  # 72 MB
    write_photo(tmp_path / f"large.{form}", pixels)
    program = (
        "import sys; from dip.bench.worker import peak_memory_mb; from dip.image_io import *\n"
        "small, large = sys.argv[1:]; read_photo(small); before = peak_memory_mb()\n"
        "read_photo(large); print(peak_memory_mb() - before)"
    )
    write_photo(tmp_path / f"small.{form}", pixels[:100])
    paths = [str(tmp_path / f"{name}.{form}") for name in ("small", "large")]
    child = subprocess.run(
        [sys.executable, "-c", program, *paths], stdout=subprocess.PIPE, text=True, check=True
    )
    assert 72 <= float(child.stdout) < 1.5 * 72


def test_the_first_page_is_the_photo(tmp_path: Path) -> None:
    first, second = Image.new("L", (30, 20), 7), Image.new("L", (30, 20), 9)
    first.save(tmp_path / "pages.tif", save_all=True, append_images=[second])
    assert read_photo(tmp_path / "pages.tif").pixels.max() == 7


@pytest.mark.parametrize("form", ["png", "jpeg", "webp", "tiff"])
def test_a_truncated_file_is_refused(form: str, samples: Samples) -> None:
    whole = encode_photo(samples("uint8", 3), form)
    with pytest.raises(InputError, match="cannot be decoded"):
        read_photo(whole[: len(whole) // 2])


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_photo(tmp_path / "missing.png")
    with pytest.raises(InputError, match="cannot be read"):
        read_photo(tmp_path)


@settings(max_examples=150)
@given(
    form=st.sampled_from(["png", "jpeg", "webp", "tiff"]),
    cut=st.floats(0, 1),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
)
def test_hostile_files_raise_only_input_errors(
    form: str, cut: float, changes: list[tuple[float, int]], samples: Samples
) -> None:
    data = bytearray(encode_photo(samples("uint8", 3), form))
    for place, value in changes:
        # Mostly in the first bytes, where sizes and types are.
        data[int(place**3 * len(data))] = value
    try:
        photo = read_photo(bytes(data[: int(cut * len(data))] if cut < 0.5 else data))
    except InputError:
        return
    assert photo.pixels.ndim in (2, 3)


def test_unusual_tags_write_nothing_to_standard_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], samples: Samples
) -> None:
    data = bytearray(encode_photo(samples("uint8", 3), "tiff"))
    start = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[start : start + 2], "little")
    data[start + 2 + 12 * (count - 1) : start + 4 + 12 * (count - 1)] = b"\xf0\xfd"
    image_io.read_photo(bytes(data))
    assert capfd.readouterr().err == ""
