"""Situations in which the plug-in refuses to restore, and its messages."""

import gi

gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from gi.repository import Gegl, Gimp  # noqa: E402

from .photographs import HEIGHT, WIDTH, digest, make_image, mark, spoil  # noqa: E402
from .plug_in import restore  # noqa: E402


def refused(image, layers, **given):
    """Run the plug-in: its message, and whether the image stays the same."""
    names = [each.get_name() for each in image.get_layers()]
    before = [digest(each) for each in image.get_layers()]
    mode = image.get_base_type()
    succeeded, message = restore(image, layers, **given)
    same = (
        names == [each.get_name() for each in image.get_layers()]
        and before == [digest(each) for each in image.get_layers()]
        and mode == image.get_base_type()
        and not image.get_channels()
    )
    image.delete()
    return {"succeeded": succeeded, "message": message, "same": same}


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
    answers["channel"] = {"succeeded": answer[0], "message": answer[1], "same": True}
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
    answers["floating selection"] = {"succeeded": answer[0], "message": answer[1], "same": True}
    image.delete()

    image, layer = make_image(size=(12, 12))
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 5, 5, 2, 2)
    answers["tiny"] = refused(image, [layer])

    return answers
