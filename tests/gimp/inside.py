"""What the tests do inside GIMP, with GIMP's own Python: no numpy, no pytest."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import time
import traceback

import gi

gi.require_version("Babl", "0.1")
gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from gi.repository import Babl, Gegl, Gimp, GLib  # noqa: E402, F401

WIDTH, HEIGHT = 120, 90
SCRATCH = (40, 30, 36, 10)  # x, y, width, height


def call(case, given, answer):
    """Run a function of this file and write down what became of it."""
    Gegl.init(None)
    found = {"value": None, "error": None}
    try:
        found["value"] = globals()[case](**given)
    except BaseException:
        found["error"] = traceback.format_exc()
    with open(answer + ".part", "w", encoding="utf-8") as file:
        json.dump(found, file)
    os.replace(answer + ".part", answer)


# --- Pictures ------------------------------------------------------------------------------------


def colour(x, y):
    """The truth: smooth, different in each channel, 0 to 1."""
    return 0.2 + 0.6 * x / WIDTH, 0.8 - 0.5 * y / HEIGHT, 0.3 + 0.3 * (x + y) / (WIDTH + HEIGHT)


def make_image(mode="rgb", precision="u8-non-linear", alpha=False, profile=None, size=None):
    """An image with one layer, of smooth colours, and the layer."""
    width, height = size or (WIDTH, HEIGHT)
    kinds = {"rgb": Gimp.ImageBaseType.RGB, "gray": Gimp.ImageBaseType.GRAY}
    name = precision.upper().replace("-", "_")
    image = Gimp.Image.new_with_precision(width, height, kinds[mode], getattr(Gimp.Precision, name))
    if profile == "adobe":
        image.set_color_profile(Gimp.ColorProfile.new_rgb_adobe())
    layer_type = f"{mode.upper()}{'A' if alpha else ''}_IMAGE"
    layer = Gimp.Layer.new(
        image, "photo", width, height, getattr(Gimp.ImageType, layer_type), 100.0,
        Gimp.LayerMode.NORMAL,
    )  # fmt: skip
    image.insert_layer(layer, None, 0)
    values = []
    for y in range(height):
        for x in range(width):
            r, g, b = colour(x * WIDTH / width, y * HEIGHT / height)
            values += [r] if mode == "gray" else [r, g, b]
            if alpha:
                values.append(1.0)
    write(layer, (0, 0, width, height), struct.pack(f"<{len(values)}f", *values))
    return image, layer


def float_format(layer, alpha=None):
    alpha = layer.has_alpha() if alpha is None else alpha
    name = "Y'" if layer.is_gray() else "R'G'B'"
    name += f"{'A' if alpha else ''} float"
    return Babl.get_name(Babl.format_with_space(name, layer.get_format()))


def write(layer, rectangle, data, name=None):
    buffer = layer.get_buffer()
    buffer.set(Gegl.Rectangle.new(*rectangle), name or float_format(layer), data)
    buffer.flush()
    layer.update(*rectangle)


def read(drawable, name=None, rectangle=None):
    """Samples as they are stored, or in a format."""
    rectangle = rectangle or (0, 0, drawable.get_width(), drawable.get_height())
    name = name or Babl.get_name(drawable.get_format())
    return drawable.get_buffer().get(
        Gegl.Rectangle.new(*rectangle), 1.0, name, Gegl.AbyssPolicy.NONE
    )


def floats(drawable, alpha=None):
    """Rows of pixels, each a tuple of floats."""
    alpha = drawable.has_alpha() if alpha is None else alpha
    count = (1 if drawable.is_gray() else 3) + alpha
    samples = struct.iter_unpack(f"<{count}f", read(drawable, float_format(drawable, alpha)))
    pixels, width = list(samples), drawable.get_width()
    return [pixels[start : start + width] for start in range(0, len(pixels), width)]


def spoil(layer, rectangle=SCRATCH):
    """Paint damage."""
    x, y, width, height = rectangle
    pixel = [1.0] if layer.is_gray() else [1.0, 0.0, 1.0]
    if layer.has_alpha():
        pixel.append(1.0)
    pixel = struct.pack(f"<{len(pixel)}f", *pixel)
    write(layer, rectangle, pixel * (width * height))


def visible(image):
    """What one sees, in the image's own precision."""
    copy = image.duplicate()
    layer = copy.merge_visible_layers(Gimp.MergeType.CLIP_TO_IMAGE)
    data = read(layer)
    size = layer.get_width(), layer.get_height(), layer.get_offsets()[1:]
    copy.delete()
    return data, size


# --- Runs ----------------------------------------------------------------------------------------


def restore(image, layers, run_mode=Gimp.RunMode.NONINTERACTIVE, **given):
    """Run the plug-in: the status, and what it says."""
    procedure = Gimp.get_pdb().lookup_procedure("dip-restore")
    if procedure is None:
        raise RuntimeError("the procedure is not there")
    config = procedure.create_config()
    config.set_property("run-mode", run_mode)
    config.set_property("image", image)
    config.set_core_object_array("drawables", layers)
    for name, value in {"preset": "fast", "iterations": 10, "threads": 1, **given}.items():
        config.set_property(name.replace("_", "-"), value)
    answer = procedure.run(config)
    status = answer.index(0)
    return status == Gimp.PDBStatusType.SUCCESS, Gimp.get_pdb().get_last_error()


def succeed(image, layers, **given):
    fine, said = restore(image, layers, **given)
    if not fine:
        raise AssertionError(f"the plug-in said: {said}")


def ping():
    return Gimp.get_pdb().lookup_procedure("dip-restore") is not None


# --- With windows --------------------------------------------------------------------------------


def window(state, stop, size=(240, 180), indexed=False):
    """Open a damaged photograph with the damage selected, and tell what becomes of it."""
    image, layer = make_image(size=size)
    damage = (size[0] // 3, size[1] // 3, size[0] // 3, 14)
    spoil(layer, damage)
    if indexed:
        image.convert_indexed(
            Gimp.ConvertDitherType.NONE, Gimp.ConvertPaletteType.GENERATE, 64, False, False, ""
        )
    image.select_rectangle(
        Gimp.ChannelOps.REPLACE, damage[0] - 2, damage[1] - 2, damage[2] + 4, damage[3] + 4
    )
    image.clean_all()
    Gimp.Display.new(image)
    before = digest(layer)
    while not os.path.exists(stop):
        told = {"valid": image.is_valid(), "layers": [], "visible": [], "same": None}
        if image.is_valid():
            layers = image.get_layers()
            told["layers"] = [each.get_name() for each in layers]
            told["visible"] = [each.get_visible() for each in layers]
            told["same"] = layer.is_valid() and digest(layer) == before
            told["selected"] = not Gimp.Selection.is_empty(image)
            told["mode"] = image.get_base_type().value_nick
        with open(state + ".part", "w", encoding="utf-8") as file:
            json.dump(told, file)
        os.replace(state + ".part", state)
        time.sleep(0.2)


def digest(drawable):
    return hashlib.sha256(read(drawable)).hexdigest()
