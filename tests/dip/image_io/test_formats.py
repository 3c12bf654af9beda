"""Files are identified by their first bytes, and their sizes checked before decoding."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from image_headers import png_claiming

from dip.errors import ImageTooLarge, InputError
from dip.image_io import Limits, encode_photo, read_photo, write_photo

Samples = Callable[..., npt.NDArray[Any]]


def tiff_claiming(width: int, height: int) -> bytes:
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, 100),
    ]  # fmt: skip
    listed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + listed + bytes(104)


@pytest.mark.parametrize("data", [png_claiming(60_000, 60_000), tiff_claiming(40_000, 40_000)])
def test_a_header_above_the_pixel_limit_is_refused_before_decoding(data: bytes) -> None:
    with pytest.raises(ImageTooLarge, match="megapixels; the limit is 200"):
        read_photo(data, name="bomb")


def test_a_file_above_the_size_limit_is_refused(tmp_path: Path, samples: Samples) -> None:
    write_photo(tmp_path / "photo.png", samples("uint8", 3))
    with pytest.raises(ImageTooLarge, match="MB"):
        read_photo(tmp_path / "photo.png", Limits(bytes=1000))


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (b"", "empty"),
        (b"Not a picture at all", "known format"),
        (b"GIF89a" + bytes(50), "GIF"),
        (b"8BPS" + bytes(50), "Photoshop"),
        (b"gimp xcf v011" + bytes(50), "GIMP"),
        (b"\0\0\0\x18ftypisom" + bytes(50), "video"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "cannot be decoded"),
        (b"\x89PNG\r\n\x1a\n", "cannot be decoded"),
        (b"\xff\xd8\xff\xe0", "cannot be decoded"),
        (b"II*\0" + bytes(4), "cannot be decoded"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "cannot be decoded"),
    ],
)
def test_the_message_names_files_of_other_formats(tmp_path: Path, data: bytes, seen: str) -> None:
    path = tmp_path / "holiday.png"
    path.write_bytes(data)
    with pytest.raises(InputError, match=seen) as caught:
        read_photo(path)
    assert "holiday.png" in caught.value.message
    assert caught.value.hint


def test_reading_ignores_the_ending_of_the_name(tmp_path: Path, samples: Samples) -> None:
    pixels = samples("uint8", 3)
    (tmp_path / "photo.jpg").write_bytes(encode_photo(pixels, "png"))
    np.testing.assert_array_equal(read_photo(tmp_path / "photo.jpg").pixels, pixels)
