"""Files in, files out: samples, metadata, limits, and files that are not what they claim."""

from __future__ import annotations

import io
import os
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import pyvips
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps
from skimage.data import astronaut

from dip import image_io
from dip.errors import DipError, ImageTooLarge, InputError, MaskError, OutputError
from dip.image_io import (
    Limits,
    check_writable,
    decode_mask,
    decode_photo,
    encode_photo,
    read_header,
    read_mask,
    read_photo,
    write_photo,
    write_pixels,
)

TAKEN = "2020:01:02 03:04:05"
MAKER, ORIENTATION, COPYRIGHT, EXIF_IFD, DATE_TAKEN = 0x010F, 0x0112, 0x8298, 0x8769, 0x9003


def samples(dtype: str, channels: int | None, seed: int = 0) -> npt.NDArray[Any]:
    shape = (33, 47) if channels is None else (33, 47, channels)
    values = np.random.default_rng(seed).random(shape, dtype=np.float32)
    if dtype == "float32":
        return 1.5 * values - np.float32(0.2)  # beyond the nominal range: it must stay
    return (values * np.iinfo(dtype).max).astype(dtype)


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


# --- Samples ------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [None, 2, 3, 4])
@pytest.mark.parametrize(
    ("dtype", "suffix"),
    [("uint8", ".png"), ("uint16", ".png"), ("uint8", ".tif"), ("uint16", ".tiff"),
     ("float32", ".tif")],
)  # fmt: skip
def test_what_is_written_losslessly_is_read_again_bit_for_bit(
    tmp_path: Path, dtype: str, channels: int | None, suffix: str
) -> None:
    pixels = samples(dtype, channels)
    path = tmp_path / f"photo{suffix}"
    write_photo(path, pixels)
    again = read_photo(path).pixels
    assert again.dtype == pixels.dtype
    np.testing.assert_array_equal(again, pixels)
    np.testing.assert_array_equal(decode_photo(path.read_bytes()).pixels, pixels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (1, 1, 3)])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_picture_of_one_pixel_is_a_picture(
    tmp_path: Path, suffix: str, shape: tuple[int, ...]
) -> None:
    pixels = np.full(shape, 7, np.uint8)
    write_photo(tmp_path / f"a{suffix}", pixels)
    np.testing.assert_array_equal(read_photo(tmp_path / f"a{suffix}").pixels, pixels)


@pytest.mark.parametrize("channels", [3, 4])
def test_webp_is_lossless_even_behind_full_transparency(tmp_path: Path, channels: int) -> None:
    pixels = samples("uint8", channels)
    if channels == 4:
        pixels[:10, :, 3] = 0
    write_photo(tmp_path / "photo.webp", pixels)
    np.testing.assert_array_equal(read_photo(tmp_path / "photo.webp").pixels, pixels)


def test_gray_becomes_three_equal_channels_in_webp(tmp_path: Path) -> None:
    pixels = samples("uint8", None)
    write_photo(tmp_path / "photo.webp", pixels)
    again = read_photo(tmp_path / "photo.webp").pixels
    np.testing.assert_array_equal(again, np.repeat(pixels[:, :, None], 3, axis=2))


@pytest.mark.parametrize("form", ["png", "tiff", "webp", "jpeg"])
def test_memory_and_file_hold_the_same(tmp_path: Path, form: str) -> None:
    pixels = samples("uint8", 3)
    write_photo(tmp_path / f"photo.{form}", pixels)
    from_memory = decode_photo(encode_photo(pixels, form)).pixels
    np.testing.assert_array_equal(from_memory, read_photo(tmp_path / f"photo.{form}").pixels)


def test_a_photo_makes_a_png_of_less_than_three_fifths_of_its_samples() -> None:
    photo = astronaut()
    assert len(encode_photo(photo, "png")) < 0.6 * photo.nbytes


def test_jpeg_keeps_full_colour_resolution(tmp_path: Path) -> None:
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:, ::2, 0] = 255  # one-pixel red stripes: halved colour would turn them brown
    write_photo(tmp_path / "photo.jpg", pixels)
    assert np.abs(read_photo(tmp_path / "photo.jpg").pixels.astype(int) - pixels).max() < 40


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
def test_tiffs_of_other_programs_are_read(tmp_path: Path, compression: str) -> None:
    pixels = samples("uint8", 3)
    Image.fromarray(pixels).save(tmp_path / "photo.tif", compression=compression)
    np.testing.assert_array_equal(read_photo(tmp_path / "photo.tif").pixels, pixels)


@pytest.mark.parametrize(
    ("dtype", "kind"), [("float64", "rare kind"), ("uint32", "uint"), ("int16", "short")]
)
def test_samples_that_would_have_to_be_converted_are_refused(
    tmp_path: Path, dtype: str, kind: str
) -> None:
    pyvips.Image.new_from_array(np.ones((20, 20), dtype=dtype)).tiffsave(str(tmp_path / "x.tif"))
    with pytest.raises(InputError, match=kind):
        read_photo(tmp_path / "x.tif")


def test_cmyk_is_not_taken_for_colour_with_alpha(tmp_path: Path) -> None:
    Image.new("CMYK", (30, 30), (10, 20, 30, 40)).save(tmp_path / "press.jpg")
    with pytest.raises(InputError, match="CMYK"):
        read_photo(tmp_path / "press.jpg")


@pytest.mark.parametrize("form", ["png", "tif", "jpg"])
def test_a_photo_that_is_read_is_in_memory_once(tmp_path: Path, form: str) -> None:
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


# --- Metadata -----------------------------------------------------------------------------------


def test_a_photo_that_its_camera_turned_is_upright(camera_jpeg: Path) -> None:
    pixels = read_photo(camera_jpeg).pixels
    assert pixels.shape == (60, 40, 3)
    assert pixels[:, -6:].min() > 200 > 60 > pixels[:, :20].max()
    header = read_header(camera_jpeg)
    assert (header.format, header.width, header.height) == ("jpeg", 60, 40)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_ways_to_hold_a_camera_are_turned_upright(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = io.BytesIO()
    lossless = {"lossless": True} if form == "WEBP" else {}
    Image.fromarray(samples("uint8", 3)).save(file, form, exif=exif, **lossless)
    with Image.open(file) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(decode_photo(file.getvalue()).pixels, upright)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
def test_metadata_goes_with_the_pixels_into_every_format(camera_jpeg: Path, suffix: str) -> None:
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


def test_damaged_exif_costs_only_the_exif(
    camera_jpeg: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = bytearray(camera_jpeg.read_bytes())
    start = data.index(b"Exif\0\0") + 6
    data[start + 4 : start + 8] = b"\xff\xff\xff\x7f"  # the first directory lies outside
    photo = decode_photo(bytes(data))
    assert photo.pixels.shape[2] == 3
    assert photo.metadata.exif is None


def test_further_pages_are_named_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = Image.new("L", (30, 20), 7), Image.new("L", (30, 20), 9)
    first.save(tmp_path / "pages.tif", save_all=True, append_images=[second])
    assert read_photo(tmp_path / "pages.tif").pixels.max() == 7
    assert "2 pages" in caplog.text


# --- Files that are not what they claim ---------------------------------------------------------


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff_claiming(width: int, height: int) -> bytes:
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, 100),
    ]  # fmt: skip
    listed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + listed + bytes(104)


@pytest.mark.parametrize("data", [png_claiming(60_000, 60_000), tiff_claiming(40_000, 40_000)])
def test_a_file_that_claims_too_many_pixels_is_refused_before_decoding(data: bytes) -> None:
    with pytest.raises(ImageTooLarge, match="megapixels; the limit is 200"):
        decode_photo(data, "bomb")


def test_a_file_of_too_many_bytes_is_refused(tmp_path: Path) -> None:
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
        (b"\0\0\0\x18ftypheic" + bytes(50), "HEIC"),
        (b"\x89PNG\r\n\x1a\n", "cannot be decoded"),
        (b"\xff\xd8\xff\xe0", "cannot be decoded"),
        (b"II*\0" + bytes(4), "cannot be decoded"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "cannot be decoded"),
    ],
)
def test_what_is_no_photo_is_named(tmp_path: Path, data: bytes, seen: str) -> None:
    path = tmp_path / "holiday.png"
    path.write_bytes(data)
    with pytest.raises(InputError, match=seen) as caught:
        read_photo(path)
    assert "holiday.png" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("form", ["png", "jpeg", "webp", "tiff"])
def test_a_truncated_file_is_refused(form: str) -> None:
    whole = encode_photo(samples("uint8", 3), form)
    with pytest.raises(InputError, match="cannot be decoded"):
        decode_photo(whole[: len(whole) // 2])


def test_a_wrong_ending_does_not_matter_to_reading(tmp_path: Path) -> None:
    pixels = samples("uint8", 3)
    (tmp_path / "photo.jpg").write_bytes(encode_photo(pixels, "png"))
    np.testing.assert_array_equal(read_photo(tmp_path / "photo.jpg").pixels, pixels)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_photo(tmp_path / "missing.png")
    with pytest.raises(InputError, match="cannot be read"):
        read_photo(tmp_path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    form=st.sampled_from(["png", "jpeg", "webp", "tiff"]),
    cut=st.floats(0, 1),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
)
def test_hostile_files_raise_nothing_but_an_input_error(
    form: str, cut: float, changes: list[tuple[float, int]]
) -> None:
    data = bytearray(encode_photo(samples("uint8", 3), form))
    for place, value in changes:
        # Mostly in the first bytes, where sizes and types are.
        data[int(place**3 * len(data))] = value
    try:
        photo = decode_photo(bytes(data[: int(cut * len(data))] if cut < 0.5 else data))
    except InputError:
        return
    assert photo.pixels.ndim in (2, 3)


# --- Masks --------------------------------------------------------------------------------------


def test_a_gray_mask_keeps_its_depth(tmp_path: Path) -> None:
    mask = samples("uint16", None)
    write_photo(tmp_path / "mask.png", mask)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), mask)


def test_the_channels_of_a_mask_become_one() -> None:
    gray = samples("uint8", None)
    colour = np.repeat(gray[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(decode_mask(encode_photo(colour, "png")), gray)
    assert decode_mask(encode_photo(colour, "jpeg")).shape == gray.shape


def test_what_is_transparent_in_a_mask_is_not_restored() -> None:
    mask = np.full((20, 20, 4), 255, dtype=np.uint8)
    mask[:10, :, 3] = 0
    mask[:10, :, 0] = 3  # a colour that nobody sees
    coverage = decode_mask(encode_photo(mask, "png"))
    assert coverage[:10].max() == 0
    assert coverage[10:].min() == 1


@pytest.mark.parametrize("height", [20, 700])  # it is looked through strip by strip
def test_a_mask_that_is_half_transparent_restores_half(height: int) -> None:
    mask = np.full((height, 20, 2), 255, dtype=np.uint8)
    mask[-5:, :, 1], mask[:5, :, 0] = 51, 102
    coverage = decode_mask(encode_photo(mask, "png"))
    assert coverage.dtype == np.float32
    np.testing.assert_allclose(coverage[-5:], 0.2)
    np.testing.assert_allclose(coverage[:5], 0.4)
    assert (coverage[5:-5] == 1).all()


@pytest.mark.parametrize("channels", [2, 4])
def test_a_mask_that_is_opaque_keeps_its_depth(channels: int) -> None:
    mask = np.repeat(samples("uint16", None)[:, :, None], channels, axis=2)
    mask[:, :, -1] = 65535
    coverage = decode_mask(encode_photo(mask, "tiff"))
    np.testing.assert_array_equal(coverage, mask[:, :, 0])


def test_a_mask_keeps_no_more_than_its_one_channel_in_memory() -> None:
    mask = decode_mask(encode_photo(np.full((20, 20, 3), 255, np.uint8), "png"))
    assert mask.base is None
    assert mask.flags.c_contiguous


@pytest.mark.parametrize("top", [5, 600])  # it is looked through strip by strip
def test_a_coloured_mask_is_refused(top: int) -> None:
    mask = np.zeros((700, 20, 3), dtype=np.uint8)
    mask[top : top + 5, 5:10, 0] = 255
    with pytest.raises(MaskError, match="The mask has colours"):
        decode_mask(encode_photo(mask, "png"), "painted.png")


# --- Writing ------------------------------------------------------------------------------------


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
def test_what_cannot_be_written_is_known_before_the_work(
    tmp_path: Path, dtype: str, channels: int, name: str, seen: str
) -> None:
    photo = decode_photo(encode_photo(samples(dtype, channels), "tiff"))
    with pytest.raises(OutputError, match=seen):
        check_writable(tmp_path / name, photo)
    assert not list(tmp_path.iterdir())


def test_a_side_too_long_for_the_format_is_known_before_the_work(tmp_path: Path) -> None:
    photo = decode_photo(encode_photo(np.zeros((16, 17_000), dtype=np.uint8), "png"))
    with pytest.raises(OutputError, match="17000 px"):
        check_writable(tmp_path / "photo.webp", photo)
    check_writable(tmp_path / "photo.jpg", photo)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_write_protected_folder_is_known_before_the_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be written"):
        check_writable(tmp_path / "photo.png")


def test_a_file_that_is_replaced_keeps_its_permissions_and_its_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.png", tmp_path / "link.png"
    write_photo(real, samples("uint8", 3))
    real.chmod(0o640)
    link.symlink_to(real)
    pixels = samples("uint8", 3, seed=1)
    write_photo(link, pixels)
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    np.testing.assert_array_equal(read_photo(real).pixels, pixels)


def test_a_full_disk_leaves_the_old_file_and_nothing_half_written(tmp_path: Path) -> None:
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
def test_previews_of_all_samples_can_be_written(tmp_path: Path, dtype: str, suffix: str) -> None:
    write_pixels(tmp_path / f"preview{suffix}", samples(dtype, 4))
    with Image.open(tmp_path / f"preview{suffix}") as image:
        assert image.size == (47, 33)


def test_every_refusal_is_a_dip_error() -> None:
    for form in ("png", "tiff", "webp", "jpeg"):
        for dtype in ("uint8", "uint16", "float32"):
            for channels in (None, 2, 3, 4):
                try:
                    data = encode_photo(samples(dtype, channels), form)
                except DipError:
                    continue
                assert decode_photo(io.BytesIO(data).read()).pixels.dtype == dtype


def test_nothing_is_said_on_standard_error_about_odd_tags(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(encode_photo(samples("uint8", 3), "tiff"))
    start = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[start : start + 2], "little")
    data[start + 2 + 12 * (count - 1) : start + 4 + 12 * (count - 1)] = b"\xf0\xfd"
    image_io.decode_photo(bytes(data))
    assert capfd.readouterr().err == ""
