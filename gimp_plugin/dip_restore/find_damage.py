"""Filters > Restore > Find Damage: selects the damage that the service finds.

`photograph.py` reads the layer, `damage_search.py` runs the search at the service,
`chosen_marks.py` makes a mask of the found damage, and `find_dialog.py` is the window.
"""

from __future__ import annotations

from typing import Any

import buffers
import gi
from checks import Refusal
from chosen_marks import MarkOptions, check_marks, mask_of
from damage_search import Found, Search
from layers import one_undo_step
from masks import Rect
from photograph import Photograph
from service import Service
from session import Progress
from translation import _

gi.require_version("Gimp", "3.0")
from gi.repository import Gimp  # noqa: E402  # the version must be named first


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
    photograph, options = Photograph.read(image, layer), MarkOptions(config)
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
    select_marks(image, photograph, mask, MarkOptions(config).adds)
    return True
