"""Photos of all formats with all kinds of tags, and the account of a result's tags."""

from __future__ import annotations

import re
import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyvips
import tifffile
from exiftool import tags_of, write_tags
from PIL import Image, ImageCms, PngImagePlugin

HEIGHT, WIDTH = 48, 64
FORMATS = {"png": ".png", "tiff": ".tif", "webp": ".webp", "jpeg": ".jpg"}
MATRIX_SAMPLE = ("tiles_uint16", "motorola_uint8", "pages", "png_uint16", "jpeg", "webp")
"""Photos of `make` that stand for all, where each costs a fit."""

TAGS = (
    "-EXIF:DocumentName=Inv. 1234", "-EXIF:ImageDescription=Großmutter vor dem Haus",
    "-EXIF:Make=EPSON", "-EXIF:Model=Perfection V850", "-EXIF:Software=SilverFast 9",
    "-EXIF:Artist=Ánna Müller", "-EXIF:Copyright=Archiv 12/3", "-EXIF:HostComputer=scanner-2",
    "-EXIF:XPTitle=Großmutter", "-EXIF:XPComment=Пример", "-EXIF:XPKeywords=家族;1931",
    "-EXIF:XPAuthor=Ánna", "-EXIF:XPSubject=Haus", "-EXIF:Rating=4",
    "-EXIF:DateTimeOriginal=1931:05:01 12:00:00", "-EXIF:ModifyDate=2020:01:02 03:04:05",
    "-EXIF:UserComment=box 7, Ünïcode", "-EXIF:LensModel=EF 50 mm", "-EXIF:LensMake=Canon",
    "-EXIF:ImageUniqueID=0123456789abcdef0123456789abcdef", "-EXIF:ExposureTime=1/60",
    "-EXIF:ISO=200", "-EXIF:OffsetTime=+01:00", "-EXIF:SubSecTimeOriginal=12",
    "-EXIF:SerialNumber=S/N 1", "-EXIF:GPSLatitude=47.5", "-EXIF:GPSLatitudeRef=N",
    "-EXIF:GPSLongitude=15", "-EXIF:GPSLongitudeRef=E", "-EXIF:GPSAreaInformation=Graz",
    "-XMP-dc:Title=Titel", "-XMP-dc:Subject=family", "-XMP-dc:Creator=Ánna Müller",
    "-XMP-xmp:Rating=4", "-XMP-photoshop:City=Wien", "-XMP-xmpRights:UsageTerms=frei",
    "-IPTC:CodedCharacterSet=UTF8", "-IPTC:Caption-Abstract=Großmutter, 1931",
    "-IPTC:Keywords=archive", "-IPTC:Keywords=family", "-IPTC:City=Wien", "-IPTC:By-line=Ánna",
    "-Photoshop:CopyrightFlag#=1", "-Photoshop:URL=https://archive.example",
)  # fmt: skip
RESOLUTION = ("-XResolution=1200", "-YResolution=1200", "-ResolutionUnit=inches")

_TIFF_KINDS: dict[str, dict[str, Any]] = {
    "strips": {"rowsperstrip": 10},
    "tiles": {"tile": (16, 32), "compression": "zlib"},
    "planar": {"planarconfig": "separate"},
    "big": {"bigtiff": True},
    "motorola": {"byteorder": ">"},
    "big_motorola": {"byteorder": ">", "bigtiff": True},
}


def samples(dtype: str, channels: int = 3) -> npt.NDArray[Any]:
    """Seeded noise of (HEIGHT, WIDTH, channels), or (HEIGHT, WIDTH) for one channel."""
    values = np.random.default_rng(7).random((HEIGHT, WIDTH, channels), dtype=np.float32)
    values = values if dtype == "float32" else (values * np.iinfo(dtype).max)
    return values.astype(dtype)[:, :, 0] if channels == 1 else values.astype(dtype)


@cache
def profile() -> bytes:
    """A small RGB profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def png_chunk(name: bytes, data: bytes) -> bytes:
    """The bytes of a PNG chunk."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def with_chunks(png: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file with chunks after its header."""
    return png[:33] + b"".join(png_chunk(*chunk) for chunk in chunks) + png[33:]


def without_chunk(png: bytes, name: bytes) -> bytes:
    """A PNG file without its first chunk of a name."""
    start = png.index(name) - 4
    return png[:start] + png[start + 12 + int.from_bytes(png[start : start + 4], "big") :]


def damage() -> npt.NDArray[np.uint8]:
    """A mask for the photos."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:20, 10:20] = 255
    return mask


def make(folder: Path, names: Sequence[str] | None = None) -> dict[str, Path]:
    """A photo of each kind, or of some, with all tags that ExifTool can write into it."""
    folder.mkdir(exist_ok=True)
    made: dict[str, Path] = {}
    for kind, options in _TIFF_KINDS.items():
        for dtype in ("uint8", "uint16", "float32"):
            path = folder / f"{kind}_{dtype}.tif"
            pixels = samples(dtype)
            if kind == "planar":
                pixels = np.ascontiguousarray(np.moveaxis(pixels, 2, 0))
            tifffile.imwrite(
                path, pixels, photometric="rgb", metadata=None, iccprofile=profile(),
                resolution=(1200, 1200), resolutionunit="inch", description="Großmutter".encode(),
                extratags=[(65000, 7, 5, b"own\0!", True), (700, 1, 7, b"<x:x/> ", True)],
                **options,
            )  # fmt: skip
            made[path.stem] = path
    made["pages"] = folder / "pages.tif"
    with tifffile.TiffWriter(made["pages"]) as file:
        dots: dict[str, Any] = {"resolution": (1200, 1200), "resolutionunit": "inch"}
        common: dict[str, Any] = {"photometric": "rgb", "metadata": None, **dots}
        file.write(samples("uint8")[::4, ::4], subfiletype=1, **common)
        file.write(
            samples("uint16"), subifds=1, extratags=[(65000, 7, 5, b"own\0!", True)], **common
        )
        file.write(samples("uint8")[::2, ::2], subfiletype=1, **common)
        file.write(samples("uint16", 1), photometric="minisblack", metadata=None)
    for dtype in ("uint8", "uint16"):
        made[f"png_{dtype}"] = folder / f"png_{dtype}.png"
        image = pyvips.Image.new_from_array(samples(dtype)).copy(
            interpretation="srgb" if dtype == "uint8" else "rgb16"
        )
        data = without_chunk(image.pngsave_buffer(keep="none"), b"pHYs")
        text = [
            (b"tEXt", b"Source\0box 7"),
            (b"zTXt", b"Disclaimer\0\0" + zlib.compress(b"none")),
            (b"iTXt", b"Title\0\0\0de\0Titel\0" + "Großmutter".encode()),
            (b"tIME", bytes([7, 228, 1, 2, 3, 4, 5])),
        ]
        colours = [(b"cICP", bytes([9, 16, 0, 1])), (b"gAMA", struct.pack(">I", 100_000))]
        colours += [(b"cHRM", struct.pack(">8I", *range(30_000, 38_000, 1000)))]
        made[f"png_{dtype}"].write_bytes(with_chunks(data, *colours, *text))
    made["png_srgb"] = folder / "png_srgb.png"
    info = PngImagePlugin.PngInfo()
    info.add(b"sRGB", b"\0")
    Image.fromarray(samples("uint8")).save(made["png_srgb"], pnginfo=info)
    made["png_palette"] = folder / "png_palette.png"
    with Image.fromarray(samples("uint8")).quantize(16) as palette:
        palette.save(made["png_palette"], icc_profile=profile())
    made["jpeg"], made["jpeg_gray"] = folder / "jpeg.jpg", folder / "jpeg_gray.jpg"
    Image.fromarray(samples("uint8")).save(
        made["jpeg"], icc_profile=profile(), comment=b"a comment", dpi=(1200, 1200)
    )
    Image.fromarray(samples("uint8", 1)).save(made["jpeg_gray"], icc_profile=profile())
    made["webp"] = folder / "webp.webp"
    Image.fromarray(samples("uint8")).save(made["webp"], lossless=True, icc_profile=profile())
    for name in set(made) - set(names or made):
        made.pop(name).unlink()
    # ExifTool writes no BigTIFF files.
    write_tags([*TAGS, *RESOLUTION], *(path for name, path in made.items() if "big" not in name))
    return made


# --- The account ----------------------------------------------------------------------------------

_STORAGE = re.compile(
    r"(File|PNG|RIFF|JFIF|APP14):(.*:)?(FileType.*|MIMEType|EncodingProcess|BitsPerSample|BitDepth"
    r"|ColorComponents|YCbCrSubSampling|ColorType|Compression|Filter|Interlace|WebP_Flags|JFIFVersion"
    r"|ExifByteOrder|Palette|Transparency|CurrentIPTCDigest|VP8Version|HorizontalScale|VerticalScale"
    r"|ImageWidth|ImageHeight|AlphaIsUsed|ProfileName)"
    r"|(IFD\d|SubIFD\d?):(.*:)?(ImageWidth|ImageHeight|BitsPerSample|Compression|StripOffsets"
    r"|PhotometricInterpretation|SamplesPerPixel|RowsPerStrip|StripByteCounts|PlanarConfiguration"
    r"|TileWidth|TileLength|TileOffsets|TileByteCounts|Predictor|SampleFormat|YCbCrPositioning"
    r"|(Thumbnail|Preview)TIFF|OtherImage.*|PreviewImage.*|SubfileType)"
)
"""Tags that describe how pixels are stored: they follow the format of the result."""
_RESOLUTION = re.compile(
    r".*:(XResolution|YResolution|ResolutionUnit|PixelsPerUnit[XY]|PixelUnits)"
)
_NAMED = {
    "the IPTC data": r"(IPTC|File):",
    "Photoshop's resources": r"Photoshop:",
    "the colour profile": r"ICC",
    "the JPEG comment": r"File:(.*:)?Comment",
    "further page": r"IFD[1-9]|.*Copy",
    "sub-images": r"SubIFD|.*Copy",
    "cHRM": r"PNG:(WhitePoint|Red|Green|Blue)",
    "gAMA": r"PNG:Gamma",
    "cICP": r"PNG-cICP",
    "sRGB": r"PNG:SRGBRendering",
    "tIME": r"PNG:(.*:)?ModifyDate",
    "PNG Source": r"PNG:Source",
    "PNG Disclaimer": r"PNG:Disclaimer",
    "PNG Title": r"PNG:Title",
    "PNG bKGD": r"PNG:BackgroundColor",
    "PNG sBIT": r"PNG:SignificantBits",
}


@dataclass
class Account:
    """How many tags were kept, stored otherwise, lost aloud, and lost silently (by name)."""

    tried: int = 0
    kept: int = 0
    storage: int = 0
    aloud: int = 0
    silent: list[str] = field(default_factory=list)

    def add(
        self, name: str, before: dict[str, Any], after: dict[str, Any], notes: Sequence[str],
        *, same: bool,
    ) -> None:  # fmt: skip
        """Account for each tag of a photo in its result."""
        exact = {tag for tag, value in before.items() if tag in after and after[tag] == value}
        # Between two formats, a tag may move to another group.
        left = Counter(_comparable(tag, after[tag]) for tag in after if tag not in exact)
        self.tried += len(before)
        self.kept += len(exact)
        for tag, value in before.items():
            key = _comparable(tag, value)
            if tag in exact:
                pass
            elif left[key] and not same:
                left[key] -= 1
                self.kept += 1
            elif _STORAGE.fullmatch(tag):
                self.storage += 1
            elif not same and _RESOLUTION.fullmatch(tag) and _has_resolution(after):
                self.kept += 1  # the same resolution, in the words of the format
            elif any(part in note and re.match(group, tag)
                     for note in notes for part, group in _NAMED.items()):  # fmt: skip
                self.aloud += 1
            else:
                self.silent.append(f"{name}: {tag} = {str(value)[:40]!r}")


def _comparable(tag: str, value: Any) -> str:
    return f"{tag.split(':')[-1]} {value!r}"


def _has_resolution(tags: dict[str, Any]) -> bool:
    """Whether 1200 dots per inch are among the tags, in any unit."""
    found = {tag.split(":")[-1]: value for tag, value in tags.items()}
    per_metre = found.get("PixelsPerUnitX")
    return found.get("XResolution") == 1200 or (
        per_metre is not None and abs(per_metre - 47_244) <= 1
    )


class Matrix:
    """Photos of all kinds, their results in all formats, and the account of their tags.

    Parameters
    ----------
    folder : Path
        For the photos.
    names : sequence of str, optional
        Some of the photos.
    """

    def __init__(self, folder: Path, names: Sequence[str] | None = None) -> None:
        self.photos = make(folder, names)
        self.refused = 0
        self._results: list[tuple[str, str, Path, Sequence[str]]] = []

    def add(self, name: str, form: str, output: Path, notes: Sequence[str]) -> None:
        """Add the result of a photo, and the notes that name its losses."""
        self._results.append((name, form, output, notes))

    def check(self, way: str) -> Account:
        """Print the account, and fail where a tag was lost silently."""
        before = dict(zip(self.photos, tags_of(*self.photos.values()), strict=True))
        account = Account()
        after = tags_of(*(output for _, _, output, _ in self._results))
        for (name, form, output, notes), tags in zip(self._results, after, strict=True):
            same = FORMATS[form] == self.photos[name].suffix
            account.add(output.name, before[name], tags, notes, same=same)
        print(
            f"{way}: {len(self._results)} pairs of formats, {self.refused} refused, "
            f"{account.tried} tags: {account.kept} kept, {account.storage} of storage, "
            f"{account.aloud} lost aloud, {len(account.silent)} silently"
        )
        assert not account.silent, "\n".join(account.silent)
        assert account.tried > 50 * len(self._results)
        return account
