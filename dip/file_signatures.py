"""The first bytes that identify the formats of image files; the standard library alone."""

from __future__ import annotations

SIGNATURE_BYTES = 16
"""Number of bytes at the start of a file that identify its format."""

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),  # BigTIFF
    (b"MM\0+", "tiff"),
)
_JPEG_2000, _CODESTREAM = b"\0\0\0\x0cjP  \r\n\x87\n", b"\xffO\xffQ"
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif", b"avis")
_UNSUPPORTED = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"8BPS", "a Photoshop"),
    (b"gimp xcf", "a GIMP"),
    (b"%PDF", "a PDF"),
)


def identify(start: bytes) -> str | None:
    """The format of a file by its first bytes: 'png', 'jpeg', 'tiff', 'webp', or None."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    return next((form for magic, form in _SIGNATURES if start.startswith(magic)), None)


def identify_further(start: bytes) -> str | None:
    """The format of a file that is read from disk only: 'jp2', 'heif' (HEIC or AVIF), or None.

    The service refuses these formats: each decoder that it offers is one more that can be attacked.
    """
    if start.startswith((_JPEG_2000, _CODESTREAM)):
        return "jp2"
    return "heif" if start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS else None


def identify_unsupported(start: bytes) -> str | None:
    """The name of a known format that is not read, such as 'a GIF', or None."""
    if start[4:8] == b"ftyp":
        return "a video"
    return next((name for magic, name in _UNSUPPORTED if start.startswith(magic)), None)
