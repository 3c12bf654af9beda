"""The first bytes that identify the formats of image files; the standard library alone."""

from __future__ import annotations

SIGNATURE_BYTES = 16
"""Number of bytes at the start of a file that identify its format."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SIGNATURES = (
    (PNG_SIGNATURE, "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),  # BigTIFF
    (b"MM\0+", "tiff"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "jp2"),
    (b"\xffO\xffQ", "jp2"),  # a bare codestream
)
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif", b"avis")
_UNSUPPORTED = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"8BPS", "a Photoshop"),
    (b"gimp xcf", "a GIMP"),
    (b"%PDF", "a PDF"),
)


def identify(start: bytes) -> str | None:
    """The format of a file by its first bytes, or None.

    'png', 'jpeg', 'tiff', 'webp', 'jp2' (JPEG 2000), or 'heif' (HEIC or AVIF).
    """
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    if start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS:
        return "heif"
    return next((form for magic, form in _SIGNATURES if start.startswith(magic)), None)


def identify_unsupported(start: bytes) -> str | None:
    """The name of a known format that is not read, such as 'a GIF', or None."""
    if start[4:8] == b"ftyp":
        return "a video"
    return next((name for magic, name in _UNSUPPORTED if start.startswith(magic)), None)
