"""Checks whether a restoration is possible, and says why not.

A layer may be of a kind that has no pixels of its own, may be locked, or may be gone.
"""

from __future__ import annotations

from typing import Any

from translation import _

SELECTION, TRANSPARENCY, LAYER_MASK = "selection", "transparency", "layer-mask"
NEW_LAYER, IN_PLACE = "new-layer", "in-place"


class Refusal(Exception):
    """The reason why a restoration is impossible, and the remedy; shown to the user."""


def photo_layer(image: Any, drawables: list[Any]) -> Any:
    """The one layer that is to be restored.

    Raises
    ------
    Refusal
        It is not exactly one layer, or a layer without pixels of its own.
    """
    if len(drawables) != 1:
        raise Refusal(
            _(
                "{count} layers are chosen. Click the layer with the photograph in the Layers "
                "dialog, then try again."
            ).format(count=len(drawables))
        )
    drawable = drawables[0]
    if image.get_floating_sel() is not None:
        raise Refusal(_("There is a floating selection. Anchor it first: Layer > Anchor."))
    if drawable.is_layer_mask():
        raise Refusal(
            _(
                "The layer mask is chosen, not the photograph. "
                "Click the layer's picture in the Layers dialog, then try again."
            )
        )
    if not drawable.is_layer():
        raise Refusal(
            _("A channel is chosen. Click the layer with the photograph, then try again.")
        )
    name = drawable.get_name()
    if drawable.is_group_layer():
        raise Refusal(
            _("“{name}” is a group of layers. Choose the layer with the photograph in it.").format(
                name=name
            )
        )
    for kind in ("text", "link", "vector"):
        if getattr(drawable, f"is_{kind}_layer", bool)():
            raise Refusal(
                _(
                    "“{name}” is a layer of text, a link or vectors. Choose the layer with the "
                    "photograph, or turn this one into pixels: Layer > Discard Text Information "
                    "or Rasterize."
                ).format(name=name)
            )
    return drawable


def check_output(image: Any, layer: Any, output: str, source: str, allow_rgb: bool) -> None:
    """Check that a result can be inserted into the image.

    Parameters
    ----------
    image, layer : Gimp.Image, Gimp.Layer
    output : str
        NEW_LAYER or IN_PLACE.
    source : str
        SELECTION, TRANSPARENCY or LAYER_MASK.
    allow_rgb : bool
        Whether an indexed image may be converted to RGB.

    Raises
    ------
    Refusal
    """
    if not (image.is_valid() and layer.is_valid()):
        raise Refusal(_("The image was closed, or the layer was deleted. Nothing was changed."))
    if layer.is_indexed() and not allow_rgb:
        raise Refusal(
            _(
                "This image is indexed: its palette has no room for new colours. Tick “Convert an "
                "indexed image to RGB”, or convert the image with Image > Mode > RGB."
            )
        )
    if output != IN_PLACE:
        return
    item = layer
    while item is not None:
        if item.get_lock_content():
            raise Refusal(
                _(
                    "The pixels of “{name}” are locked. Unlock them in the Layers dialog, or "
                    "choose “A new layer above” as the result."
                ).format(name=item.get_name())
            )
        item = item.get_parent()
    if layer.get_lock_alpha() and source == TRANSPARENCY:
        raise Refusal(
            _(
                "The transparency of “{name}” is locked. Unlock it in the Layers dialog, or choose "
                "“A new layer above” as the result."
            ).format(name=layer.get_name())
        )


def check_exists(image: Any, layer: Any) -> None:
    """Check that the photograph is still open.

    Raises
    ------
    Refusal
    """
    if not image.is_valid():
        raise Refusal(_("The image was closed meanwhile. The result was discarded."))
    if not layer.is_valid() or layer.get_image().get_id() != image.get_id():
        raise Refusal(_("The layer was deleted meanwhile. The result was discarded."))
