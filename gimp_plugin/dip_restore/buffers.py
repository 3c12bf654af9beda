"""Reads and writes pixels of layers, layer masks and selections as bytes.

Geometry is GIMP's: x, y, in pixels of the layer or channel.
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
    """Read the samples of a rectangle, row by row; zeros beyond the drawable's edges."""
    rectangle = Gegl.Rectangle.new(*part)
    data: bytes = drawable.get_buffer().get(rectangle, 1.0, format_name, Gegl.AbyssPolicy.NONE)
    return data


def write(buffer: Any, part: Rect, format_name: str, data: bytes) -> None:
    """Write the samples of a rectangle; ValueError if their number is wrong."""
    expected = part.area * Babl.format_get_bytes_per_pixel(Babl.format(format_name))
    if len(data) != expected:  # GEGL ignores such data silently
        raise ValueError(f"{part} of {format_name} takes {expected} bytes, not {len(data)}")
    buffer.set(Gegl.Rectangle.new(*part), format_name, data)
    buffer.flush()


def select(
    image: Any,
    mask: bytes,
    part: Rect,
    operation: Gimp.ChannelOps = Gimp.ChannelOps.REPLACE,
) -> None:
    """Replace the selection of an image with a mask of a rectangle, or change it by the mask."""
    frame = Rect(0, 0, image.get_width(), image.get_height())
    channel = Gimp.Channel.new(
        image, "damage", frame.width, frame.height, 100.0, Gegl.Color.new("black")
    )
    image.insert_channel(channel, None, 0)
    buffer = channel.get_buffer()
    buffer.clear(Gegl.Rectangle.new(*frame))
    inside = part.cut(frame)
    if inside != part:  # a layer may reach beyond its image
        mask = masks.crop(mask, part.width, inside.moved(-part.x, -part.y))
    write(buffer, inside, "Y u8", mask)
    image.select_item(operation, channel)
    image.remove_channel(channel)


def sample_types(image: Any) -> tuple[str, str]:
    """The sample type for the service and for GEGL; never less precise than the image."""
    precision = image.get_precision().value_nick
    if precision in ("u8-non-linear", "u8-perceptual"):
        return "uint8", "u8"
    if precision.startswith(("u8", "u16")):
        return "uint16", "u16"
    return "float32", "float"


def pixel_format(layer: Any, alpha: bool, sample_type: str) -> str:
    """The GEGL format of a layer's pixels, gray or colour, with samples of a type."""
    colours = "Y'" if layer.is_gray() else "R'G'B'"
    return in_own_space(layer, f"{colours}{'A' if alpha else ''} {sample_type}")


def in_own_space(layer: Any, format_name: str) -> str:
    """A format in the layer's own colour space; plain names mean sRGB and change the colours."""
    own: str = Babl.get_name(Babl.format_with_space(format_name, layer.get_format()))
    return own
