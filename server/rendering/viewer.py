"""Make one picture for a browser, in a separate process.

`server.rendering.displays` starts a process for each picture, so a decoder that crashes or hangs
harms neither the service nor a running job. The first argument is the request, as JSON. Standard
output is the answer, as JSON.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from dip.errors import DipError, InputError
from dip.image_io import FAILURES, Limits, damaged, decoding, encode_photo, open_photo, read_mask
from dip.image_io.vips import message_of
from dip.samples import to_8_bit
from server.errors import ServiceError
from server.jobs.files import disk_full_is_an_error
from server.jobs.parameters import RawImage
from server.work.codec import photo_from

_JPEG = {"Q": 92, "subsample_mode": "off"}
_PNG = {"compression": 1}  # within one machine, time matters more than size
_SEARCHED_BYTES = 300_000_000
"""Memory of a photo that gets a first answer: the search takes 1.2 GB beside it, measured."""

_SAMPLES = {"uchar": "uint8", "ushort": "uint16", "float": "float32"}


def main() -> int:
    """Handle the request in the first argument."""
    request = json.loads(sys.argv[1])
    try:
        with disk_full_is_an_error():
            answer = MAKERS[request["kind"]](request)
    except ServiceError as error:
        answer = error.body()
    except DipError as error:
        answer = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
    json.dump(answer, sys.stdout)
    return 0


def _show_photo(request: dict[str, Any]) -> dict[str, Any]:
    """Convert a photo while it is decoded, a few rows at a time."""
    limits = Limits(pixels=request["max_pixels"])
    image, form = open_photo(request["source"], limits, "image")
    turned = bool(image.get_typeof("orientation")) and image.get("orientation") >= 5
    about = {
        "media_type": "image/png" if image.hasalpha() else "image/jpeg",
        "width": image.height if turned else image.width,
        "height": image.width if turned else image.height,
        "samples": _SAMPLES[image.format],
        "format": form,
    }
    try:
        with decoding(image, limits):
            if image.get_typeof("icc-profile-data"):
                try:
                    _save(_by_profile(image), request)
                except pyvips.Error:  # the profile does not fit the samples, or the file is damaged
                    image, _ = open_photo(request["source"], limits, "image")
                    _save(_by_levels(image), request)
            else:
                _save(_by_levels(image), request)
    except FAILURES as error:
        refused = damaged(error)
        raise InputError(f"image: {refused.message}", refused.hint) from error
    return about


def _show_mask(request: dict[str, Any]) -> dict[str, Any]:
    """Show a mask as the engine reads it, in 8 bits: white = restore this."""
    limits = Limits(pixels=request["max_pixels"])
    mask = np.atleast_2d(to_8_bit(read_mask(request["source"], limits, "mask")))
    image = pyvips.Image.new_from_memory(
        np.ascontiguousarray(mask).data, mask.shape[1], mask.shape[0], 1, "uchar"
    )
    _save(image.copy(interpretation="b-w"), request)
    return _about_png(*mask.shape)


def _save(image: Any, request: dict[str, Any]) -> None:
    """Save 8-bit levels, upright and reduced."""
    side, target = request["side"], request["target"]
    if side is not None and max(image.width, image.height) > side:
        image = image.thumbnail_image(side, height=side, size="down")  # turns it upright, too
    elif image.get_typeof("orientation") and image.get("orientation") != 1:
        image = image.copy_memory().autorot()  # columns become rows: all pixels are needed
    try:
        if image.hasalpha() or request["kind"] == "mask":
            image.pngsave(target, keep="none", **_PNG)
        else:
            image.jpegsave(target, keep="none", **_JPEG)
    except FAILURES as error:  # of decoding or of writing
        if os.strerror(errno.ENOSPC) in message_of(error):
            raise OSError(errno.ENOSPC, "No space left") from error
        raise


def _draw_example(request: dict[str, Any]) -> dict[str, Any]:
    """Show the damaged photo of `dip demo`."""
    from dip.sample_photo import astronaut, draw_damage

    damage = draw_damage(astronaut())
    Path(request["target"]).write_bytes(encode_photo(damage.photo, "png"))
    return _about_png(*damage.photo.shape[:2])


def _find_levels(request: dict[str, Any]) -> dict[str, Any]:
    """Find the damage of a photo without a network."""
    from dip.detection import detect

    raw = None if request["raw"] is None else RawImage(**request["raw"])
    limits = Limits(pixels=request["max_pixels"], memory=_SEARCHED_BYTES)
    page = None if request["page"] is None else int(request["page"]) - 1
    photo = photo_from(Path(request["source"]), raw, limits, page)
    damage = detect(photo.pixels, quick=True)
    Path(request["target"]).write_bytes(damage.to_png())
    return _about_png(*damage.level.shape)


def _draw_marks(request: dict[str, Any]) -> dict[str, Any]:
    """Make a mask of levels: white where a pixel is marked."""
    from dip.detection import DamageMap

    damage = DamageMap.from_png(Path(request["source"]).read_bytes())
    marked = damage.mask(request["sensitivity"], request["kinds"], request["largest"])
    Path(request["target"]).write_bytes(encode_photo(marked.astype(np.uint8) * 255, "png"))
    return _about_png(*marked.shape)


def _about_png(height: int, width: int) -> dict[str, Any]:
    return {
        "media_type": "image/png",
        "width": width,
        "height": height,
        "samples": "uint8",
        "format": "png",
    }


def _by_levels(image: Any) -> Any:
    """8-bit levels in the photo's own colours, as an image of libvips."""
    if image.format != "uchar":
        image = _cleaned(image) * (255.0 if image.format == "float" else 255.0 / 65535.0)
        image = image.rint().cast("uchar")  # values outside are clipped
    return image.copy(interpretation="b-w" if image.bands <= 2 else "srgb")


def _by_profile(image: Any) -> Any:
    """8-bit sRGB, by the photo's colour profile."""
    if image.format == "float":  # libvips needs integers; 16 bits lose nothing visible
        image = (_cleaned(image) * 65535.0).rint().cast("ushort")
    gray, deep = image.bands <= 2, image.format == "ushort"
    meaning = ("grey16" if deep else "b-w") if gray else ("rgb16" if deep else "srgb")
    image = image.copy(interpretation=meaning)
    return image.icc_transform("srgb", embedded=True, intent="relative", depth=8)


def _cleaned(image: Any) -> Any:
    """Zero in place of samples that are no number."""
    return (image == image).ifthenelse(image, 0) if image.format == "float" else image


MAKERS = {
    "photo": _show_photo,
    "mask": _show_mask,
    "example": _draw_example,
    "levels": _find_levels,
    "marks": _draw_marks,
}


if __name__ == "__main__":
    sys.exit(main())
