"""Moves pixels between GIMP and the service: what is cut out of a layer, and what is put back.

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
from buffers import format_for, format_of, read, samples_of, select, write
from checks import IN_PLACE, LAYER_MASK, NEW_LAYER, TRANSPARENCY, Refusal, check_output, check_there
from damage import Damage, find_damage
from masks import Rect
from session import Filled, JobRequest

gi.require_version("Babl", "0.1")
gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from gi.repository import Babl, Gegl, Gimp  # noqa: E402  # the versions must be named first

# --- To the service ------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerCrop:
    """What was cut out for the service, and what it was cut from.

    Parameters
    ----------
    layer : Gimp.Layer
    damage : Damage
    order : JobRequest
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
    order: JobRequest
    source: str
    output: str
    sample_type: str
    signature: tuple[Any, ...]
    digest: bytes


def cut_out(
    image: Any, layer: Any, source: str, output: str, grow_px: int, parameters: dict[str, Any]
) -> LayerCrop:
    """Read what the service needs.

    Raises
    ------
    Refusal
    """
    damage = find_damage(image, layer, source, grow_px)
    samples, sample_type = samples_of(image)
    # What is transparent has no colour worth knowing, and becomes opaque. Where all around is
    # opaque there is nothing to learn of transparency.
    alpha = (
        layer.has_alpha()
        and source != TRANSPARENCY
        and not masks.opaque_outside(read(layer, damage.part, "A u8"), damage.unknown)
    )
    channels = (1 if layer.is_gray() else 3) + alpha
    pixels = read(layer, damage.part, format_for(layer, alpha, sample_type))
    order = JobRequest(
        width=damage.part.width,
        height=damage.part.height,
        channels=channels,
        samples=samples,
        pixels=pixels,
        damage=damage.unknown,
        result="fill" if output == NEW_LAYER else "image",
        parameters=parameters,
    )
    return LayerCrop(
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
        rectangle, scale, format_of(layer, "R'G'B' u8"), Gegl.AbyssPolicy.CLAMP
    )
    return data, width, height


# --- And back ------------------------------------------------------------------------------------


def put_in(image: Any, cutting: LayerCrop, results: list[Filled]) -> None:
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


def _lay_over(image: Any, cutting: LayerCrop, results: list[Filled]) -> None:
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
        write(new.get_buffer(), whole, format_for(new, True, cutting.sample_type), result.pixels)
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
    write(mask.get_buffer(), Rect(0, 0, layer.get_width(), layer.get_height()), "Y u8", coverage)
    layer.remove_mask(Gimp.MaskApplyMode.APPLY)


def _paint(image: Any, cutting: LayerCrop, result: Filled) -> None:
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
        select(image, cutting.damage.coverage.translate(masks.CLEARLY), on_image)
        alpha = cutting.order.channels in (2, 4)
        _merge(layer, where, format_for(layer, alpha, cutting.sample_type), result.pixels)
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
    write(shadow, where, format_name, pixels)
    drawable.merge_shadow(True)
    drawable.update(*where)


# --- Small things --------------------------------------------------------------------------------


def _signature(layer: Any) -> tuple[Any, ...]:
    return layer.get_width(), layer.get_height(), Babl.get_name(layer.get_format())


def _digest(cutting: LayerCrop) -> bytes:
    layer = cutting.layer
    alpha = cutting.order.channels in (2, 4)
    pixels = read(layer, cutting.damage.part, format_for(layer, alpha, cutting.sample_type))
    return hashlib.sha256(pixels).digest()


@contextmanager
def _one_undo_step(image: Any) -> Iterator[None]:
    image.undo_group_start()
    try:
        yield
    finally:
        image.undo_group_end()
