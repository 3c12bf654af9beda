"""Make one picture for a browser, in a separate process.

`server.rendering.displays` starts a process for each picture, so a decoder that crashes or hangs
harms neither the service nor a running job. The first argument is the request, as JSON. Standard
output is the answer, as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from dip.errors import DipError
from dip.image_io import Limits, decode_mask, decode_photo, encode_photo
from dip.samples import to_8_bit

_JPEG = {"Q": 92, "subsample_mode": "off"}
_PNG = {"compression": 1}  # within one machine, time matters more than size

Levels = NDArray[np.uint8]


def main() -> int:
    """Handle the request in the first argument."""
    request = json.loads(sys.argv[1])
    try:
        answer = MAKERS[request["kind"]](request)
    except DipError as error:
        answer = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
    json.dump(answer, sys.stdout)
    return 0


def _show_photo(request: dict[str, Any]) -> dict[str, Any]:
    photo = decode_photo(
        Path(request["source"]).read_bytes(), "image", Limits(pixels=request["max_pixels"])
    )
    pixels = np.atleast_2d(photo.pixels)  # a single gray pixel has no dimensions
    height, width = pixels.shape[:2]
    image = _as_srgb(pixels, photo.metadata.icc)
    if request["side"] is not None and max(height, width) > request["side"]:
        image = image.thumbnail_image(request["side"], height=request["side"], size="down")
    alpha = image.hasalpha()
    data = image.pngsave_buffer(**_PNG) if alpha else image.jpegsave_buffer(**_JPEG)
    Path(request["target"]).write_bytes(data)
    return {
        "media_type": "image/png" if alpha else "image/jpeg",
        "width": width,
        "height": height,
        "samples": pixels.dtype.name,
        "format": photo.format,
    }


def _show_mask(request: dict[str, Any]) -> dict[str, Any]:
    """Show a mask as the engine reads it, in 8 bits: white = restore this."""
    data, limits = Path(request["source"]).read_bytes(), Limits(pixels=request["max_pixels"])
    mask = np.atleast_2d(to_8_bit(decode_mask(data, "mask", limits)))
    image = pyvips.Image.new_from_memory(
        np.ascontiguousarray(mask).data, mask.shape[1], mask.shape[0], 1, "uchar"
    )
    image = image.copy(interpretation="b-w")
    if request["side"] is not None and max(mask.shape) > request["side"]:
        image = image.thumbnail_image(request["side"], height=request["side"], size="down")
    Path(request["target"]).write_bytes(image.pngsave_buffer(**_PNG))
    return {
        "media_type": "image/png",
        "width": mask.shape[1],
        "height": mask.shape[0],
        "samples": "uint8",
        "format": "png",
    }


def _draw_example(request: dict[str, Any]) -> dict[str, Any]:
    """Show the damaged photo of `dip demo`."""
    from dip.sample_photo import astronaut, draw_damage

    damage = draw_damage(astronaut())
    Path(request["target"]).write_bytes(encode_photo(damage.photo, "png"))
    height, width = damage.photo.shape[:2]
    return {
        "media_type": "image/png",
        "width": width,
        "height": height,
        "samples": "uint8",
        "format": "png",
    }


def _as_srgb(pixels: NDArray[Any], icc: bytes | None) -> Any:
    """Convert a photo to 8-bit sRGB, as a libvips image."""
    if icc is not None:
        try:
            return _transformed(pixels, icc)
        except pyvips.Error:
            pass  # the profile does not fit the samples: show them unconverted
    levels: Levels = to_8_bit(pixels)
    bands = 1 if levels.ndim == 2 else levels.shape[2]
    image = pyvips.Image.new_from_memory(
        np.ascontiguousarray(levels).data, levels.shape[1], levels.shape[0], bands, "uchar"
    )
    return image.copy(interpretation="b-w" if bands <= 2 else "srgb")


def _transformed(pixels: NDArray[Any], icc: bytes) -> Any:
    if pixels.dtype == np.float32:  # libvips needs integers; 16 bits lose nothing visible
        pixels = np.rint(np.clip(np.nan_to_num(pixels), 0, 1) * 65535).astype(np.uint16)
    bands = 1 if pixels.ndim == 2 else pixels.shape[2]
    image = pyvips.Image.new_from_memory(
        np.ascontiguousarray(pixels).data,
        pixels.shape[1],
        pixels.shape[0],
        bands,
        "uchar" if pixels.dtype == np.uint8 else "ushort",
    )
    gray, deep = bands <= 2, pixels.dtype == np.uint16
    meaning = ("grey16" if deep else "b-w") if gray else ("rgb16" if deep else "srgb")
    image = image.copy(interpretation=meaning)
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    shown = image.icc_transform("srgb", embedded=True, intent="relative", depth=8)
    shown = shown.copy_memory()  # so that errors of the transform occur here, not while writing
    shown.remove("icc-profile-data")
    return shown


MAKERS = {
    "photo": _show_photo,
    "mask": _show_mask,
    "example": _draw_example,
}


if __name__ == "__main__":
    sys.exit(main())
