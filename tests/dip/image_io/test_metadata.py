"""Orientation, EXIF, colour profile and resolution, from a photo to its result."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms, ImageOps

from dip.image_io import encode_photo, read_header, read_photo, write_photo

Samples = Callable[..., npt.NDArray[Any]]

TAKEN = "2020:01:02 03:04:05"
MAKER, ORIENTATION, COPYRIGHT, EXIF_IFD, DATE_TAKEN = 0x010F, 0x0112, 0x8298, 0x8769, 0x9003


@pytest.fixture
def camera_jpeg(tmp_path: Path) -> Path:
    """Turned by its camera, with EXIF, profile and resolution."""
    exif = Image.Exif()
    exif[MAKER], exif[ORIENTATION], exif[COPYRIGHT] = "A maker", 6, "nobody"
    exif.get_ifd(EXIF_IFD)[DATE_TAKEN] = TAKEN
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = tmp_path / "camera.jpg"
    picture = np.zeros((40, 60, 3), dtype=np.uint8)
    picture[:8] = 255  # what is stored at the top is shown at the right
    Image.fromarray(picture).save(
        path, exif=exif, icc_profile=profile, dpi=(300, 300), subsampling=0, quality=95
    )
    return path


def exif_of(path: Path) -> tuple[dict[int, Any], dict[int, Any]]:
    with Image.open(path) as image:
        exif = image.getexif()
        return dict(exif), dict(exif.get_ifd(EXIF_IFD))


def test_an_orientation_mark_is_applied_and_removed(camera_jpeg: Path) -> None:
    pixels = read_photo(camera_jpeg).pixels
    assert pixels.shape == (60, 40, 3)
    assert pixels[:, -6:].min() > 200 > 60 > pixels[:, :20].max()
    header = read_header(camera_jpeg)
    assert (header.format, header.width, header.height) == ("jpeg", 60, 40)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_is_turned_upright(form: str, orientation: int, samples: Samples) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = io.BytesIO()
    lossless = {"lossless": True} if form == "WEBP" else {}
    Image.fromarray(samples("uint8", 3)).save(file, form, exif=exif, **lossless)
    with Image.open(file) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read_photo(file.getvalue()).pixels, upright)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
def test_each_format_keeps_the_metadata(camera_jpeg: Path, suffix: str) -> None:
    photo = read_photo(camera_jpeg)
    output = camera_jpeg.with_name(f"result{suffix}")
    write_photo(output, photo.pixels, like=photo)
    tags, taken = exif_of(output)
    assert tags[MAKER] == "A maker"
    assert tags[COPYRIGHT] == "nobody"
    assert tags.get(ORIENTATION, 1) == 1
    assert taken[DATE_TAKEN] == TAKEN
    again = read_photo(output)
    assert again.pixels.shape == photo.pixels.shape
    assert again.metadata.icc == photo.metadata.icc
    assert again.metadata.icc
    if suffix != ".webp":  # which has no field for it but EXIF's
        assert again.metadata.resolution == pytest.approx((11.811, 11.811), abs=1e-3)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_the_tags_of_a_tiff_survive(camera_jpeg: Path, suffix: str) -> None:
    photo = read_photo(camera_jpeg)
    archived = camera_jpeg.with_name("archived.tif")
    write_photo(archived, photo.pixels, like=photo)
    output = camera_jpeg.with_name(f"restored{suffix}")
    again = read_photo(archived)
    write_photo(output, again.pixels, like=again)
    tags, taken = exif_of(output)
    assert (tags[MAKER], taken[DATE_TAKEN]) == ("A maker", TAKEN)
    assert encode_photo(again.pixels, "tiff", like=again) == encode_photo(
        photo.pixels, "tiff", like=again
    )


def test_damaged_exif_is_left_out(camera_jpeg: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = bytearray(camera_jpeg.read_bytes())
    start = data.index(b"Exif\0\0") + 6
    data[start + 4 : start + 8] = b"\xff\xff\xff\x7f"  # the first directory lies outside
    photo = read_photo(bytes(data))
    assert photo.pixels.shape[2] == 3
    assert photo.metadata.exif is None
