"""A result is a copy of its photo's file: chunks, tags, pages and blocks keep their bytes."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from exiftool import tags_of, write_tags
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from tagged_photos import profile, samples, with_chunks, without_chunk

from dip.image_io import encode_photo, losses, read_header, read_photo, write_photo

SUFFIXES = {"png": ".png", "tiff": ".tif", "webp": ".webp", "jpeg": ".jpg"}
DESCRIPTION = "Großmutter vor dem Haus"


def plain(form: str, pixels: npt.NDArray[Any] | None = None, **options: Any) -> bytes:
    """A picture file that Pillow wrote."""
    file = io.BytesIO()
    lossless = {"lossless": True} if form == "webp" else {}
    with Image.fromarray(samples("uint8") if pixels is None else pixels) as image:
        image.save(file, form, **lossless, **options)
    return file.getvalue()


def restored(data: bytes, form: str | None = None) -> bytes:
    """The result of a restoration that changes a few pixels."""
    photo = read_photo(data)
    pixels = photo.pixels.copy()
    pixels[5:9, 5:9] = 0
    return encode_photo(pixels, form or photo.format, like=photo)


def chunks_of(png: bytes) -> dict[bytes, bytes]:
    found, at = {}, 8
    while at < len(png):
        size = int.from_bytes(png[at : at + 4], "big")
        found[png[at + 4 : at + 8]] = png[at + 8 : at + 8 + size]
        at += 12 + size
    return found


def tiff_pages(data: bytes) -> list[tifffile.TiffPage]:
    return list(tifffile.TiffFile(io.BytesIO(data)).pages)  # type: ignore[arg-type]


@pytest.mark.parametrize("source", SUFFIXES)
@pytest.mark.parametrize("form", SUFFIXES)
def test_a_text_keeps_its_bytes(tmp_path: Path, source: str, form: str) -> None:
    path = tmp_path / f"photo{SUFFIXES[source]}"
    path.write_bytes(plain(source))
    write_tags([f"-EXIF:ImageDescription={DESCRIPTION}"], path)
    assert DESCRIPTION.encode() + b"\0" in restored(path.read_bytes(), form)


@pytest.mark.parametrize("source", ["tiff", "jpeg"])
def test_iptc_is_whole_or_named_as_lost(tmp_path: Path, source: str) -> None:
    path = tmp_path / f"photo{SUFFIXES[source]}"
    path.write_bytes(plain(source))
    write_tags(["-IPTC:Caption-Abstract=" + 100 * "Haus ", "-IPTC:City=Wien"], path)
    photo = read_photo(path)
    outputs = [tmp_path / f"result{suffix}" for suffix in SUFFIXES.values()]
    for output in outputs:
        write_photo(output, photo.pixels, like=photo)
    for output, tags in zip(outputs, tags_of(*outputs), strict=True):
        if output.suffix == ".webp":
            assert losses(photo, "webp") == ("a WEBP file cannot hold the IPTC data",)
        else:
            assert (tags["IPTC:Caption-Abstract"], tags["IPTC:City"]) == (100 * "Haus ", "Wien")


def test_chunks_of_text_and_colour_stay() -> None:
    chunks = {
        b"tEXt": b"Artist\0\xc1nna M\xfcller",
        b"iTXt": b"Title\0\0\0\0\0" + DESCRIPTION.encode(),
        b"gAMA": struct.pack(">I", 100_000),
        b"cICP": bytes([12, 16, 0, 1]),
        b"tIME": bytes([7, 228, 1, 2, 3, 4, 5]),
        b"pHYs": struct.pack(">IIB", 47_244, 47_244, 1),
    }
    data = with_chunks(plain("png"), *chunks.items())
    after = chunks_of(restored(data))
    assert {name: after[name] for name in chunks} == chunks
    (note,) = losses(read_photo(data), "tiff")
    assert "PNG Artist, PNG Title, PNG cICP, PNG gAMA, PNG tIME" in note


def test_chunks_that_may_not_be_copied_are_named() -> None:
    chunks = {b"dSIG": b"of the whole file", b"iDOT": b"Apple's", b"prVT": b"private"}
    chunks |= {b"saFe": b"private", b"oFFs": bytes(9)}
    data = with_chunks(plain("png"), *chunks.items())
    after = chunks_of(restored(data))
    assert {name for name in chunks if name in after} == {b"saFe", b"oFFs"}
    (note,) = losses(read_photo(data), "png")
    for name in ("dSIG", "iDOT", "prVT"):
        assert f"PNG {name}" in note


@pytest.mark.parametrize(
    ("change", "seen"),
    [(lambda icc: icc + bytes(4), "4 bytes too long"), (lambda icc: icc[:-8], "damaged")],
)
def test_a_profile_that_png_refuses_is_mended_or_named(
    change: Callable[[bytes], bytes], seen: str
) -> None:
    data = plain("jpeg", icc_profile=change(profile()))
    assert seen in losses(read_photo(data), "png")[0]
    icc = read_photo(restored(data, "png")).metadata.icc
    assert icc == (profile() if "long" in seen else None)
    assert read_photo(restored(data, "tiff")).metadata.icc == change(profile())


def test_a_gray_photo_with_a_coloured_profile_names_the_loss() -> None:
    data = plain("jpeg", samples("uint8", 1), icc_profile=profile())
    assert "the colour profile" in losses(read_photo(data), "png")[0]
    assert read_photo(restored(data, "jpeg")).metadata.icc == profile()


@pytest.mark.parametrize("source", SUFFIXES)
@pytest.mark.parametrize("form", SUFFIXES)
def test_no_resolution_is_invented(tmp_path: Path, source: str, form: str) -> None:
    output = tmp_path / f"result{SUFFIXES[form]}"
    output.write_bytes(restored(plain(source), form))
    (tags,) = tags_of(output)
    found = {name.split(":")[-1]: value for name, value in tags.items()}
    assert "PixelsPerUnitX" not in found
    assert found.get("ResolutionUnit", 0) == 0
    assert read_photo(output.read_bytes()).metadata.resolution is None


@pytest.mark.parametrize("form", SUFFIXES)
def test_the_resolution_of_a_webp_file_stays(tmp_path: Path, form: str) -> None:
    path = tmp_path / "photo.webp"
    path.write_bytes(plain("webp"))
    write_tags(["-XResolution=1200", "-YResolution=1200", "-ResolutionUnit=inches"], path)
    resolution = read_photo(restored(path.read_bytes(), form)).metadata.resolution
    assert resolution == pytest.approx((47.244, 47.244), abs=1e-3)


# --- TIFF -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_sample_that_is_not_alpha_is_carried_untouched(order: str, big: bool, dtype: str) -> None:
    file = io.BytesIO()
    rgbi = samples(dtype, 4)
    tifffile.imwrite(
        file, rgbi, photometric="rgb", extrasamples=["unspecified"], byteorder=order, bigtiff=big
    )  # fmt: skip
    photo = read_photo(file.getvalue())
    assert photo.pixels.shape[2] == 3
    result = restored(file.getvalue())
    (page,) = tiff_pages(result)
    assert page.extrasamples == (0,)
    again = read_photo(result)  # tifffile lacks the predictor of floats
    assert again.extra is not None
    after = np.concatenate([again.pixels, again.extra], 2) if dtype == "float32" else page.asarray()
    expected = rgbi.copy()
    expected[5:9, 5:9, :3] = 0
    np.testing.assert_array_equal(after, expected)
    assert "1 channels that are neither" in losses(photo, "png")[0]


def test_alpha_before_an_infrared_sample_stays_alpha() -> None:
    file = io.BytesIO()
    rgbai = samples("uint16", 5)
    tifffile.imwrite(file, rgbai, photometric="rgb", extrasamples=["unassalpha", "unspecified"])
    photo = read_photo(file.getvalue())
    assert photo.pixels.shape[2] == 4
    (page,) = tiff_pages(encode_photo(photo.pixels, "tiff", like=photo))
    assert page.extrasamples == (2, 0)
    np.testing.assert_array_equal(page.asarray(), rgbai)


def test_further_pages_stay_and_are_named_where_they_cannot() -> None:
    file = io.BytesIO()
    infrared = samples("uint16", 1)
    with tifffile.TiffWriter(file) as writer:
        writer.write(samples("uint16"), photometric="rgb", compression="zlib")
        writer.write(infrared, photometric="minisblack", description="infrared")
    pages = tiff_pages(restored(file.getvalue()))
    assert len(pages) == 2
    np.testing.assert_array_equal(pages[1].asarray(), infrared)
    assert pages[1].description == "infrared"
    assert losses(read_photo(file.getvalue()), "png") == (
        "of 2 pages, page 1 is restored",
        "a PNG file cannot hold 1 further page",
    )


def test_the_full_size_page_is_the_photo_and_its_thumbnails_are_renewed(tmp_path: Path) -> None:
    white = np.full((48, 64, 3), 60_000, np.uint16)
    path = tmp_path / "photo.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.full((12, 16, 3), 200, np.uint8), photometric="rgb", subfiletype=1)
        writer.write(white, photometric="rgb", subifds=1)
        writer.write(white[::2, ::2], photometric="rgb", subfiletype=1)
    photo = read_photo(path)
    assert photo.pixels.shape == (48, 64, 3)
    assert read_header(path).width == 64
    thumbnail, page = tiff_pages(encode_photo(np.zeros_like(white), "tiff", like=photo))
    assert thumbnail.shape == (12, 16, 3)
    assert thumbnail.dtype == np.uint8
    assert page.pages is not None
    for each in (thumbnail, page, page.pages[0]):
        assert each.asarray().max() == 0


def test_private_tags_keep_their_bytes_and_their_places() -> None:
    file = io.BytesIO()
    private = bytes(range(256)) * 4
    tifffile.imwrite(
        file, samples("uint16"), photometric="rgb", extratags=[(65000, 7, 1024, private, True)]
    )
    before, after = (
        tiff_pages(data)[0].tags[65000] for data in (file.getvalue(), restored(file.getvalue()))
    )
    assert after.value == private
    assert after.valueoffset == before.valueoffset


def test_a_result_takes_the_room_of_the_old_pixels() -> None:
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((480, 640, 3), np.uint16), photometric="rgb")
    assert len(restored(file.getvalue())) <= len(file.getvalue()) + 1000


# --- Things that would lie ------------------------------------------------------------------------


@pytest.mark.parametrize("form", SUFFIXES)
def test_marks_of_a_turned_photo_agree_with_its_pixels(tmp_path: Path, form: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(plain("jpeg"))
    turned = ["-EXIF:Orientation#=6", "-XMP-tiff:Orientation#=6", "-ExifImageWidth=64"]
    write_tags([*turned, "-ExifImageHeight=48", "-XResolution=300", "-YResolution=600"], path)
    output = tmp_path / f"result{SUFFIXES[form]}"
    output.write_bytes(restored(path.read_bytes(), form))
    (tags,) = tags_of(output)
    found = {name.split(":")[-1]: value for name, value in tags.items()}
    marks = [value for name, value in tags.items() if name.endswith(":Orientation")]
    assert marks == [1, 1]
    assert (found["ExifImageWidth"], found["ExifImageHeight"]) == (48, 64)
    assert (found["XResolution"], found["YResolution"]) == (600, 300)


@pytest.mark.parametrize("form", SUFFIXES)
def test_a_thumbnail_of_the_damage_is_removed_and_named(tmp_path: Path, form: str) -> None:
    path, small = tmp_path / "photo.jpg", tmp_path / "small.jpg"
    path.write_bytes(plain("jpeg"))
    small.write_bytes(plain("jpeg", samples("uint8")[::2, ::2]))
    write_tags(["-EXIF:Artist=nobody", f"-ThumbnailImage<={small}"], path)
    photo = read_photo(path)
    assert "the EXIF thumbnail" in losses(photo, form)[0]
    output = tmp_path / f"result{SUFFIXES[form]}"
    output.write_bytes(restored(path.read_bytes(), form))
    (tags,) = tags_of(output)
    assert not [name for name in tags if "Thumbnail" in name]
    assert small.read_bytes() not in output.read_bytes()


# --- Any metadata ---------------------------------------------------------------------------------

_texts = st.binary(min_size=5, max_size=200).map(lambda text: text.replace(b"\0", b"x"))


@settings(max_examples=40)
@given(
    source=st.sampled_from(["jpeg", "png", "webp"]),
    form=st.sampled_from([*SUFFIXES]),
    order=st.sampled_from("<>"),
    tags=st.dictionaries(
        st.sampled_from([0x010D, 0x010E, 0x013B, 0x8298, 0xC000]), _texts, min_size=1
    ),
    inner=st.dictionaries(st.sampled_from([0x9286, 0x927C, 0xA420, 0xFDE8]), _texts, min_size=1),
)
def test_any_exif_data_comes_out_as_it_went_in(
    source: str, form: str, order: str, tags: dict[int, bytes], inner: dict[int, bytes]
) -> None:
    block = exif_of(order, tags, inner)
    data = restored(plain(source, exif=b"Exif\0\0" + block), form)
    if form != "tiff":
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            assert image.info["exif"].removeprefix(b"Exif\0\0") == block
        return
    assert data[8 : len(block)] == block[8:]  # offsets inside maker notes remain true
    with Image.open(io.BytesIO(data)) as image:
        found = image.getexif()
        assert set(tags) <= set(found)
        assert found.get_ifd(0x8769).keys() == inner.keys()


def exif_of(order: str, tags: dict[int, bytes], inner: dict[int, bytes]) -> bytes:
    """An EXIF block with texts, and a directory of undefined values inside it."""
    block = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HI", 42, 0)

    def append(entries: list[tuple[int, int, int, bytes]]) -> None:
        nonlocal block
        listed, values = struct.pack(order + "H", len(entries)), b""
        after = len(block) + 2 + 12 * len(entries) + 4
        for tag, kind, count, value in sorted(entries):
            field = value
            if len(value) > 4:
                field = struct.pack(order + "I", after + len(values))
                values += value + bytes(len(value) % 2)
            listed += struct.pack(order + "HHI", tag, kind, count) + field
        block += listed + bytes(4) + values

    append([(tag, 7, len(value), value) for tag, value in inner.items()])
    start = len(block)
    outer = [(tag, 2, len(value) + 1, value + b"\0") for tag, value in tags.items()]
    append([*outer, (0x8769, 4, 1, struct.pack(order + "I", 8))])
    return block[:4] + struct.pack(order + "I", start) + block[8:]


@settings(max_examples=40)
@given(
    xmp=_texts,
    icc=_texts,
    text=_texts,
    source=st.sampled_from(["jpeg", "webp"]),
    form=st.sampled_from(["jpeg", "webp", "tiff"]),
)
def test_any_xmp_profile_and_comment_come_out_as_they_went_in(
    xmp: bytes, icc: bytes, text: bytes, source: str, form: str
) -> None:
    data = restored(plain(source, xmp=xmp, icc_profile=icc), form)
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["xmp"] == xmp
        assert image.info["icc_profile"] == icc
    if form == "jpeg":
        with Image.open(io.BytesIO(restored(plain("jpeg", comment=text)))) as image:
            assert image.info["comment"] == text
    chunk = b"Comment\0" + text
    png = without_chunk(with_chunks(plain("png"), (b"pHYs", bytes(9)), (b"tEXt", chunk)), b"pHYs")
    assert chunks_of(restored(png))[b"tEXt"] == chunk


def test_a_colour_profile_of_the_photo_reaches_every_format() -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for source in SUFFIXES:
        for form in SUFFIXES:
            data = restored(plain(source, icc_profile=icc), form)
            with Image.open(io.BytesIO(data)) as image:
                assert image.info["icc_profile"] == icc
