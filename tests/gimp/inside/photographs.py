"""Photographs that the tests make inside GIMP, and their pixels."""

import hashlib
import struct

import gi

gi.require_version("Babl", "0.1")
gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from gi.repository import Babl, Gegl, Gimp, Gio  # noqa: E402

WIDTH, HEIGHT = 120, 90
SCRATCH = (40, 30, 36, 10)  # x, y, width, height


def colour(x, y):
    """The true colour of a pixel: smooth, different in each channel, 0 to 1."""
    return 0.2 + 0.6 * x / WIDTH, 0.8 - 0.5 * y / HEIGHT, 0.3 + 0.3 * (x + y) / (WIDTH + HEIGHT)


def make_image(mode="rgb", precision="u8-non-linear", alpha=False, profile=None, size=None):
    """An image with one layer of smooth colours, and the layer."""
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


def digest(drawable):
    return hashlib.sha256(read(drawable)).hexdigest()


def spoil(layer, rectangle=SCRATCH):
    """Paint damage."""
    width, height = rectangle[2:]
    pixel = [1.0] if layer.is_gray() else [1.0, 0.0, 1.0]
    if layer.has_alpha():
        pixel.append(1.0)
    pixel = struct.pack(f"<{len(pixel)}f", *pixel)
    write(layer, rectangle, pixel * (width * height))


def mark(image, layer, source, feather):
    """Damage a photograph, and mark the damage in one of the possible ways."""
    x, y, width, height = SCRATCH
    spoil(layer)
    if source == "selection":
        image.select_rectangle(Gimp.ChannelOps.REPLACE, x - 1, y - 1, width + 2, height + 2)
        if feather:
            Gimp.Selection.feather(image, feather)
    elif source == "transparency":
        count = (1 if layer.is_gray() else 3) + 1
        write(
            layer,
            SCRATCH,
            struct.pack(f"<{count}f", *([1.0] * (count - 1)), 0.0) * (width * height),
        )
    else:
        mask = layer.create_mask(Gimp.AddMaskType.WHITE)
        layer.add_mask(mask)
        write(mask, SCRATCH, bytes(width * height), "Y u8")


def select_file(image, path):
    """Select the white pixels of a picture file."""
    mask = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(path))
    white = read(mask.get_layers()[0], "Y u8")
    mask.delete()
    width, height = image.get_width(), image.get_height()
    channel = Gimp.Channel.new(image, "damage", width, height, 100, Gegl.Color.new("red"))
    image.insert_channel(channel, None, 0)
    write(channel, (0, 0, width, height), white, "Y u8")
    image.select_item(Gimp.ChannelOps.REPLACE, channel)
    image.remove_channel(channel)


def visible(image):
    """The visible image in 8 bit: as floats, GIMP's merging of layers changes the last digit."""
    copy = image.duplicate()
    layer = copy.merge_visible_layers(Gimp.MergeType.CLIP_TO_IMAGE)
    colours = "Y'A u8" if layer.is_gray() else "R'G'B'A u8"
    data = read(layer, Babl.get_name(Babl.format_with_space(colours, layer.get_format())))
    size = layer.get_width(), layer.get_height(), layer.get_offsets()[1:]
    copy.delete()
    return data, size


def visible_alpha(image):
    copy = image.duplicate()
    alpha = read(copy.merge_visible_layers(Gimp.MergeType.CLIP_TO_IMAGE), "A u8")
    copy.delete()
    return alpha


def differing(one, other, size, tolerance=0):
    """The numbers of the pixels that differ by more than `tolerance`; each has `size` bytes."""
    if one == other:
        return set()
    found = set()
    for start in range(0, len(one), size):
        here, there = one[start : start + size], other[start : start + size]
        if here != there and max(abs(a - b) for a, b in zip(here, there, strict=True)) > tolerance:
            found.add(start // size)
    return found
