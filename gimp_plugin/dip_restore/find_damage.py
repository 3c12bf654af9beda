"""Filters > Restore > Find Damage: selects the damage that the service finds.

`find_dialog.py` is the window, `detection.py` runs the search at the service, `marks.py` makes a
mask of the found damage.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import buffers
import gi
import marks
import masks
from buffers import pixel_format, read, sample_types
from checks import Refusal, check_exists
from detection import Found, Search
from layers import one_undo_step
from marks import KINDS, Levels
from masks import Rect
from service import Service
from session import Pixels, Progress
from translation import _

gi.require_version("GdkPixbuf", "2.0")
gi.require_version("Gimp", "3.0")
from gi.repository import GdkPixbuf, Gimp  # noqa: E402  # the versions must be named first

MOST_MARKED = 0.1
"""Where more than this share is marked, grain or a pattern is taken for damage."""


# --- The photograph ------------------------------------------------------------------------------


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
                photo_name=image.get_name(),
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


# --- From levels to a selection ------------------------------------------------------------------


class Options:
    """The options of a search, as the dialog or a script gives them."""

    def __init__(self, config: Any) -> None:
        value = config.get_property
        self.sensitivity: float = value("sensitivity")
        self.largest_px: int = value("largest")
        self.adds: bool = value("operation") == "add"
        brightness = value("brightness")
        parity = {"any": (0, 1), "bright": (1,), "dark": (0,)}[brightness]
        self.codes = tuple(
            code for kind, codes in KINDS.items() if value(kind) for code in codes
            if code % 2 in parity
        )  # fmt: skip


def mask_of(levels: Levels, options: Options) -> bytes:
    """The marks that the options ask for, as a binary mask of the layer."""
    mask = marks.marked(levels.only(options.codes), options.sensitivity)
    if options.largest_px and marks.share(mask) <= MOST_MARKED:
        mask = marks.without_larger(mask, levels.width, options.largest_px)
    return mask


def check_marks(mask: bytes) -> None:
    """Check that marks are worth a selection.

    Raises
    ------
    Refusal
        There are none, or so many that something else was taken for damage.
    """
    marked = marks.share(mask)
    if not marked:
        raise Refusal(
            _(
                "No damage was found. A higher sensitivity finds more; or select the damage with "
                "the selection tools."
            )
        )
    if marked > MOST_MARKED:
        raise Refusal(
            _(
                "{share} of the photograph would be selected. Film grain or a printed pattern is "
                "taken for damage: choose a lower sensitivity, or fewer kinds."
            ).format(share=f"{marked:.0%}")
        )


def select_marks(image: Any, photograph: Photograph, mask: bytes, adds: bool) -> None:
    """Select marks, as one step for Undo.

    Raises
    ------
    Refusal
        The photograph was changed meanwhile; the selection stays as it was.
    """
    photograph.check_unchanged(image)
    layer = photograph.layer
    __, left, top = layer.get_offsets()
    place = Rect(left, top, layer.get_width(), layer.get_height())
    if place.cut(Rect(0, 0, image.get_width(), image.get_height())).area == 0:
        raise Refusal(_("The layer lies outside the image. Move it back, then try again."))
    chosen = image.get_selected_layers()
    with one_undo_step(image):
        buffers.select(image, mask, place, Gimp.ChannelOps.ADD if adds else Gimp.ChannelOps.REPLACE)
        image.set_selected_layers(chosen)
    Gimp.displays_flush()


def find_without_window(image: Any, layer: Any, service: Service, config: Any) -> None:
    """Search with GIMP's own progress bar, and select the found damage.

    Raises
    ------
    Refusal, ClientError
    """
    photograph, options = Photograph.read(image, layer), Options(config)
    mask = b""
    Gimp.progress_init(_("Find Damage"))
    for event in Search(service, photograph.request, quickly=False).run():
        if isinstance(event, Found):
            mask = mask_of(photograph.levels(event.png), options)
        elif isinstance(event, Progress):
            Gimp.progress_set_text(event.text)
            Gimp.progress_update(event.fraction or 0.0)
    Gimp.progress_end()
    check_marks(mask)
    select_marks(image, photograph, mask, options.adds)


def find_in_window(
    procedure: Any, config: Any, image: Any, layer: Any, service: Service, parent: Any = None
) -> bool:
    """Show the dialog, and select the damage that the user chose; False if the user cancels.

    Raises
    ------
    Refusal, ClientError
    """
    from find_dialog import ask

    photograph = Photograph.read(image, layer)
    mask = ask(procedure, config, image, photograph, service, parent)
    if mask is None:
        return False
    select_marks(image, photograph, mask, Options(config).adds)
    return True
