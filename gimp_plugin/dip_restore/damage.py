"""Finds the damage of a layer: in the selection, in its transparency or in its layer mask.

`find_damage` reads the pixels to fill once. For transparency and layer masks it also reads, once,
which pixels around them are damaged as well.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gi
import marks
import masks
from buffers import read, select
from checks import LAYER_MASK, SELECTION, TRANSPARENCY, Refusal
from dip_rules import FEWEST_KNOWN, has_enough_context, may_be_inverted
from estimate import reach_px
from masks import Rect
from translation import _, ngettext, number, percent, whole_percent

gi.require_version("Gimp", "3.0")
from gi.repository import Gimp  # noqa: E402  # the version must be named first

_MOST_COUNTED = 0.1
"""Spots are counted up to this share of the layer: more take their time, and are not read."""

_NO_DAMAGE = {
    SELECTION: _(
        "Nothing is selected. Select the damage with any of the selection tools; "
        "better a little too much than too little."
    ),
    TRANSPARENCY: _("Nothing in this layer is transparent. Erase the damage, or select it."),
    LAYER_MASK: _("The layer mask hides nothing. Paint the damage black in the layer mask."),
}
_WRONG_WAY_ROUND = {
    SELECTION: _(
        "Is the selection the wrong way round? The selected pixels are replaced, the others "
        "stay. Select > Invert exchanges them."
    ),
    LAYER_MASK: _(
        "Is the layer mask the wrong way round? The pixels that it hides are replaced, the "
        "others stay. Colors > Invert, on the layer mask, exchanges them."
    ),
}


@dataclass(frozen=True)
class Damage:
    """The damage of a layer with its surroundings, in pixels of the layer.

    Parameters
    ----------
    box : Rect
        The damage alone.
    crop : Rect
        The damage with the surroundings that the engine uses.
    soft_mask : bytes
        Of `crop`: the pixels to fill; 255 where the whole pixel is replaced.
    mask : bytes
        Of `crop`: the pixels that the network must not learn from. These are more than the pixels
        to fill if only some of the damage is selected.
    doubt : str
        A question for the user where so much is marked that it may be the wrong way round; else
        empty. Transparent pixels are never in doubt.
    layer_px : int
        The number of pixels of the layer.
    """

    box: Rect
    crop: Rect
    soft_mask: bytes
    mask: bytes
    doubt: str
    layer_px: int

    @cached_property
    def near_px(self) -> int:
        """The number of pixels near to the damage, which cost time."""
        return reach_px(self.mask, self.crop.width)

    @cached_property
    def description(self) -> str:
        """How much is marked, in a sentence."""
        count = masks.damaged_pixels(self.soft_mask)
        share = count / self.layer_px
        if share > _MOST_COUNTED:
            return _("{share} of the photograph is marked.").format(share=percent(share))
        binary = self.soft_mask.translate(masks.TO_BINARY)
        spots = len(marks.boxes(binary, self.crop.width))
        return ngettext(
            "{count} mark, {share} of the photograph.",
            "{count} marks, {share} of the photograph.",
            spots,
        ).format(count=number(spots), share=percent(share))


class DamageFinder:
    """Finds the damage of a layer for a dialog: pixels are read once, and after `refresh`.

    Parameters
    ----------
    image, layer : Gimp.Image, Gimp.Layer
    """

    def __init__(self, image: Any, layer: Any) -> None:
        self._image, self._layer = image, layer
        self._read: dict[str, tuple[Rect, bytes]] = {}
        self._found: dict[tuple[str, int], Damage] = {}

    def find(self, source: str, grow_px: int) -> Damage:
        """Find the damage as `find_damage` does.

        Raises
        ------
        Refusal
        """
        key = source, grow_px
        if key not in self._found:
            if source not in self._read:
                self._read[source] = _pixels_to_fill(self._image, self._layer, source)
            self._found[key] = _damage(self._layer, source, grow_px, *self._read[source])
        return self._found[key]

    def refresh(self) -> None:
        """Forget the damage that has changed since it was read."""
        for source, before in list(self._read.items()):
            now = None
            if source == SELECTION:  # else pixels around may have changed, too
                with suppress(Refusal):
                    now = _pixels_to_fill(self._image, self._layer, source)
            if now == before:
                continue
            del self._read[source]
            if now is not None:
                self._read[source] = now
            self._found = {key: each for key, each in self._found.items() if key[0] != source}

    def likely_source(self, preferred: str) -> str:
        """The first source that holds damage, the preferred one before the others."""
        for source in (preferred, SELECTION, TRANSPARENCY, LAYER_MASK):
            with suppress(Refusal):
                self.find(source, 0)
                return source
        return SELECTION


def find_damage(image: Any, layer: Any, source: str, grow_px: int = 0) -> Damage:
    """Find the pixels to fill, and the surroundings that the engine will use.

    Parameters
    ----------
    image, layer : Gimp.Image, Gimp.Layer
    source : str
        SELECTION, TRANSPARENCY or LAYER_MASK.
    grow_px : int
        The damage is grown by this many pixels.

    Raises
    ------
    Refusal
        There is no damage, or there is nothing else.
    """
    area, soft_mask = _pixels_to_fill(image, layer, source)
    return _damage(layer, source, grow_px, area, soft_mask)


def _whole(layer: Any) -> Rect:
    return Rect(0, 0, layer.get_width(), layer.get_height())


def _damage(layer: Any, source: str, grow_px: int, area: Rect, soft_mask: bytes) -> Damage:
    """The damage in an area, grown, with its surroundings."""
    whole = _whole(layer)
    if grow_px:
        grown = area.grown(grow_px, whole)
        area, soft_mask = grown, grow(masks.pad(soft_mask, area, grown), grown, grow_px)
    box, soft_mask = _tighten(soft_mask, area, source)
    margin_px = masks.context_px(soft_mask, box.width, box.touches(whole))
    while True:
        crop = box.grown(margin_px, whole)
        padded = masks.pad(soft_mask, box, crop)
        mask = padded if source == SELECTION else _all_damage(layer, source, crop, grow_px)
        known = masks.known_pixels(mask)
        if crop == whole or has_enough_context(known, crop.area):
            break
        margin_px *= 2
    if known < FEWEST_KNOWN:
        raise Refusal(
            _(
                "Nearly all of the layer is marked as damage. Leave some of the photograph around "
                "it: the damage is filled from the rest of the photograph."
            )
        )
    return Damage(box, crop, padded, mask, _doubt(padded, whole, source), whole.area)


def _doubt(soft_mask: bytes, whole: Rect, source: str) -> str:
    count = masks.damaged_pixels(soft_mask)
    if source == TRANSPARENCY or not may_be_inverted(count, whole.area):
        return ""
    text = _("{share} of the layer is marked as damage.").format(
        share=whole_percent(count / whole.area)
    )
    return f"{text} {_WRONG_WAY_ROUND[source]}"


def _pixels_to_fill(image: Any, layer: Any, source: str) -> tuple[Rect, bytes]:
    """The damage that is selected and visible, not grown: an area, and the soft mask of it."""
    area = _searched_area(image, layer, source, _whole(layer))
    selected = None
    if not Gimp.Selection.is_empty(image):
        __, left, top = layer.get_offsets()
        selected = read(image.get_selection(), area.moved(left, top), "Y u8")
    if source == SELECTION:
        assert selected is not None
        return area, selected
    hidden = _hidden(layer, source, area)
    if selected is not None:
        hidden = masks.intersection(hidden, selected.translate(masks.TO_BINARY))
    return _tighten(hidden, area, source)


def _searched_area(image: Any, layer: Any, source: str, whole: Rect) -> Rect:
    """A rectangle of the layer that contains all damage to be filled."""
    __, left, top = layer.get_offsets()
    visible = whole.cut(Rect(-left, -top, image.get_width(), image.get_height()))
    if visible.area == 0:
        raise Refusal(_("The layer lies outside the image. Move it back, then try again."))
    if source == TRANSPARENCY and not layer.has_alpha():
        raise Refusal(
            _("This layer has no transparency: it has no alpha channel. Select the damage instead.")
        )
    if source == LAYER_MASK and layer.get_mask() is None:
        raise Refusal(_("This layer has no layer mask. Add one and paint the damage black in it."))
    if Gimp.Selection.is_empty(image):
        if source == SELECTION:
            raise Refusal(_NO_DAMAGE[SELECTION])
        return visible
    meets, *rectangle = layer.mask_intersect()
    if not meets:
        raise Refusal(_("The selection lies outside the layer. Select damage inside the layer."))
    return Rect(*rectangle)


def _tighten(soft_mask: bytes, area: Rect, source: str) -> tuple[Rect, bytes]:
    """Reduce a soft mask to the smallest box around its damage."""
    inner = masks.bounds(soft_mask.translate(masks.TO_BINARY), area.width)
    if inner is None:
        raise Refusal(_NO_DAMAGE[source])
    return inner.moved(area.x, area.y), masks.crop(soft_mask, area.width, inner)


def _all_damage(layer: Any, source: str, crop: Rect, grow_px: int) -> bytes:
    """The damage of a rectangle, selected or not, grown."""
    hidden = _hidden(layer, source, crop)
    return grow(hidden, crop, grow_px) if grow_px else hidden


def _hidden(layer: Any, source: str, area: Rect) -> bytes:
    """The hidden pixels as a binary mask: a half transparent pixel must not stay so."""
    if source == TRANSPARENCY:
        alpha = read(layer, area, "A u8")
    else:
        alpha = read(layer.get_mask(), area, "Y u8")
    return alpha.translate(masks.INVERT).translate(masks.TO_BINARY)


def grow(mask: bytes, area: Rect, grow_px: int) -> bytes:
    """Grow damage as Select > Grow does, by a disc, in an image that is never shown."""
    whole = Rect(0, 0, area.width, area.height)
    scratch = Gimp.Image.new(area.width, area.height, Gimp.ImageBaseType.GRAY)
    try:
        select(scratch, mask, whole)
        if not Gimp.Selection.is_empty(scratch):
            Gimp.Selection.grow(scratch, grow_px)
        return read(scratch.get_selection(), whole, "Y u8")
    finally:
        scratch.delete()
