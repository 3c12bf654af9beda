"""Moves pixels between GIMP and the service: crops a layer, and inserts the results.

Everything here, and in `buffers.py`, `checks.py` and `damage.py`, runs on GIMP's main thread.
Geometry is GIMP's: x, y, in pixels of the layer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gi
import masks
from buffers import in_own_space, pixel_format, read, sample_types, select, write
from checks import (
    IN_PLACE,
    LAYER_MASK,
    NEW_LAYER,
    TRANSPARENCY,
    Refusal,
    check_exists,
    check_output,
)
from damage import Damage, find_damage, grow
from dip_rules import RIM_PX, may_be_inverted
from masks import Rect
from photograph import photo_name
from session import JobRequest, Result
from translation import _

gi.require_version("Babl", "0.1")
gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from gi.repository import Babl, Gegl, Gimp  # noqa: E402  # the versions must be named first

# --- To the service ------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerCrop:
    """The part of a layer that is sent to the service.

    Parameters
    ----------
    layer : Gimp.Layer
    damage : Damage
    request : JobRequest
    source : str
        SELECTION, TRANSPARENCY or LAYER_MASK.
    output : str
        NEW_LAYER or IN_PLACE.
    sample_type : str
        The GEGL sample type of both the request and the results.
    signature : tuple
        The layer's size and format: results do not fit a layer that has others.
    digest : bytes
        SHA-256 of the pixels.
    growth_px : int
        The service lets the damage grow by at most so many pixels.
    """

    layer: Any
    damage: Damage
    request: JobRequest
    source: str
    output: str
    sample_type: str
    signature: tuple[Any, ...]
    digest: bytes
    growth_px: int

    @property
    def pixel_format(self) -> str:
        """The GEGL format of the request's pixels, in the layer's colour space of now."""
        return pixel_format(self.layer, self.request.channels in (2, 4), self.sample_type)


def crop_layer(
    image: Any, layer: Any, source: str, output: str, grow_px: int, parameters: dict[str, Any]
) -> LayerCrop:
    """Read the pixels and masks that the service needs.

    Raises
    ------
    Refusal
        There is no damage, or there is nothing else.
    """
    damage = find_damage(image, layer, source, grow_px)
    samples, sample_type = sample_types(image)
    # Transparent damage has no colour worth knowing, and becomes opaque. Where all known pixels
    # are opaque, transparency need not be learnt.
    alpha = (
        layer.has_alpha()
        and source != TRANSPARENCY
        and not masks.is_opaque_outside(read(layer, damage.crop, "A u8"), damage.mask)
    )
    pixels = read(layer, damage.crop, pixel_format(layer, alpha, sample_type))
    # The service sees this part only; the user was asked about the whole layer.
    confirmed = may_be_inverted(masks.damaged_pixels(damage.mask), damage.crop.area)
    request = JobRequest(
        width=damage.crop.width,
        height=damage.crop.height,
        channels=(1 if layer.is_gray() else 3) + alpha,
        samples=samples,
        pixels=pixels,
        mask=damage.mask,
        result="fill" if output == NEW_LAYER else "image",
        parameters={**parameters, "mask_confirmed": confirmed or None},
        photo_name=photo_name(layer.get_image()),
    )
    return LayerCrop(
        layer=layer,
        damage=damage,
        request=request,
        source=source,
        output=output,
        sample_type=sample_type,
        signature=_signature(layer),
        digest=hashlib.sha256(pixels).digest(),
        growth_px=RIM_PX + 1 if parameters.get("grow") else 0,
    )


def render(layer: Any, part: Rect, most_px: int) -> tuple[bytes, int, int]:
    """Render a part of a layer for the screen: 8-bit RGB, its width and its height.

    The longer side has at most `most_px` pixels.
    """
    scale = min(1.0, most_px / max(part.width, part.height))
    width, height = max(1, round(part.width * scale)), max(1, round(part.height * scale))
    rectangle = Gegl.Rectangle.new(
        round(part.x * scale), round(part.y * scale), width, height
    )  # in pixels of the reduced image
    data = layer.get_buffer().get(
        rectangle, scale, in_own_space(layer, "R'G'B' u8"), Gegl.AbyssPolicy.CLAMP
    )
    return data, width, height


# --- From the service ----------------------------------------------------------------------------


def insert_results(image: Any, crop: LayerCrop, results: list[Result]) -> None:
    """Insert results into the image, as one step for Undo.

    Raises
    ------
    Refusal
        The image is no longer as it was; nothing is changed then.
    """
    layer = crop.layer
    check_exists(image, layer)
    if _signature(layer) != crop.signature:
        raise Refusal(
            _(
                "The size, mode or precision of the layer was changed meanwhile, so the result "
                "does not fit. Nothing was changed; try again."
            )
        )
    if crop.output == IN_PLACE:
        check_output(image, layer, IN_PLACE, crop.source, allow_rgb=True)
        pixels = read(layer, crop.damage.crop, crop.pixel_format)
        if hashlib.sha256(pixels).digest() != crop.digest:
            raise Refusal(
                _(
                    "The photograph was painted on meanwhile. Nothing was changed, to keep your "
                    "work; try again, or choose “A new layer above” as the result."
                )
            )
    with one_undo_step(image):
        if layer.is_indexed():
            image.convert_rgb()
        if crop.output == IN_PLACE:
            _paint(image, crop, results[0])
        else:
            _add_layers(image, crop, results)
    Gimp.displays_flush()


def _add_layers(image: Any, crop: LayerCrop, results: list[Result]) -> None:
    """Add a layer for each result; the first is on top, and the only visible one."""
    layer, damage = crop.layer, crop.damage
    chosen = image.get_selected_layers()
    kind = Gimp.ImageType.GRAYA_IMAGE if layer.is_gray() else Gimp.ImageType.RGBA_IMAGE
    __, left, top = layer.get_offsets()
    parent = layer.get_parent()
    for number, result in enumerate(results):
        place = Rect(result.left, result.top, result.width, result.height)
        new = Gimp.Layer.new(
            image,
            _("{network} restoration of {layer}").format(
                network=result.network, layer=layer.get_name()
            ),
            place.width,
            place.height,
            kind,
            100.0,
            Gimp.LayerMode.NORMAL,
        )
        image.insert_layer(new, parent, image.get_item_position(layer))
        # Soft edges are blended as the engine blends them.
        new.set_composite_space(Gimp.LayerColorSpace.RGB_NON_LINEAR)
        new.set_offsets(left + damage.crop.x + place.x, top + damage.crop.y + place.y)
        whole = Rect(0, 0, place.width, place.height)
        write(new.get_buffer(), whole, pixel_format(new, True, crop.sample_type), result.pixels)
        if damage.soft_mask != damage.mask:
            soft_mask = masks.crop(damage.soft_mask, damage.crop.width, place)
            if crop.growth_px:
                soft_mask = grow(soft_mask, whole, crop.growth_px)
            _cut_to(new, whole, soft_mask)
        new.update(*whole)
        new.set_visible(number == 0)
    image.set_selected_layers(chosen)


def _cut_to(layer: Any, whole: Rect, soft_mask: bytes) -> None:
    """Make the pixels outside a soft mask transparent."""
    layer_mask = layer.create_mask(Gimp.AddMaskType.BLACK)
    layer.add_mask(layer_mask)
    write(layer_mask.get_buffer(), whole, "Y u8", soft_mask)
    layer.remove_mask(Gimp.MaskApplyMode.APPLY)


def _paint(image: Any, crop: LayerCrop, result: Result) -> None:
    """Paint over the damage, through a binary selection of it.

    The engine has blended the edges.
    """
    layer, damage = crop.layer, crop.damage
    place = Rect(result.left, result.top, result.width, result.height)
    place = place.moved(damage.crop.x, damage.crop.y)
    __, left, top = layer.get_offsets()
    chosen = image.get_selected_layers()
    saved = None if Gimp.Selection.is_empty(image) else Gimp.Selection.save(image)
    try:
        binary = damage.soft_mask.translate(masks.TO_BINARY)
        select(image, binary, damage.crop.moved(left, top))
        if crop.growth_px:  # beyond the pixels that have changed, the result is the photograph
            Gimp.Selection.grow(image, crop.growth_px)
        _merge(layer, place, crop.pixel_format, result.pixels)
        if crop.source == LAYER_MASK:  # the mask hid the damage; the restoration is to be seen
            _merge(layer.get_mask(), place, "Y u8", b"\xff" * place.area)
    finally:
        if saved is None:
            Gimp.Selection.none(image)
        else:
            image.select_item(Gimp.ChannelOps.REPLACE, saved)
            image.remove_channel(saved)
        image.set_selected_layers(chosen)


def _merge(drawable: Any, place: Rect, format_name: str, pixels: bytes) -> None:
    """Write pixels through the selection, so that Undo works."""
    shadow = drawable.get_shadow_buffer()
    write(shadow, place, format_name, pixels)
    drawable.merge_shadow(True)
    drawable.update(*place)


def _signature(layer: Any) -> tuple[Any, ...]:
    return layer.get_width(), layer.get_height(), Babl.get_name(layer.get_format())


@contextmanager
def one_undo_step(image: Any) -> Iterator[None]:
    """Make one step for Undo of all changes."""
    image.undo_group_start()
    try:
        yield
    finally:
        image.undo_group_end()
