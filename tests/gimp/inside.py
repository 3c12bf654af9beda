"""What the tests do inside GIMP, with GIMP's own Python: no numpy, no pytest."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import threading
import time
import traceback

import gi

gi.require_version("Babl", "0.1")
gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from gi.repository import Babl, Gegl, Gimp, Gio  # noqa: E402

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


def serve(requests, tests):
    """Run what `Console` of the tests asks for, one file after the other, while they go on."""
    number = 0
    while os.path.exists(f"/proc/{tests}"):
        asked = os.path.join(requests, f"{number}.json")
        if not os.path.exists(asked):
            time.sleep(0.02)
            continue
        with open(asked, encoding="utf-8") as file:
            call(**json.load(file))
        number += 1


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
    width, height = rectangle[2:]
    pixel = [1.0] if layer.is_gray() else [1.0, 0.0, 1.0]
    if layer.has_alpha():
        pixel.append(1.0)
    pixel = struct.pack(f"<{len(pixel)}f", *pixel)
    write(layer, rectangle, pixel * (width * height))


def visible(image):
    """What one sees, in 8 bit: in floats, GIMP's own merging of layers shows in the last digit."""
    copy = image.duplicate()
    layer = copy.merge_visible_layers(Gimp.MergeType.CLIP_TO_IMAGE)
    colours = "Y'A u8" if layer.is_gray() else "R'G'B'A u8"
    data = read(layer, Babl.get_name(Babl.format_with_space(colours, layer.get_format())))
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


def window(state, stop, size=(240, 180), indexed=False, photo=None, mask=None):
    """Open a damaged photograph with the damage selected, and tell what becomes of it.

    Of an indexed one, pixels are not looked at: a format read while GIMP converts the image may be
    gone before it is used, and babl ends the whole process for it.
    """
    if photo is not None:
        image = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(photo))
        layer = image.get_layers()[0]
        layer.set_name("photo")
        select_file(image, mask)
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
    Gimp.Display.new(image)
    before = None if indexed else digest(layer)
    while not os.path.exists(stop):
        told = {"valid": image.is_valid(), "layers": [], "visible": [], "same": None}
        if image.is_valid():
            layers = image.get_layers()
            told["layers"] = [each.get_name() for each in layers]
            told["visible"] = [each.get_visible() for each in layers]
            if not indexed:
                told["same"] = layer.is_valid() and digest(layer) == before
            told["selected"] = not Gimp.Selection.is_empty(image)
            told["mode"] = image.get_base_type().value_nick
        with open(state + ".part", "w", encoding="utf-8") as file:
            json.dump(told, file)
        os.replace(state + ".part", state)
        time.sleep(0.2)


def select_file(image, path):
    """Select what is white in a picture file."""
    mask = Gimp.file_load(Gimp.RunMode.NONINTERACTIVE, Gio.File.new_for_path(path))
    white = read(mask.get_layers()[0], "Y u8")
    mask.delete()
    width, height = image.get_width(), image.get_height()
    channel = Gimp.Channel.new(image, "damage", width, height, 100, Gegl.Color.new("red"))
    image.insert_channel(channel, None, 0)
    write(channel, (0, 0, width, height), white, "Y u8")
    image.select_item(Gimp.ChannelOps.REPLACE, channel)
    image.remove_channel(channel)


def digest(drawable):
    return hashlib.sha256(read(drawable)).hexdigest()


# --- Without windows: what comes out right -------------------------------------------------------


def matrix(cases):
    """Restore one picture for each case; what was found wrong with any of them."""
    wrong = {}
    for case in cases:
        name = " ".join(f"{key}={value}" for key, value in case.items())
        try:
            problems = one_case(**case)
        except Exception:
            problems = [traceback.format_exc()]
        if problems:
            wrong[name] = problems
    return {"done": len(cases), "wrong": wrong}


def one_case(
    mode, precision, alpha, profile, source, output, iterations, feather=0, network="unet"
):
    image, layer = make_image(mode, precision, alpha, profile)
    try:
        truth = floats(layer, alpha=False)
        mark(image, layer, source, feather)
        restored = unknown_pixels(image, layer, source)
        stored = read(layer)
        seen, size = visible(image)
        selection = read(image.get_selection())
        succeed(
            image, [layer], damage=source, output=output, iterations=iterations, network=network
        )
        problems = []
        layers = image.get_layers()
        results = 2 if network == "both" else 1
        if len(layers) != 1 + (results if output == "new-layer" else 0):
            problems.append(f"{len(layers)} layers")
        if read(image.get_selection()) != selection:
            problems.append("the selection is another")
        if image.get_selected_layers() != [layer]:
            problems.append("another layer is chosen")
        if image.get_precision() != getattr(Gimp.Precision, precision.upper().replace("-", "_")):
            problems.append("the precision is another")
        now = read(layer)
        if output == "new-layer" and now != stored:
            problems.append("the photograph was changed")
        changed = differing(stored, now, len(stored) // (WIDTH * HEIGHT))
        if changed - restored:
            problems.append(f"{len(changed - restored)} samples outside were changed")
        now_seen, now_size = visible(image)
        if now_size != size:
            problems.append(f"the image was {size} and is {now_size}")
        elif outside := differing(seen, now_seen, len(seen) // (WIDTH * HEIGHT), 1) - restored:
            problems.append(f"{len(outside)} visible pixels outside were changed")
        problems += far_off(image, truth, restored, iterations)
        if image.get_channels():
            problems.append("a channel was left behind")
        return problems
    finally:
        image.delete()


def mark(image, layer, source, feather):
    """Damage a picture, and say where, in one of the ways there are."""
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


def unknown_pixels(image, layer, source):
    """Numbers of the pixels that may change."""
    if source == "selection":
        plane, none = read(image.get_selection(), "Y u8"), 0
    elif source == "transparency":
        plane, none = read(layer, "A u8"), 255
    else:
        plane, none = read(layer.get_mask(), "Y u8"), 255
    return {number for number, value in enumerate(plane) if value != none}


def differing(one, other, size, tolerance=0):
    """Numbers of the pixels that differ by more; each is `size` bytes."""
    if one == other:
        return set()
    found = set()
    for start in range(0, len(one), size):
        here, there = one[start : start + size], other[start : start + size]
        if here != there and max(abs(a - b) for a, b in zip(here, there, strict=True)) > tolerance:
            found.add(start // size)
    return found


def far_off(image, truth, restored, iterations):
    """Whether what was filled is opaque, and, where it was fitted for long, of the right colour."""
    copy = image.duplicate()
    merged = copy.merge_visible_layers(Gimp.MergeType.CLIP_TO_IMAGE)
    found = floats(merged, alpha=True) if merged.has_alpha() else floats(merged)
    core = inner_pixels()
    total = count = 0
    for number in restored & core:
        here, there = found[number // WIDTH][number % WIDTH], truth[number // WIDTH][number % WIDTH]
        if merged.has_alpha() and here[-1] < 0.99:
            copy.delete()
            return [f"pixel {number} is transparent: {here}"]
        error = max(abs(a - b) for a, b in zip(here, there, strict=False))
        total, count = total + error, count + 1
    copy.delete()
    if not count:
        return ["nothing was restored"]
    error = total / count
    return [f"the fill is off by {error:.3f}"] if error > 0.08 and iterations > 1 else []


def inner_pixels():
    """Where every kind of damage is complete."""
    x, y, width, height = SCRATCH
    return {
        row * WIDTH + column
        for row in range(y + 3, y + height - 3)
        for column in range(x + 3, x + width - 3)
    }


# --- Geometry ------------------------------------------------------------------------------------


def offsets():
    """A layer that is not where its image is, in every direction; partly selected, too."""
    wrong = []
    for left, top in ((17, 9), (-25, -13), (-10, 30)):
        for output in ("new-layer", "in-place"):
            image, layer = make_image()
            spoil(layer)
            layer.set_offsets(left, top)
            x, y, width, height = SCRATCH
            image.select_rectangle(
                Gimp.ChannelOps.REPLACE, x + left - 1, y + top - 1, width + 2, height + 2
            )
            before = read(layer)
            selected = {
                number
                for number in range(WIDTH * HEIGHT)
                if x - 1 <= number % WIDTH < x + width + 1
                and y - 1 <= number // WIDTH < y + height + 1
            }
            succeed(image, [layer], output=output, iterations=3)
            changed = differing(before, read(layer), 3)
            if output == "in-place" and not (changed and changed <= selected):
                wrong.append(f"{left} {top}: {len(changed - selected)} outside")
            if output == "new-layer":
                new = image.get_layers()[0]
                place = tuple(new.get_offsets()[1:])
                if place != (x + left - 1, y + top - 1) or changed:
                    wrong.append(f"{left} {top}: the layer is at {place}")
            image.delete()
    return wrong


def partly_outside():
    """A selection that reaches beyond the layer, and beyond the image."""
    wrong = []
    for output in ("new-layer", "in-place"):
        image, layer = make_image()
        layer.set_offsets(30, 0)
        spoil(layer, (0, 20, 12, 10))
        image.select_rectangle(Gimp.ChannelOps.REPLACE, 10, 20, 32, 10)  # 12 px of the layer
        before = read(layer)
        succeed(image, [layer], output=output)
        changed = differing(before, read(layer), 3)
        if any(number % WIDTH >= 12 for number in changed):
            wrong.append(f"{output}: pixels outside the selection were changed")
        new = image.get_layers()[0]
        if output == "new-layer" and (new.get_width(), tuple(new.get_offsets()[1:])) != (
            12,
            (30, 20),
        ):
            wrong.append(f"the layer is {new.get_width()} px wide at {new.get_offsets()}")
        image.delete()
    return wrong


def growing():
    """The damage is grown; the selection is not."""
    image, layer = make_image()
    x, y, width, height = SCRATCH
    spoil(layer)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, x, y, width, height)
    selection = read(image.get_selection())
    succeed(image, [layer], grow=4)
    new = image.get_layers()[0]
    same = read(image.get_selection()) == selection
    answer = new.get_width(), new.get_height(), list(new.get_offsets()[1:]), same, image_count()
    image.delete()
    return answer


def only_some_of_the_damage():
    """Two transparent scratches, one selected: the other stays."""
    wrong = []
    for output in ("new-layer", "in-place"):
        image, layer = make_image(alpha=True)
        mark(image, layer, "transparency", 0)
        write(layer, (40, 60, 30, 5), struct.pack("<4f", 1, 0, 1, 0) * 150)
        image.select_rectangle(Gimp.ChannelOps.REPLACE, 30, 20, 60, 25)
        succeed(image, [layer], damage="transparency", output=output, iterations=3)
        seen = visible_alpha(image)
        if any(seen[row * WIDTH + 50] for row in range(60, 65)):
            wrong.append(f"{output}: the other scratch was filled")
        if not all(seen[row * WIDTH + 50] == 255 for row in range(30, 40)):
            wrong.append(f"{output}: the selected scratch was not filled")
        image.delete()
    return wrong


def visible_alpha(image):
    copy = image.duplicate()
    alpha = read(copy.merge_visible_layers(Gimp.MergeType.CLIP_TO_IMAGE), "A u8")
    copy.delete()
    return alpha


def both_networks():
    image, layer = make_image()
    mark(image, layer, "selection", 0)
    succeed(image, [layer], network="both", output="in-place")
    found = [(each.get_name(), each.get_visible()) for each in image.get_layers()]
    image.delete()
    return found


def in_a_group():
    """The result stays with its layer."""
    image, layer = make_image()
    group = Gimp.GroupLayer.new(image, "group")
    image.insert_layer(group, None, 0)
    image.reorder_item(layer, group, 0)
    mark(image, layer, "selection", 0)
    succeed(image, [layer])
    found = [each.get_name() for each in group.get_children()]
    image.delete()
    return found


def same_seed_same_result():
    digests = []
    for seed in (5, 5, 6):
        image, layer = make_image(precision="u16-non-linear")
        mark(image, layer, "selection", 0)
        succeed(image, [layer], seed=seed)
        digests.append(digest(image.get_layers()[0]))
        image.delete()
    return digests[0] == digests[1], digests[1] == digests[2]


def textures():
    """What fills a hole in a grained photograph, with and without its detail."""
    digests = []
    for texture in (0.0, 0.0, 1.0):
        image, layer = make_image()
        grain = bytes((x * x * 7 + y * y * 13 + x * y * 5) % 97 + 80 for y in range(HEIGHT)
                      for x in range(WIDTH) for _ in range(3))  # fmt: skip
        write(layer, (0, 0, WIDTH, HEIGHT), grain, "R'G'B' u8")
        image.select_rectangle(Gimp.ChannelOps.REPLACE, 40, 25, 40, 40)
        succeed(image, [layer], texture=texture)
        digests.append(digest(image.get_layers()[0]))
        image.delete()
    return digests[0] == digests[1], digests[1] == digests[2]


def image_count():
    return len(Gimp.get_images())


def with_last_values():
    """Ctrl+F, and scripts: no questions, and it works."""
    image, layer = make_image()
    mark(image, layer, "selection", 0)
    fine, said = restore(image, [layer], Gimp.RunMode.WITH_LAST_VALS)
    answer = fine, said, len(image.get_layers())
    image.delete()
    return answer


# --- Bad situations ------------------------------------------------------------------------------


def refused(image, layers, **given):
    """What the plug-in says, and whether anything was changed all the same."""
    names = [each.get_name() for each in image.get_layers()]
    before = [digest(each) for each in image.get_layers()]
    mode = image.get_base_type()
    fine, said = restore(image, layers, **given)
    same = (
        names == [each.get_name() for each in image.get_layers()]
        and before == [digest(each) for each in image.get_layers()]
        and mode == image.get_base_type()
        and not image.get_channels()
    )
    image.delete()
    return {"fine": fine, "said": said, "same": same}


def bad_situations():
    answers = {}

    image, layer = make_image()
    answers["nothing selected"] = refused(image, [layer])

    image, layer = make_image(alpha=True)
    answers["nothing transparent"] = refused(image, [layer], damage="transparency")

    image, layer = make_image()
    answers["no alpha channel"] = refused(image, [layer], damage="transparency")

    image, layer = make_image()
    answers["no layer mask"] = refused(image, [layer], damage="layer-mask")

    image, layer = make_image()
    layer.set_offsets(60, 0)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 5, 5, 20, 20)
    answers["selection outside the layer"] = refused(image, [layer])

    image, layer = make_image()
    layer.set_offsets(500, 0)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 5, 5, 20, 20)
    answers["layer outside the image"] = refused(image, [layer])

    image, layer = make_image()
    Gimp.Selection.all(image)
    answers["all selected"] = refused(image, [layer])

    image, layer = make_image()
    second = layer.copy()
    image.insert_layer(second, None, 0)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 5, 5, 20, 20)
    answers["several layers"] = refused(image, [layer, second])

    image, layer = make_image()
    group = Gimp.GroupLayer.new(image, "group")
    image.insert_layer(group, None, 0)
    image.reorder_item(layer, group, 0)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 5, 5, 20, 20)
    answers["group"] = refused(image, [group])

    image, layer = make_image()
    mask = layer.create_mask(Gimp.AddMaskType.WHITE)
    layer.add_mask(mask)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 5, 5, 20, 20)
    answers["layer mask"] = refused(image, [mask])

    image, layer = make_image()
    channel = Gimp.Channel.new(image, "channel", WIDTH, HEIGHT, 50, Gegl.Color.new("red"))
    image.insert_channel(channel, None, 0)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 5, 5, 20, 20)
    answer = restore(image, [channel])
    answers["channel"] = {"fine": answer[0], "said": answer[1], "same": True}
    image.delete()

    image, layer = make_image()
    layer.set_lock_content(True)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 5, 5, 20, 20)
    answers["locked"] = refused(image, [layer], output="in-place")

    image, layer = make_image(alpha=True)
    mark(image, layer, "transparency", 0)
    layer.set_lock_alpha(True)
    answers["alpha locked"] = refused(image, [layer], damage="transparency", output="in-place")

    image, layer = make_image()
    text = Gimp.TextLayer.new(image, "words", Gimp.context_get_font(), 20, Gimp.Unit.pixel())
    image.insert_layer(text, None, 0)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 5, 5, 10, 10)
    answers["text"] = refused(image, [text])

    image, layer = make_image()
    spoil(layer)
    image.convert_indexed(
        Gimp.ConvertDitherType.NONE, Gimp.ConvertPaletteType.GENERATE, 64, False, False, ""
    )
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 40, 30, 20, 10)
    answers["indexed"] = refused(image, [layer])

    image, layer = make_image()
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 5, 5, 20, 20)
    Gimp.edit_copy([layer])
    floating = Gimp.edit_paste(layer, False)[0]
    answer = restore(image, [floating])
    answers["floating selection"] = {"fine": answer[0], "said": answer[1], "same": True}
    image.delete()

    image, layer = make_image(size=(12, 12))
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 5, 5, 2, 2)
    answers["tiny"] = refused(image, [layer])

    return answers


def indexed_allowed():
    image, layer = make_image()
    spoil(layer)
    image.convert_indexed(
        Gimp.ConvertDitherType.NONE, Gimp.ConvertPaletteType.GENERATE, 64, False, False, ""
    )
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 39, 29, 38, 12)
    succeed(image, [layer], allow_rgb=True, output="in-place")
    answer = image.get_base_type().value_nick, len(image.get_layers())
    image.delete()
    return answer


def locked_photo_new_layer():
    """A locked photograph is no obstacle to a new layer above."""
    image, layer = make_image()
    mark(image, layer, "selection", 0)
    layer.set_lock_content(True)
    layer.set_lock_position(True)
    succeed(image, [layer])
    answer = len(image.get_layers())
    image.delete()
    return answer


# --- What it costs -------------------------------------------------------------------------------


def overhead(selection, carried):
    """A small selection in 24 megapixels of 16 bit: seconds, MB sent both ways, MB of memory.

    In the file `carried` the plug-in notes the bytes that its sockets send and receive.

    The least of three; of memory the most, beyond what it was before.
    """
    width, height = 6000, 4000
    image = Gimp.Image.new_with_precision(
        width, height, Gimp.ImageBaseType.RGB, Gimp.Precision.U16_NON_LINEAR
    )
    layer = Gimp.Layer.new(
        image, "photo", width, height, Gimp.ImageType.RGB_IMAGE, 100.0, Gimp.LayerMode.NORMAL
    )
    image.insert_layer(layer, None, 0)
    rows = os.urandom(width * 6 * 100)
    for top in range(0, height, 100):
        write(layer, (0, top, width, 100), rows, "R'G'B' u16")
    x, y, wide, high = selection
    image.select_rectangle(Gimp.ChannelOps.REPLACE, x, y, wide, high)
    succeed(image, [layer], iterations=1)  # the service is up, as it is when dialogs were answered
    image.remove_layer(image.get_layers()[0])
    gimp = os.getppid()
    before = memory_mb(gimp, "VmRSS")
    with open(f"/proc/{gimp}/clear_refs", "w") as file:
        file.write("5")  # the peak is counted from here
    plug_in = PeakOfPlugIn()
    plug_in.start()
    took_s, sent_mb = [], []
    for _ in range(3):
        before_mb, began = carried_mb(carried), time.monotonic()
        succeed(image, [layer], iterations=1)
        took_s.append(time.monotonic() - began)
        sent_mb.append(carried_mb(carried) - before_mb)
        image.remove_layer(image.get_layers()[0])
    plug_in.end = True
    plug_in.join()
    answer = {
        "seconds": min(took_s),
        "sent_mb": max(sent_mb),
        "gimp_mb": memory_mb(gimp, "VmHWM") - before,
        "plug_in_mb": plug_in.peak_mb,
    }
    image.delete()
    return answer


def carried_mb(path):
    with open(path) as file:
        return sum(map(int, file)) / 1e6


class PeakOfPlugIn(threading.Thread):
    """Watches the plug-in's own process, which is gone afterwards."""

    peak_mb, end = 0.0, False

    def run(self):
        while not self.end:
            for name in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{name}/cmdline", "rb") as file:
                        if b"dip_restore.py" in file.read():
                            self.peak_mb = max(self.peak_mb, memory_mb(name, "VmHWM"))
                except (OSError, StopIteration):
                    continue
            time.sleep(0.02)


def memory_mb(pid, name):
    with open(f"/proc/{pid}/status") as file:
        line = next(line for line in file if line.startswith(name))
    return int(line.split()[1]) / 1024


# --- Changed while the fit ran -------------------------------------------------------------------


def changed_meanwhile(plug_in):
    """Cut out, let somebody change something, put in: what is said, and whether it was put in."""
    import sys

    sys.path[:0] = [plug_in, os.path.join(plug_in, "vendor")]
    import layers
    from session import Filled

    def delete_layer(image, layer):
        image.insert_layer(layer.copy(), None, 0)
        image.remove_layer(layer)

    def scale(image, layer):
        image.scale(60, 45)

    def convert(image, layer):
        image.convert_precision(Gimp.Precision.U16_NON_LINEAR)

    def gray(image, layer):
        image.convert_grayscale()

    def paint(image, layer):
        spoil(layer, (42, 22, 6, 6))

    def lock(image, layer):
        layer.set_lock_content(True)

    def move(image, layer):
        layer.set_offsets(7, 5)

    def nothing(image, layer):
        pass

    answers = {}
    for output in ("new-layer", "in-place"):
        for change in (delete_layer, scale, convert, gray, paint, lock, move, nothing):
            image, layer = make_image()
            mark(image, layer, "selection", 0)
            cutting = layers.cut_out(image, layer, "selection", output, 0, {})
            order = cutting.order
            if output == "in-place":
                place = 0, 0, order.width, order.height
                pixels = order.pixels
            else:
                box, part = cutting.damage.box, cutting.damage.part
                place = box.x - part.x, box.y - part.y, box.width, box.height
                pixels = b"\x7f\x7f\x7f\xff" * box.area
            change(image, layer)
            before = [digest(each) for each in image.get_layers()]
            try:
                layers.put_in(image, cutting, [Filled("U-Net", *place, pixels, None)])
                said = ""
            except layers.Refusal as refusal:
                said = str(refusal)
            after = [digest(each) for each in image.get_layers()]
            found = {"said": said, "same": before == after, "layers": len(after)}
            if output == "new-layer" and not said:
                found["at"] = list(image.get_layers()[0].get_offsets()[1:])
            answers[f"{change.__name__} {output}"] = found
            image.delete()

    image, layer = make_image()
    mark(image, layer, "selection", 0)
    cutting = layers.cut_out(image, layer, "selection", "new-layer", 0, {})
    image.delete()
    try:
        layers.put_in(image, cutting, [])
    except layers.Refusal as refusal:
        answers["closed"] = {"said": str(refusal), "same": True}
    return answers
