"""A layer as it is sent to the service for a search of its damage."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import gi
import masks
from buffers import pixel_format, read, sample_types
from checks import Refusal, check_exists
from marks import Levels
from masks import Rect
from session import Pixels
from translation import _

gi.require_version("GdkPixbuf", "2.0")
from gi.repository import GdkPixbuf  # noqa: E402  # the version must be named first


@dataclass(frozen=True)
class Photograph:
    """A layer as it was sent to the service.

    Parameters
    ----------
    layer : Gimp.Layer
    request : Pixels
    transparent : bytes or None
        A binary mask of the pixels that cannot be seen at all; None if there are none.
    """

    layer: Any
    request: Pixels
    transparent: bytes | None

    @classmethod
    def read(cls, image: Any, layer: Any) -> Photograph:
        """Read all of a layer."""
        transparent = None
        whole = Rect(0, 0, layer.get_width(), layer.get_height())
        if layer.has_alpha():
            opaque = read(layer, whole, "A u8").translate(bytes([0]) + bytes([255]) * 255)
            if opaque.count(0):
                transparent = opaque.translate(masks.INVERT)
        samples, pixels = _pixels(image, layer)
        return cls(
            layer=layer,
            request=Pixels(
                width=whole.width,
                height=whole.height,
                channels=1 if layer.is_gray() else 3,
                samples=samples,
                pixels=pixels,
                photo_name=photo_name(image),
            ),
            transparent=transparent,
        )

    def levels(self, png: bytes) -> Levels:
        """The damage that the service has found, without transparent pixels."""
        loader = GdkPixbuf.PixbufLoader()
        loader.write(png)
        loader.close()
        found = loader.get_pixbuf()
        width, height, stride = found.get_width(), found.get_height(), found.get_rowstride()
        data = found.get_pixels()
        if stride != 3 * width:
            data = b"".join(
                data[start : start + 3 * width] for start in range(0, height * stride, stride)
            )
        levels = Levels(width, height, data[0::3], data[1::3])
        return levels if self.transparent is None else levels.without(self.transparent)

    def check_unchanged(self, image: Any) -> None:
        """Check that the layer is still as it was sent.

        Raises
        ------
        Refusal
        """
        check_exists(image, self.layer)
        size = self.layer.get_width(), self.layer.get_height()
        if size == (self.request.width, self.request.height):
            samples, pixels = _pixels(image, self.layer)
            if samples == self.request.samples and _digest(pixels) == _digest(self.request.pixels):
                return
        raise Refusal(
            _(
                "The photograph was changed while its damage was searched for, so that the marks "
                "may be in the wrong places. Nothing was selected; find the damage again."
            )
        )


def _pixels(image: Any, layer: Any) -> tuple[str, bytes]:
    """The samples of a layer without alpha; 16 bits are enough to find damage."""
    samples, sample_type = sample_types(image)
    if sample_type == "float":
        samples, sample_type = "uint16", "u16"
    whole = Rect(0, 0, layer.get_width(), layer.get_height())
    return samples, read(layer, whole, pixel_format(layer, False, sample_type))


def _digest(pixels: bytes) -> bytes:
    return hashlib.sha256(pixels).digest()


def photo_name(image: Any) -> str:
    """The name of the photograph's file, else GIMP's own name, such as `[Untitled]`."""
    file = image.get_file() or image.get_imported_file() or image.get_exported_file()
    return str(file.get_basename() if file else image.get_name())
