"""The metadata of a photo: read from its file, and attached to its result."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import IO, Any

import pyvips

from dip.image_io.photo import Metadata
from dip.image_io.tags import descriptive_tags

_log = logging.getLogger(__name__)

_EXIF_PREFIX = b"Exif\0\0"


def metadata_of(image: Any, form: str, open_source: Callable[[], IO[bytes]]) -> Metadata:
    """The metadata that libvips finds in a file, plus the TIFF tags that libvips ignores.

    Damaged EXIF data is left out with a warning.
    """

    def field(name: str) -> bytes | None:
        return image.get(name) if image.get_typeof(name) else None

    exif = field("exif-data")
    try:
        if form == "tiff":
            with open_source() as file:
                exif = descriptive_tags(file)
        elif exif is not None:
            exif = descriptive_tags(io.BytesIO(exif.removeprefix(_EXIF_PREFIX)))
    except Exception as error:  # hostile tags can raise anything in Pillow; the pixels remain
        _log.warning("its EXIF data is damaged and is left out (%s)", error)
        exif = None
    # libvips reports 1 px/mm for a file without a resolution.
    has_resolution = (image.xres, image.yres) not in ((1.0, 1.0), (0.0, 0.0))
    return Metadata(
        icc=field("icc-profile-data"),
        exif=exif,
        xmp=field("xmp-data"),
        iptc=field("iptc-data"),
        resolution=(image.xres, image.yres) if has_resolution else None,
    )


def with_metadata(image: Any, metadata: Metadata) -> Any:
    """The image with metadata; for TIFF files, `tags.add_tags` adds the EXIF data."""
    image = image.copy()
    if metadata.resolution is not None:
        image = image.copy(xres=metadata.resolution[0], yres=metadata.resolution[1])
    fields = {
        "icc-profile-data": metadata.icc,
        "exif-data": metadata.exif and _EXIF_PREFIX + metadata.exif,
        "xmp-data": metadata.xmp,
        "iptc-data": metadata.iptc,
    }
    for name, value in fields.items():
        if value:
            image.set_type(pyvips.GValue.blob_type, name, value)
    return image
