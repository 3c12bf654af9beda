"""Where results lie, for layers and selections anywhere."""

import struct

import gi

gi.require_version("Gimp", "3.0")
from gi.repository import Gimp  # noqa: E402

from .photographs import (  # noqa: E402
    HEIGHT,
    SCRATCH,
    WIDTH,
    differing,
    make_image,
    mark,
    read,
    spoil,
    visible_alpha,
    write,
)
from .plug_in import succeed  # noqa: E402


def offsets():
    """Layers that reach beyond the image, in each direction; some are selected in part."""
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
    """A selection that reaches beyond the layer and the image."""
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
    """Grow the damage; the selection stays as it is."""
    image, layer = make_image()
    x, y, width, height = SCRATCH
    spoil(layer)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, x, y, width, height)
    selection = read(image.get_selection())
    succeed(image, [layer], grow=4)
    new = image.get_layers()[0]
    same = read(image.get_selection()) == selection
    place = list(new.get_offsets()[1:])
    answer = new.get_width(), new.get_height(), place, same, len(Gimp.get_images())
    image.delete()
    return answer


def growing_over_its_rim():
    """A selection that misses a sliver of the damage: it is restored, and little beside it."""
    wrong = []
    x, y, width, height = SCRATCH

    def around(margin):
        return {
            (row * WIDTH + column)
            for row in range(y - margin, y + height + margin)
            for column in range(x - margin, x + width + margin)
        }

    for output in ("new-layer", "in-place"):
        image, layer = make_image()
        spoil(layer)
        image.select_rectangle(Gimp.ChannelOps.REPLACE, x + 2, y + 2, width - 4, height - 4)
        selection, before = read(image.get_selection()), read(layer)
        succeed(image, [layer], output=output, grow_auto=True, iterations=3)
        if output == "in-place":
            changed = differing(before, read(layer), 3)
        else:
            new = image.get_layers()[0]
            left, top = new.get_offsets()[1:]
            alpha = read(new, "A u8")
            columns = new.get_width()
            changed = {
                (top + number // columns) * WIDTH + left + number % columns
                for number, value in enumerate(alpha)
                if value
            }
        if not around(0) <= changed <= around(2):
            wrong.append(f"{output}: {len(around(0) - changed)}, {len(changed - around(2))}")
        if read(image.get_selection()) != selection:
            wrong.append(f"{output}: the selection was changed")
        image.delete()
    return wrong


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


def outside_the_canvas():
    """Two transparent scratches, one outside the canvas: it stays as it is."""
    wrong = []
    for output in ("new-layer", "in-place"):
        image, layer = make_image(alpha=True)
        mark(image, layer, "transparency", 0)
        write(layer, (40, 60, 30, 5), struct.pack("<4f", 1, 0, 1, 0) * 150)
        image.resize(WIDTH, 55, 0, 0)
        succeed(image, [layer], damage="transparency", output=output, iterations=3)
        result = image.get_layers()[0]
        _, left, top = result.get_offsets()
        alpha = [read(result, "A u8", (50 - left, row - top, 1, 1))[0] for row in (35, 62)]
        if alpha != [255, 0]:
            wrong.append(f"{output}: alpha is {alpha}")
        image.delete()
    return wrong


def in_a_group():
    """Restore a layer of a group."""
    image, layer = make_image()
    group = Gimp.GroupLayer.new(image, "group")
    image.insert_layer(group, None, 0)
    image.reorder_item(layer, group, 0)
    mark(image, layer, "selection", 0)
    succeed(image, [layer])
    found = [each.get_name() for each in group.get_children()]
    image.delete()
    return found
