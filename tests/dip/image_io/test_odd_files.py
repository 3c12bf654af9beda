"""Files that libraries read wrongly, or whose meaning could be lost: refused, kept or named."""

from __future__ import annotations

import io
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
import pytest
import tifffile
from further_formats import FURTHER, box
from PIL import Image
from tagged_photos import samples

from dip.errors import InputError
from dip.image_io import encode_photo, losses, read_photo


def tiff(pixels: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, metadata=None, **options)
    return file.getvalue()


def saved(picture: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("photometric", "seen"),
    [("icclab", "ICCLab"), ("cfa", "camera's sensor"), ("logl", "LogL"), ("separated", "CMYK")],
)
def test_samples_of_other_colours_are_not_taken_for_rgb_or_gray(
    photometric: str, seen: str
) -> None:
    channels = {"cfa": 1, "logl": 1, "separated": 4}.get(photometric, 3)
    with pytest.raises(InputError, match=seen):
        read_photo(tiff(samples("uint8", channels), photometric=photometric))


@pytest.mark.parametrize("number", [12, 14])
def test_jpeg_2000_of_other_colours_is_not_taken_for_rgb(number: int) -> None:
    data = imagecodecs.jpeg2k_encode(samples("uint8", 4), level=0, codecformat="JP2")
    at = data.index(b"colr") + 4
    data = data[: at + 3] + number.to_bytes(4, "big") + data[at + 7 :]
    with pytest.raises(InputError, match=r"has the colours (CMYK|Lab)"):
        read_photo(data)


@pytest.mark.parametrize("bits", [1, 4, 10, 12])
def test_jpeg_2000_of_odd_depths_is_as_bright_as_it_was(bits: int) -> None:
    pixels = samples("uint16") >> (16 - bits)
    pixels = pixels.astype(np.uint8) if bits < 8 else pixels
    photo = read_photo(
        imagecodecs.jpeg2k_encode(
            pixels, level=0, reversible=True, codecformat="JP2", bitspersample=bits
        )
    )
    full = np.iinfo(photo.pixels.dtype).max
    expected = np.rint(pixels / (2**bits - 1) * full).astype(photo.pixels.dtype)
    np.testing.assert_array_equal(photo.pixels, expected)
    assert f"samples of {bits} bit become" in losses(photo, "tiff")[0]


def test_the_mark_of_linear_samples_stays() -> None:
    data = tiff(samples("uint16"), photometric="linear_raw")
    photo = read_photo(data)
    np.testing.assert_array_equal(photo.pixels, samples("uint16"))
    with tifffile.TiffFile(io.BytesIO(encode_photo(photo.pixels, "tiff", like=photo))) as file:
        assert file.pages[0].aspage().photometric == 34892
    assert "linear samples" in losses(photo, "png")[0]


def test_colours_of_premultiplied_alpha_are_made_plain_and_that_is_said() -> None:
    pixels = np.dstack([samples("uint8") // 2, np.full((48, 64), 128, np.uint8)])
    photo = read_photo(tiff(pixels, photometric="rgb", extrasamples=["assocalpha"]))
    assert "premultiplied" in losses(photo, "tiff")[0]
    assert np.abs(photo.pixels[..., :3] * (128 / 255) - pixels[..., :3]).max() < 1
    with tifffile.TiffFile(io.BytesIO(encode_photo(photo.pixels, "tiff", like=photo))) as file:
        assert file.pages[0].aspage().extrasamples == (2,)


def test_a_file_of_reduced_copies_alone_says_that_it_has_no_photo() -> None:
    photo = read_photo(tiff(samples("uint8"), photometric="rgb", subfiletype=1))
    assert "all its pages are marked as reduced copies" in losses(photo, "tiff")[0]


@pytest.mark.parametrize("inverted", [False, True])
def test_bilevel_pages_are_gray(inverted: bool) -> None:
    pixels = samples("uint8", 1) > 127
    data = tiff(pixels, photometric="miniswhite" if inverted else "minisblack")
    photo = read_photo(data)
    np.testing.assert_array_equal(photo.pixels, np.where(pixels ^ inverted, 255, 0))
    again = read_photo(encode_photo(photo.pixels, "tiff", like=photo))
    np.testing.assert_array_equal(again.pixels, photo.pixels)


@pytest.mark.parametrize("transparency", [bytes(range(0, 160, 10)), 3])
def test_the_transparency_of_a_palette_stays(transparency: Any) -> None:
    with Image.fromarray(samples("uint8")).quantize(16) as palette:
        data = saved(palette, "PNG", transparency=transparency)
    with Image.open(io.BytesIO(data)) as picture:
        expected = np.asarray(picture.convert("RGBA"))
    photo = read_photo(data)
    np.testing.assert_array_equal(photo.pixels, expected)
    again = read_photo(encode_photo(photo.pixels, "png", like=photo))
    np.testing.assert_array_equal(again.pixels, expected)


def test_further_frames_stay_or_are_named() -> None:
    first, *rest = (Image.fromarray(np.roll(samples("uint8"), each)) for each in range(3))
    photo = read_photo(saved(first, "WEBP", save_all=True, append_images=rest, lossless=True))
    assert "frames of an animation but the first are removed" in losses(photo, "webp")[0]
    photo = read_photo(saved(first, "PNG", save_all=True, append_images=rest))
    with Image.open(io.BytesIO(encode_photo(photo.pixels, "png", like=photo))) as again:
        assert again.n_frames == 3
    assert "PNG fdAT" in losses(photo, "tiff")[0]
    with pytest.raises(InputError, match="GIF"):
        read_photo(saved(first, "GIF", save_all=True, append_images=rest))


def test_floats_above_one_and_other_values_stay() -> None:
    pixels = samples("float32") * 40
    pixels[3, 3], pixels[4, 4], pixels[5, 5] = np.inf, -7, np.nan
    photo = read_photo(tiff(pixels, photometric="rgb"))
    again = read_photo(encode_photo(photo.pixels, "tiff", like=photo))
    np.testing.assert_array_equal(again.pixels, pixels)


# --- HEIC -----------------------------------------------------------------------------------------


def test_the_coding_of_hdr_colours_reaches_png_and_is_named_elsewhere() -> None:
    pillow_heif.register_heif_opener()
    with Image.fromarray(samples("uint8")) as picture:
        picture.info["nclx_profile"] = {
            "color_primaries": 9, "transfer_characteristics": 16, "matrix_coefficients": 9,
            "full_range_flag": 1,
        }  # fmt: skip
        photo = read_photo(saved(picture, "HEIF", save_nclx_profile=True))
    png = encode_photo(photo.pixels, "png", like=photo)
    assert b"cICP" + bytes([9, 16, 0, 1]) in png
    assert losses(photo, "png") == ()
    assert "the coding of the colours" in losses(photo, "tiff")[0]
    ordinary = read_photo(FURTHER["avif"](samples("uint8")))
    assert b"cICP" not in encode_photo(ordinary.pixels, "png", like=ordinary)
    assert losses(ordinary, "tiff") == ()


@pytest.mark.parametrize(
    ("kind", "is_named"),
    [("com:apple:photo:2020:aux:hdrgainmap", True), ("mpeg:hevc:2015:auxid:2", True),
     ("mpeg:hevc:2015:auxid:1", False), ("mpeg:mpegB:cicp:systems:auxiliary:alpha", False)],
)  # fmt: skip
def test_a_depth_map_and_a_gain_map_are_named(kind: str, is_named: bool) -> None:
    """The property that marks one, at the end: no encoder at hand writes such a picture."""
    mark = box(b"auxC", bytes(4) + f"urn:{kind}".encode() + b"\0")
    photo = read_photo(FURTHER["avif"](samples("uint8")) + box(b"free", mark))
    assert (kind in "".join(losses(photo, "png"))) == is_named
