"""Pixels of layers and channels as bytes, in and out.

As in all that touches GIMP, geometry is GIMP's: x, y, in pixels of the layer or channel.
"""

from __future__ import annotations

from typing import Any

import gi
import masks
from masks import Rect

gi.require_version("Babl", "0.1")
gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from gi.repository import Babl, Gegl, Gimp  # noqa: E402  # the versions must be named first


def read(drawable: Any, part: Rect, format_name: str) -> bytes:
    """The samples of a part of a layer, mask or channel, row by row; zeros beyond its edges."""
    rectangle = Gegl.Rectangle.new(*part)
    data: bytes = drawable.get_buffer().get(rectangle, 1.0, format_name, Gegl.AbyssPolicy.NONE)
    return data


def write(buffer: Any, part: Rect, format_name: str, data: bytes) -> None:
    """Write samples as `read` gives them; ValueError where there are not as many as it takes."""
    expected = part.area * Babl.format_get_bytes_per_pixel(Babl.format(format_name))
    if len(data) != expected:  # GEGL would ignore it without a word
        raise ValueError(f"{len(data)} bytes for {part} of {format_name}, which takes {expected}")
    buffer.set(Gegl.Rectangle.new(*part), format_name, data)
    buffer.flush()


def select(image: Any, mask: bytes, part: Rect, operation: Any = None) -> None:
    """Select what a mask says, by way of a channel."""
    channel = Gimp.Channel.new(
        image, "damage", image.get_width(), image.get_height(), 100.0, Gegl.Color.new("black")
    )
    image.insert_channel(channel, None, 0)
    buffer = channel.get_buffer()
    buffer.clear(Gegl.Rectangle.new(0, 0, image.get_width(), image.get_height()))
    frame = Rect(0, 0, image.get_width(), image.get_height())
    inside = part.cut(frame)
    if inside != part:  # a layer may reach beyond its image
        mask = masks.crop(
            mask, part.width, inside._replace(x=inside.x - part.x, y=inside.y - part.y)
        )
    write(buffer, inside, "Y u8", mask)
    image.select_item(operation or Gimp.ChannelOps.REPLACE, channel)
    image.remove_channel(channel)


def samples_of(image: Any) -> tuple[str, str]:
    """How samples travel: for the service, and for GEGL. Never with less than the image has."""
    precision = image.get_precision().value_nick
    if precision in ("u8-non-linear", "u8-perceptual"):
        return "uint8", "u8"
    if precision.startswith(("u8", "u16")):
        return "uint16", "u16"
    return "float32", "float"


def format_for(layer: Any, alpha: bool, sample_type: str) -> str:
    """The format of a layer's samples, gray or colour, as `samples_of` says they travel."""
    colours = "Y'" if layer.is_gray() else "R'G'B'"
    return format_of(layer, f"{colours}{'A' if alpha else ''} {sample_type}")


def format_of(layer: Any, name: str) -> str:
    """A format in the layer's own colour space: plain names mean sRGB, and would change colours."""
    space_name: str = Babl.get_name(Babl.format_with_space(name, layer.get_format()))
    return space_name
