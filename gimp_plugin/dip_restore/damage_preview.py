"""The photograph with the marks over it: all of it, or a part at its full size."""

from __future__ import annotations

from typing import Any

import gi
import marks
import masks
from layers import render
from masks import Rect
from translation import _

gi.require_version("GdkPixbuf", "2.0")
gi.require_version("Gtk", "3.0")
from gi.repository import GdkPixbuf, GLib, Gtk  # noqa: E402  # the versions must be named first

WIDTH_PX, HEIGHT_PX = 560, 380
_LARGEST_SCALE = 6
_COLOUR = (190, 255, 0)
"""Seen on red, on blue and on gray; no photograph has it in its shadows or its skies."""
_OPACITY = 210


class DamagePreview:
    """A picture in a window.

    Parameters
    ----------
    layer : Gimp.Layer

    Attributes
    ----------
    widget : Gtk.Widget
    """

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._whole = Rect(0, 0, layer.get_width(), layer.get_height())
        ratio = max(self._whole.width / WIDTH_PX, self._whole.height / HEIGHT_PX)
        self._fits = ratio <= 1
        # Marks are reduced by a whole number; the picture is scaled by the remaining factor.
        self._factor = max(1, int(ratio))
        self._part: Rect | None = None  # shown at full size; None for the whole photograph
        self._photographs: dict[Rect | None, Any] = {}
        self._mask: bytes | None = None
        self._scale = 1.0
        self._image = Gtk.Image(halign=Gtk.Align.START, valign=Gtk.Align.START)
        self._clickable = Gtk.EventBox(halign=Gtk.Align.CENTER)
        if not self._fits:
            self._clickable.set_tooltip_text(
                _("Click to see a part at its full size; click again to see all.")
            )
        self._clickable.add(self._image)
        self._clickable.connect("button-press-event", self._on_click)
        self._shown = Gtk.CheckButton.new_with_mnemonic(_("Show the _marks"))
        self._shown.set_active(True)
        self._shown.connect("toggled", lambda button: self.draw())
        self.widget = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=6)
        self.widget.pack_start(self._clickable, False, False, 0)
        self.widget.pack_start(self._shown, False, False, 0)
        self.draw()

    def show(self, mask: bytes) -> None:
        """Show the marks of a binary mask of the layer."""
        self._mask = mask
        self.draw()

    def draw(self) -> None:
        if not self._layer.is_valid():
            return
        picture = self._photograph()
        if self._mask is not None and self._shown.get_active():
            picture = picture.copy()
            _cover(picture, *self._shown_marks(self._mask))
        width, height = picture.get_width(), picture.get_height()
        self._scale = min(WIDTH_PX / width, HEIGHT_PX / height)
        if self._scale > 1:  # whole pixels of a small photograph
            self._scale = min(int(self._scale), _LARGEST_SCALE)
        if self._part is None and self._scale != 1:
            how = GdkPixbuf.InterpType.NEAREST if self._fits else GdkPixbuf.InterpType.BILINEAR
            width, height = (max(1, round(side * self._scale)) for side in (width, height))
            picture = picture.scale_simple(width, height, how)
        self._image.set_from_pixbuf(picture)

    def _photograph(self) -> Any:
        if self._part not in self._photographs:
            part = self._part or self._whole
            most = max(part.width, part.height)
            data, width, height = render(
                self._layer, part, most if self._part else -(-most // self._factor)
            )
            self._photographs[self._part] = GdkPixbuf.Pixbuf.new_from_bytes(
                GLib.Bytes.new(data), GdkPixbuf.Colorspace.RGB, False, 8, width, height, 3 * width
            )
        return self._photographs[self._part]

    def _shown_marks(self, mask: bytes) -> tuple[bytes, int]:
        if self._part is not None:
            return masks.crop(mask, self._whole.width, self._part), self._part.width
        return marks.reduced(mask, self._whole.width, self._factor)

    def _on_click(self, widget: Any, event: Any) -> bool:
        if not self._fits:
            if self._part is None:
                x, y = (round(at / self._scale * self._factor) for at in (event.x, event.y))
                width = min(WIDTH_PX, self._whole.width)
                height = min(HEIGHT_PX, self._whole.height)
                left = min(max(0, x - width // 2), self._whole.width - width)
                top = min(max(0, y - height // 2), self._whole.height - height)
                self._part = Rect(left, top, width, height)
            else:
                self._photographs.pop(self._part)
                self._part = None
            self.draw()
        return True


def _cover(picture: Any, mask: bytes, width: int) -> None:
    """Draw the marks of a binary mask over a picture."""
    count = len(mask)
    overlay = bytearray(4 * count)
    for place, value in enumerate(_COLOUR):
        overlay[place::4] = bytes([value]) * count
    overlay[3::4] = mask
    covering = GdkPixbuf.Pixbuf.new_from_bytes(
        GLib.Bytes.new(bytes(overlay)),
        GdkPixbuf.Colorspace.RGB, True, 8, width, count // width, 4 * width,
    )  # fmt: skip
    covering.composite(
        picture,
        0, 0,
        min(width, picture.get_width()), min(count // width, picture.get_height()),
        0, 0, 1, 1, GdkPixbuf.InterpType.NEAREST, _OPACITY,
    )  # fmt: skip
