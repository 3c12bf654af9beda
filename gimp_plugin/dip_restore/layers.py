"""Moves pixels between GIMP and the service: all that touches images, layers and buffers.

Everything here runs on GIMP's main thread. Geometry is GIMP's: x, y, in pixels of the layer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gi
import masks
from masks import Rect
from session import Filled, Order

gi.require_version("Babl", "0.1")
gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from gi.repository import Babl, Gegl, Gimp  # noqa: E402  # the versions must be named first

SELECTION, TRANSPARENCY, LAYER_MASK = "selection", "transparency", "layer-mask"
NEW_LAYER, IN_PLACE = "new-layer", "in-place"

_NO_DAMAGE = {
    SELECTION: "Nothing is selected. Select the damage first, with any of the selection tools; "
    "a little too much is better than too little.",
    TRANSPARENCY: "Nothing in this layer is transparent. Erase the damage first, or select it.",
    LAYER_MASK: "The layer mask hides nothing. Paint the damage black in it first.",
}


class Refusal(Exception):
    """What stands in the way, and what to do about it; for the user to read."""


# --- What there is -------------------------------------------------------------------------------


def photo_layer(image: Any, drawables: list[Any]) -> Any:
    """The one layer that is to be restored.

    Raises
    ------
    Refusal
    """
    if len(drawables) != 1:
        raise Refusal(
            f"{len(drawables) or 'No'} layers are chosen. "
            "Click the one with the photograph in the Layers dialog, then try again."
        )
    drawable = drawables[0]
    if image.get_floating_sel() is not None:
        raise Refusal("There is a floating selection. Anchor it first: Layer > Anchor.")
    if drawable.is_layer_mask():
        raise Refusal(
            "The layer mask is chosen, not the photograph. "
            "Click the layer's picture in the Layers dialog, then try again."
        )
    if not drawable.is_layer():
        raise Refusal("A channel is chosen. Click the layer with the photograph, then try again.")
    name = drawable.get_name()
    if drawable.is_group_layer():
        raise Refusal(f"“{name}” is a group of layers. Choose the layer with the photograph in it.")
    for kind in ("text", "link", "vector"):
        if getattr(drawable, f"is_{kind}_layer", bool)():
            raise Refusal(
                f"“{name}” is a {kind} layer. Choose the layer with the photograph, "
                "or turn this one into pixels: Layer > Discard Text Information or Rasterize."
            )
    return drawable


def check_output(image: Any, layer: Any, output: str, damage: str, convert: bool) -> None:
    """Raise Refusal where a result could not be put in afterwards."""
    if not (image.is_valid() and layer.is_valid()):
        raise Refusal("The image was closed, or the layer deleted. Nothing was done.")
    if layer.is_indexed() and not convert:
        raise Refusal(
            "This image is indexed: it has no room for new colours. Tick “Convert an indexed image "
            "to RGB”, or convert it yourself with Image > Mode > RGB."
        )
    if output != IN_PLACE:
        return
    holder = layer
    while holder is not None:
        if holder.get_lock_content():
            raise Refusal(
                f"The pixels of “{holder.get_name()}” are locked. Unlock them in the Layers "
                "dialog, or choose “A new layer above” as the result."
            )
        holder = holder.get_parent()
    if layer.get_lock_alpha() and damage == TRANSPARENCY:
        raise Refusal(
            f"The transparency of “{layer.get_name()}” is locked. Unlock it in the Layers dialog, "
            "or choose “A new layer above” as the result."
        )


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
        selected = _read(image.get_selection(), on_image, "Y u8")
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
        return _read(layer, part, "A u8").translate(masks.INVERTED)
    return _read(layer.get_mask(), part, "Y u8").translate(masks.INVERTED)


def _combined(damage: bytes, within: bytes | None, part: Rect, grow_px: int) -> bytes:
    """Damage, where it is `within`, grown; worked out on an image that nobody sees."""
    whole = Rect(0, 0, part.width, part.height)
    scratch = Gimp.Image.new(part.width, part.height, Gimp.ImageBaseType.GRAY)
    try:
        _select(scratch, damage, whole)
        if within is not None:
            _select(scratch, within, whole, Gimp.ChannelOps.INTERSECT)
        if grow_px and not Gimp.Selection.is_empty(scratch):
            Gimp.Selection.grow(scratch, grow_px)
        return _read(scratch.get_selection(), whole, "Y u8")
    finally:
        scratch.delete()


# --- To the service ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cutting:
    """What was cut out for the service, and what it was cut from.

    Parameters
    ----------
    layer : Gimp.Layer
    damage : Damage
    order : Order
    source, output : str
    sample_type : str
        For GEGL.
    signature : tuple
        Of the layer: with another one the pixels would not fit any more.
    digest : bytes
        Of the pixels.
    """

    layer: Any
    damage: Damage
    order: Order
    source: str
    output: str
    sample_type: str
    signature: tuple[Any, ...]
    digest: bytes


def cut_out(
    image: Any, layer: Any, source: str, output: str, grow_px: int, parameters: dict[str, Any]
) -> Cutting:
    """Read what the service needs.

    Raises
    ------
    Refusal
    """
    damage = find_damage(image, layer, source, grow_px)
    samples, sample_type = _samples_of(image)
    # What is transparent has no colour worth knowing, and becomes opaque. Where all around is
    # opaque there is nothing to learn of transparency.
    alpha = (
        layer.has_alpha()
        and source != TRANSPARENCY
        and not masks.opaque_outside(_read(layer, damage.part, "A u8"), damage.unknown)
    )
    channels = (1 if layer.is_gray() else 3) + alpha
    pixels = _read(layer, damage.part, _format_name(layer, alpha, sample_type))
    order = Order(
        width=damage.part.width,
        height=damage.part.height,
        channels=channels,
        samples=samples,
        pixels=pixels,
        damage=damage.unknown,
        result="fill" if output == NEW_LAYER else "image",
        parameters=parameters,
    )
    return Cutting(
        layer=layer,
        damage=damage,
        order=order,
        source=source,
        output=output,
        sample_type=sample_type,
        signature=_signature(layer),
        digest=hashlib.sha256(pixels).digest(),
    )


def picture(layer: Any, part: Rect, most_px: int) -> tuple[bytes, int, int]:
    """A part of a layer for the screen: 8-bit RGB, its width and its height."""
    scale = min(1.0, most_px / max(part.width, part.height))
    width, height = max(1, round(part.width * scale)), max(1, round(part.height * scale))
    rectangle = Gegl.Rectangle.new(
        round(part.x * scale), round(part.y * scale), width, height
    )  # in pixels of the reduced image
    data = layer.get_buffer().get(
        rectangle, scale, _format_of(layer, "R'G'B' u8"), Gegl.AbyssPolicy.CLAMP
    )
    return data, width, height


# --- And back ------------------------------------------------------------------------------------


def check_there(image: Any, layer: Any) -> None:
    """Raise Refusal where the photograph is gone."""
    if not image.is_valid():
        raise Refusal("The image was closed meanwhile; the result has nowhere to go.")
    if not layer.is_valid() or layer.get_image().get_id() != image.get_id():
        raise Refusal("The layer was deleted meanwhile; the result has nowhere to go.")


def put_in(image: Any, cutting: Cutting, results: list[Filled]) -> None:
    """Put results into the image: one step for Undo.

    Raises
    ------
    Refusal
        The image is not what it was; nothing is changed then.
    """
    layer = cutting.layer
    check_there(image, layer)
    if _signature(layer) != cutting.signature:
        raise Refusal(
            "The size, mode or precision of the layer was changed meanwhile, so that the result "
            "does not fit any more. Nothing was changed; try again."
        )
    if cutting.output == IN_PLACE:
        check_output(image, layer, IN_PLACE, cutting.source, convert=True)
        if _digest(cutting) != cutting.digest:
            raise Refusal(
                "The photograph was painted on meanwhile. Nothing was changed, so that this is "
                "not lost; try again, or choose “A new layer above” as the result."
            )
    with _one_undo_step(image):
        if layer.is_indexed():
            image.convert_rgb()
        if cutting.output == IN_PLACE:
            _paint(image, cutting, results[0])
        else:
            _lay_over(image, cutting, results)
    Gimp.displays_flush()


def _lay_over(image: Any, cutting: Cutting, results: list[Filled]) -> None:
    """New layers above, the first one on top, and it alone visible."""
    layer = cutting.layer
    chosen = image.get_selected_layers()
    kind = Gimp.ImageType.GRAYA_IMAGE if layer.is_gray() else Gimp.ImageType.RGBA_IMAGE
    _, left, top = layer.get_offsets()
    parent = layer.get_parent()
    for number, result in enumerate(results):
        new = Gimp.Layer.new(
            image,
            f"{result.network} restoration of {layer.get_name()}",
            result.width,
            result.height,
            kind,
            100.0,
            Gimp.LayerMode.NORMAL,
        )
        image.insert_layer(new, parent, image.get_item_position(layer))
        # Soft edges are mixed as the engine mixes them.
        new.set_composite_space(Gimp.LayerColorSpace.RGB_NON_LINEAR)
        new.set_offsets(
            left + cutting.damage.part.x + result.left, top + cutting.damage.part.y + result.top
        )
        whole = Rect(0, 0, result.width, result.height)
        _write(new.get_buffer(), whole, _format_name(new, True, cutting.sample_type), result.pixels)
        if cutting.damage.coverage != cutting.damage.unknown:
            place = Rect(result.left, result.top, result.width, result.height)
            _cut_to(new, masks.crop(cutting.damage.coverage, cutting.damage.part.width, place))
        new.update(*whole)
        new.set_visible(number == 0)
    image.set_selected_layers(chosen)


def _cut_to(layer: Any, coverage: bytes) -> None:
    """Make everything else transparent."""
    mask = layer.create_mask(Gimp.AddMaskType.BLACK)
    layer.add_mask(mask)
    _write(mask.get_buffer(), Rect(0, 0, layer.get_width(), layer.get_height()), "Y u8", coverage)
    layer.remove_mask(Gimp.MaskApplyMode.APPLY)


def _paint(image: Any, cutting: Cutting, result: Filled) -> None:
    """Paint over the damage, through a selection that lets exactly the damage through.

    Edges are blended already.
    """
    layer = cutting.layer
    part = cutting.damage.part
    where = Rect(part.x + result.left, part.y + result.top, result.width, result.height)
    _, left, top = layer.get_offsets()
    on_image = part._replace(x=part.x + left, y=part.y + top)
    chosen = image.get_selected_layers()
    kept = None if Gimp.Selection.is_empty(image) else Gimp.Selection.save(image)
    try:
        _select(image, cutting.damage.coverage.translate(masks.CLEARLY), on_image)
        alpha = cutting.order.channels in (2, 4)
        _merge(layer, where, _format_name(layer, alpha, cutting.sample_type), result.pixels)
        if cutting.source == LAYER_MASK:  # what was hidden because it was damaged is shown again
            mask = layer.get_mask()
            _merge(mask, where, "Y u8", b"\xff" * where.area)
    finally:
        if kept is None:
            Gimp.Selection.none(image)
        else:
            image.select_item(Gimp.ChannelOps.REPLACE, kept)
            image.remove_channel(kept)
        image.set_selected_layers(chosen)


def _merge(drawable: Any, where: Rect, format_name: str, pixels: bytes) -> None:
    shadow = drawable.get_shadow_buffer()
    _write(shadow, where, format_name, pixels)
    drawable.merge_shadow(True)
    drawable.update(*where)


# --- Small things --------------------------------------------------------------------------------


def _read(drawable: Any, part: Rect, format_name: str) -> bytes:
    rectangle = Gegl.Rectangle.new(*part)
    data: bytes = drawable.get_buffer().get(rectangle, 1.0, format_name, Gegl.AbyssPolicy.NONE)
    return data


def _write(buffer: Any, part: Rect, format_name: str, data: bytes) -> None:
    expected = part.area * Babl.format_get_bytes_per_pixel(Babl.format(format_name))
    if len(data) != expected:  # GEGL would ignore it without a word
        raise ValueError(f"{len(data)} bytes for {part} of {format_name}, which takes {expected}")
    buffer.set(Gegl.Rectangle.new(*part), format_name, data)
    buffer.flush()


def _select(image: Any, mask: bytes, part: Rect, operation: Any = None) -> None:
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
    _write(buffer, inside, "Y u8", mask)
    image.select_item(operation or Gimp.ChannelOps.REPLACE, channel)
    image.remove_channel(channel)


def _samples_of(image: Any) -> tuple[str, str]:
    """How samples travel: for the service, and for GEGL. Never with less than the image has."""
    precision = image.get_precision().value_nick
    if precision in ("u8-non-linear", "u8-perceptual"):
        return "uint8", "u8"
    if precision.startswith(("u8", "u16")):
        return "uint16", "u16"
    return "float32", "float"


def _format_name(layer: Any, alpha: bool, sample_type: str) -> str:
    colours = "Y'" if layer.is_gray() else "R'G'B'"
    return _format_of(layer, f"{colours}{'A' if alpha else ''} {sample_type}")


def _format_of(layer: Any, name: str) -> str:
    """A format in the layer's own colour space: plain names mean sRGB, and would change colours."""
    space_name: str = Babl.get_name(Babl.format_with_space(name, layer.get_format()))
    return space_name


def _signature(layer: Any) -> tuple[Any, ...]:
    return layer.get_width(), layer.get_height(), Babl.get_name(layer.get_format())


def _digest(cutting: Cutting) -> bytes:
    layer = cutting.layer
    alpha = cutting.order.channels in (2, 4)
    pixels = _read(layer, cutting.damage.part, _format_name(layer, alpha, cutting.sample_type))
    return hashlib.sha256(pixels).digest()


@contextmanager
def _one_undo_step(image: Any) -> Iterator[None]:
    image.undo_group_start()
    try:
        yield
    finally:
        image.undo_group_end()
