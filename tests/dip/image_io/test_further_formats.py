"""JPEG 2000, HEIC, AVIF and TIFF files with rare compressions are read, or refused clearly."""

from __future__ import annotations

import io
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
import pytest
import tifffile
from further_formats import EXIF, FURTHER, box
from PIL import Image, ImageOps
from tagged_photos import profile, samples

from dip.errors import ImageTooLarge, InputError
from dip.image_io import Limits, encode_photo, losses, read_header, read_photo


def rare_tiff(compression: str, dtype: str = "uint16", **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(
        file, samples(dtype), photometric="rgb", compression=compression, metadata=None, **options
    )
    return file.getvalue()


@pytest.mark.parametrize("codec", ["JP2", "J2K"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_jpeg_2000_keeps_its_samples(tmp_path: Path, codec: str, dtype: str, channels: int) -> None:
    pixels = samples(dtype, channels)
    data = imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, codecformat=codec)
    np.testing.assert_array_equal(read_photo(data).pixels, pixels)
    (tmp_path / "photo.jp2").write_bytes(data)
    np.testing.assert_array_equal(read_photo(tmp_path / "photo.jp2").pixels, pixels)
    assert read_header(tmp_path / "photo.jp2").has_alpha == (channels == 4)


def test_the_boxes_of_jpeg_2000_are_carried_over() -> None:
    data = imagecodecs.jpeg2k_encode(samples("uint16"), level=0, reversible=True, codecformat="JP2")
    xmp = bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + b"<x/>"
    data += box(b"uuid", b"JpgTiffExif->JP2" + EXIF) + box(b"uuid", xmp) + box(b"xml ", b"<a/>")
    photo = read_photo(data)
    assert (photo.metadata.exif, photo.metadata.xmp) == (EXIF, b"<x/>")
    assert "JPEG 2000 xml" in losses(photo, "tiff")[0]
    assert read_photo(encode_photo(photo.pixels, "png", like=photo)).metadata.exif == EXIF


@pytest.mark.parametrize("mark", [3, 6, 8])
def test_an_orientation_mark_turns_jpeg_2000_upright(mark: int) -> None:
    pixels = samples("uint8")
    data = imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, codecformat="JP2")
    exif = Image.Exif()
    exif[0x0112] = mark
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    photo = read_photo(data + box(b"uuid", b"JpgTiffExif->JP2" + block))
    turns = {3: 2, 6: 3, 8: 1}[mark]
    np.testing.assert_array_equal(photo.pixels, np.rot90(pixels, turns))
    again = Image.open(io.BytesIO(encode_photo(photo.pixels, "png", like=photo)))
    assert again.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("form", ["AVIF", "HEIF"])
@pytest.mark.parametrize("mark", range(1, 9))
def test_avif_and_heic_are_turned_upright_once(form: str, mark: int) -> None:
    """Their boxes say how to turn them, and their EXIF data says it once more."""
    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:24, :32], stored[24:, :32], stored[:24, 32:] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    exif = Image.Exif()
    exif[0x0112] = mark
    pillow_heif.register_heif_opener()
    file = io.BytesIO()
    with Image.fromarray(stored) as image:
        image.save(file, form, quality=95, exif=exif.tobytes())
        image.getexif()[0x0112] = mark
        upright = np.asarray(ImageOps.exif_transpose(image))
    photo = read_photo(file.getvalue())
    assert photo.pixels.shape == upright.shape
    assert np.abs(photo.pixels.astype(int) - upright).mean() < 8
    again = Image.open(io.BytesIO(encode_photo(photo.pixels, "png", like=photo)))
    assert again.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("compression", ["zstd", "jpegxl", "lzma"])
@pytest.mark.parametrize("planar", [False, True])
def test_rare_compressions_of_tiff_are_read(compression: str, planar: bool) -> None:
    file = io.BytesIO()
    pixels = samples("uint16")
    stored = np.ascontiguousarray(np.moveaxis(pixels, 2, 0)) if planar else pixels
    tifffile.imwrite(
        file, stored, photometric="rgb", compression=compression, iccprofile=profile(),
        planarconfig="separate" if planar else "contig",
    )  # fmt: skip
    photo = read_photo(file.getvalue())
    np.testing.assert_array_equal(photo.pixels, pixels)
    again = read_photo(encode_photo(photo.pixels, "tiff", like=photo))
    np.testing.assert_array_equal(again.pixels, pixels)
    assert again.metadata.icc == profile()


@pytest.mark.parametrize("form", ["AVIF", "HEIF"])
def test_avif_and_heic_are_read_with_their_metadata(tmp_path: Path, form: str) -> None:
    pixels = np.full((64, 64, 3), 99, np.uint8)
    pixels[:, 32:] = (200, 40, 20)
    path = tmp_path / "photo.heic"
    pillow_heif.register_heif_opener()
    with Image.fromarray(pixels) as image:
        image.save(path, form, quality=100, exif=b"Exif\0\0" + EXIF, icc_profile=profile())
    photo = read_photo(path)
    assert photo.format == "heif"
    assert np.abs(photo.pixels.astype(int) - pixels)[:, 4:28].max() < 12
    assert photo.metadata.icc == profile()
    assert b"\xc4rt!\0" in (photo.metadata.exif or b"")


@pytest.mark.parametrize(
    ("data", "package", "seen"),
    [
        (
            imagecodecs.jpeg2k_encode(samples("uint8"), codecformat="JP2"),
            "imagecodecs",
            "JPEG 2000",
        ),
        (rare_tiff("zstd"), "imagecodecs", "compressed with Zstandard"),
    ],
)
def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, data: bytes, package: str, seen: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=seen) as caught:
        read_photo(data)
    assert f"the package {package} is missing" in caught.value.message
    assert "pip install" in caught.value.hint


def test_large_files_of_these_formats_are_refused_before_decoding() -> None:
    jpeg_2000 = imagecodecs.jpeg2k_encode(samples("uint8"), codecformat="JP2")
    for data in (jpeg_2000, rare_tiff("zstd")):
        with pytest.raises(ImageTooLarge, match="megapixels"):
            read_photo(data, limits=Limits(pixels=1000))


def test_the_memory_of_these_formats_is_checked_before_decoding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("jpeg2k_decode", "zstd_decode"):
        monkeypatch.setattr(imagecodecs, name, lambda *given, **more: pytest.fail("decoded"))
    pixels = samples("uint8")
    jpeg_2000 = imagecodecs.jpeg2k_encode(pixels, codecformat="JP2")
    avif = FURTHER["avif"](pixels)
    for data in (jpeg_2000, rare_tiff("zstd"), avif):
        with pytest.raises(ImageTooLarge, match="GB of memory"):
            read_photo(data, limits=Limits(memory=2 * pixels.nbytes))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_headers_of_these_formats_are_read_without_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    pixels = samples("uint16", channels)
    jpeg_2000 = imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, codecformat="J2K")
    for name in ("jpeg2k_decode", "zstd_decode"):
        monkeypatch.setattr(imagecodecs, name, lambda *given, **more: pytest.fail("decoded"))
    file = io.BytesIO()
    tifffile.imwrite(
        file, pixels, photometric="minisblack" if channels == 1 else "rgb", compression="zstd",
        extrasamples=["unassalpha"] if channels == 4 else None, metadata=None, byteorder=">",
    )  # fmt: skip
    for data in (jpeg_2000, file.getvalue()):
        (tmp_path / "photo").write_bytes(data)
        header = read_header(tmp_path / "photo")
        assert (header.height, header.width) == pixels.shape[:2]
        assert header.has_alpha == (channels == 4)


@pytest.mark.parametrize("kind", ["jp2", "heic", "avif", "zstd", "lzma", "jpegxl"])
def test_damaged_files_of_these_formats_are_refused(kind: str) -> None:
    data = FURTHER[kind](samples("uint8")) if kind in FURTHER else rare_tiff(kind)
    whole = len(data) if kind in FURTHER else len(data) - 8
    for damaged in (data[:60], data[: whole // 2], data[:90] + bytes(20) + data[110:]):
        with suppress(InputError):  # a picture, or a refusal: no other error
            read_photo(damaged)
    with pytest.raises(InputError):
        read_photo(data[:60])


def test_cmyk_is_refused_clearly() -> None:
    file = io.BytesIO()
    with Image.new("CMYK", (40, 30)) as image:
        image.save(file, "TIFF")
    with pytest.raises(InputError, match="The colours are CMYK") as caught:
        read_photo(file.getvalue())
    assert "RGB" in caught.value.hint
