"""Networks, seeds, textures and the ways to run the plug-in."""

import gi

gi.require_version("Gimp", "3.0")
from gi.repository import Gimp  # noqa: E402

from .photographs import HEIGHT, WIDTH, digest, make_image, mark, spoil, write  # noqa: E402
from .plug_in import restore, succeed  # noqa: E402


def both_networks():
    image, layer = make_image()
    mark(image, layer, "selection", 0)
    succeed(image, [layer], network="both", output="in-place")
    found = [(each.get_name(), each.get_visible()) for each in image.get_layers()]
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
    """Fill a hole in a grained photograph, with and without texture."""
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


def with_last_values():
    """Run as Ctrl+F does: without a dialog."""
    image, layer = make_image()
    mark(image, layer, "selection", 0)
    succeeded, message = restore(image, [layer], Gimp.RunMode.WITH_LAST_VALS)
    answer = succeeded, message, len(image.get_layers())
    image.delete()
    return answer


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
    """Add a layer above a locked photograph."""
    image, layer = make_image()
    mark(image, layer, "selection", 0)
    layer.set_lock_content(True)
    layer.set_lock_position(True)
    succeed(image, [layer])
    answer = len(image.get_layers())
    image.delete()
    return answer
