"""Finds the damage in a layer: in the selection, its transparency or its layer mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gi
import masks
from buffers import read, select
from checks import LAYER_MASK, SELECTION, TRANSPARENCY, Refusal
from masks import Rect

gi.require_version("Gimp", "3.0")
from gi.repository import Gimp  # noqa: E402  # the version must be named first

_NO_DAMAGE = {
    SELECTION: "Nothing is selected. Select the damage first, with any of the selection tools; "
    "a little too much is better than too little.",
    TRANSPARENCY: "Nothing in this layer is transparent. Erase the damage first, or select it.",
    LAYER_MASK: "The layer mask hides nothing. Paint the damage black in it first.",
}


def likely_damage(image: Any, layer: Any) -> str:
    """Where the damage is, judging by what there is."""
    if Gimp.Selection.is_empty(image):
        for source in (TRANSPARENCY, LAYER_MASK):
            try:
                find_damage(image, layer, source, 0)
            except Refusal:
                continue
            return source
    return SELECTION


@dataclass(frozen=True)
class Damage:
    """What is to be restored; one byte a pixel, 255 where all of it is damage.

    Parameters
    ----------
    part : Rect
        What is sent: the damage with its surroundings.
    box : Rect
        The damage alone.
    coverage : bytes
        Of `part`: what is to be filled.
    unknown : bytes
        Of `part`: what is not to be learnt from; more, where only some of the damage is selected.
    """

    part: Rect
    box: Rect
    coverage: bytes
    unknown: bytes

    @property
    def in_words(self) -> str:
        size = masks.damaged_pixels(self.coverage)
        return f"{size:,} pixels, within {self.box.width} × {self.box.height}"


def find_damage(image: Any, layer: Any, source: str, grow_px: int) -> Damage:
    """Find what is to be restored, and as much around it as the engine will look at.

    Raises
    ------
    Refusal
        There is none, or nothing but damage.
    """
    whole = Rect(0, 0, layer.get_width(), layer.get_height())
    box = _box_of(image, layer, source, whole).grown(grow_px, whole)
    coverage, _ = _coverage(image, layer, source, box, grow_px)
    inner = masks.bounds(coverage.translate(masks.CLEARLY), box.width)
    if inner is None:
        raise Refusal(_NO_DAMAGE[source])
    tight = Rect(box.x + inner.x, box.y + inner.y, inner.width, inner.height)
    margin = masks.context_px(coverage, box.width, tight.touches(whole))
    while True:
        part = tight.grown(margin, whole)
        coverage, unknown = _coverage(image, layer, source, part, grow_px)
        known = masks.known_pixels(unknown)
        if part == whole or known >= part.area / 8:  # as the engine does
            break
        margin *= 2
    if known < masks.FEWEST_KNOWN:
        raise Refusal(
            "All of the layer is marked as damage. Leave some of the photograph around it: "
            "that is what the damage is filled from."
        )
    return Damage(part, tight, coverage, unknown)


def _box_of(image: Any, layer: Any, source: str, whole: Rect) -> Rect:
    """A rectangle that holds all damage, as it is before it is grown."""
    _, left, top = layer.get_offsets()
    box = whole.cut(Rect(-left, -top, image.get_width(), image.get_height()))  # what one sees
    if box.area == 0:
        raise Refusal("The layer lies outside the image. Move it back, then try again.")
    if not Gimp.Selection.is_empty(image):
        meet, *place = layer.mask_intersect()
        if not meet:
            raise Refusal("The selection lies outside the layer. Select damage inside it.")
        box = Rect(*place)
    elif source == SELECTION:
        raise Refusal(_NO_DAMAGE[SELECTION])
    if source == TRANSPARENCY and not layer.has_alpha():
        raise Refusal(
            "This layer has no transparency: it has no alpha channel. Select the damage instead."
        )
    if source == LAYER_MASK and layer.get_mask() is None:
        raise Refusal("This layer has no layer mask. Add one and paint the damage black in it.")
    if source == SELECTION:
        return box
    inner = masks.bounds(_hidden(layer, source, box).translate(masks.CLEARLY), box.width)
    if inner is None:
        raise Refusal(_NO_DAMAGE[source])
    return Rect(box.x + inner.x, box.y + inner.y, inner.width, inner.height)


def _coverage(image: Any, layer: Any, source: str, part: Rect, grow_px: int) -> tuple[bytes, bytes]:
    """Of a part of the layer: what is to be filled, and what is not to be learnt from."""
    selected = None
    if not Gimp.Selection.is_empty(image):
        _, left, top = layer.get_offsets()
        on_image = part._replace(x=part.x + left, y=part.y + top)
        selected = read(image.get_selection(), on_image, "Y u8")
    if source == SELECTION:
        assert selected is not None
        grown = _combined(selected, None, part, grow_px) if grow_px else selected
        return grown, grown
    # All or nothing: what is half transparent must not stay so.
    hidden = _hidden(layer, source, part).translate(masks.CLEARLY)
    unknown = _combined(hidden, None, part, grow_px) if grow_px else hidden
    if selected is None:
        return unknown, unknown
    return _combined(hidden, selected.translate(masks.CLEARLY), part, grow_px), unknown


def _hidden(layer: Any, source: str, part: Rect) -> bytes:
    if source == TRANSPARENCY:
        return read(layer, part, "A u8").translate(masks.INVERTED)
    return read(layer.get_mask(), part, "Y u8").translate(masks.INVERTED)


def _combined(damage: bytes, within: bytes | None, part: Rect, grow_px: int) -> bytes:
    """Damage, where it is `within`, grown; worked out on an image that nobody sees."""
    whole = Rect(0, 0, part.width, part.height)
    scratch = Gimp.Image.new(part.width, part.height, Gimp.ImageBaseType.GRAY)
    try:
        select(scratch, damage, whole)
        if within is not None:
            select(scratch, within, whole, Gimp.ChannelOps.INTERSECT)
        if grow_px and not Gimp.Selection.is_empty(scratch):
            Gimp.Selection.grow(scratch, grow_px)
        return read(scratch.get_selection(), whole, "Y u8")
    finally:
        scratch.delete()
