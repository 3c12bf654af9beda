"""What stands in the way of a restoration: layers that cannot be worked on, or are gone."""

from __future__ import annotations

from typing import Any

SELECTION, TRANSPARENCY, LAYER_MASK = "selection", "transparency", "layer-mask"
NEW_LAYER, IN_PLACE = "new-layer", "in-place"


class Refusal(Exception):
    """What stands in the way, and what to do about it; for the user to read."""


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


def check_there(image: Any, layer: Any) -> None:
    """Raise Refusal where the photograph is gone."""
    if not image.is_valid():
        raise Refusal("The image was closed meanwhile; the result has nowhere to go.")
    if not layer.is_valid() or layer.get_image().get_id() != image.get_id():
        raise Refusal("The layer was deleted meanwhile; the result has nowhere to go.")
