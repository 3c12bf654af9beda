"""A photograph in a window, whose state the tests read from a file."""

import json
import os
import time

import gi

gi.require_version("Gimp", "3.0")
from gi.repository import Gimp, Gio  # noqa: E402

from .finding import dusty_image, selected_pixels  # noqa: E402
from .photographs import digest, make_image, select_file, spoil  # noqa: E402


def window(state, stop, size=(240, 180), indexed=False, photo=None, mask=None, dusty=False):
    """Open a damaged photograph with its damage selected, and write down its state; close it.

    It is closed as soon as the file `stop` exists. A dusty photograph has no selection.

    The pixels of an indexed photograph are not read: its format may be gone while GIMP converts
    the image, and babl then ends the process.
    """
    if photo is not None:
        image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(photo))
        layer = image.get_layers()[0]
        layer.set_name("photo")
        if mask is not None:
            select_file(image, mask)
    elif dusty:
        image, layer = dusty_image()
    else:
        image, layer = make_image(size=size)
        damage = (size[0] // 3, size[1] // 3, size[0] // 3, 14)
        spoil(layer, damage)
        image.select_rectangle(
            Gimp.ChannelOps.REPLACE, damage[0] - 2, damage[1] - 2, damage[2] + 4, damage[3] + 4
        )
    if indexed:
        image.convert_indexed(
            Gimp.ConvertDitherType.NONE, Gimp.ConvertPaletteType.GENERATE, 64, False, False, ""
        )
    image.clean_all()
    display = Gimp.Display.new(image)
    before = None if indexed else digest(layer)
    while not os.path.exists(stop):
        found = {"valid": image.is_valid(), "layers": [], "visible": [], "same": None}
        if image.is_valid():
            layers = image.get_layers()
            found["layers"] = [each.get_name() for each in layers]
            found["visible"] = [each.get_visible() for each in layers]
            if not indexed:
                found["same"] = layer.is_valid() and digest(layer) == before
            found["selected"] = not Gimp.Selection.is_empty(image)
            found["selected_pixels"] = selected_pixels(image)
            found["mode"] = image.get_base_type().value_nick
        with open(state + ".part", "w", encoding="utf-8") as file:
            json.dump(found, file)
        os.replace(state + ".part", state)
        time.sleep(0.2)
    if display.is_valid():
        display.delete()
