"""Changes of the photograph while the fit runs."""

import os
import sys

import gi

gi.require_version("Gimp", "3.0")
from gi.repository import Gimp  # noqa: E402

from .photographs import digest, make_image, mark, spoil  # noqa: E402


def changed_meanwhile(plug_in):
    """Crop a layer, change the image, insert a result: the message, and whether it was inserted."""

    sys.path[:0] = [plug_in, os.path.join(plug_in, "vendor")]
    import layers
    from session import Result

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
            crop = layers.crop_layer(image, layer, "selection", output, 0, {})
            request = crop.request
            if output == "in-place":
                place = 0, 0, request.width, request.height
                pixels = request.pixels
            else:
                box, sent = crop.damage.box, crop.damage.crop
                place = box.x - sent.x, box.y - sent.y, box.width, box.height
                pixels = b"\x7f\x7f\x7f\xff" * box.area
            change(image, layer)
            before = [digest(each) for each in image.get_layers()]
            try:
                layers.insert_results(image, crop, [Result("U-Net", *place, pixels)])
                message = ""
            except layers.Refusal as refusal:
                message = str(refusal)
            after = [digest(each) for each in image.get_layers()]
            found = {"message": message, "same": before == after, "layers": len(after)}
            if output == "new-layer" and not message:
                found["at"] = list(image.get_layers()[0].get_offsets()[1:])
            answers[f"{change.__name__} {output}"] = found
            image.delete()

    image, layer = make_image()
    mark(image, layer, "selection", 0)
    crop = layers.crop_layer(image, layer, "selection", "new-layer", 0, {})
    image.delete()
    try:
        layers.insert_results(image, crop, [])
    except layers.Refusal as refusal:
        answers["closed"] = {"message": str(refusal), "same": True}
    return answers


def changed_while_searching(plug_in):
    """Read a layer, change the image, select what was found: the message, and what is selected."""
    sys.path[:0] = [plug_in, os.path.join(plug_in, "vendor")]
    import find_damage
    from checks import Refusal
    from chosen_marks import check_marks
    from photograph import Photograph

    def paint(image, layer):
        spoil(layer, (42, 22, 6, 6))

    def scale(image, layer):
        image.scale(60, 45)

    def delete_layer(image, layer):
        image.insert_layer(layer.copy(), None, 0)
        image.remove_layer(layer)

    def close(image, layer):
        image.delete()

    def move(image, layer):
        layer.set_offsets(7, 5)

    def move_away(image, layer):
        layer.set_offsets(500, 5)

    answers = {}
    for change in (paint, scale, delete_layer, close, move, move_away):
        image, layer = make_image(alpha=True)
        photograph = Photograph.read(image, layer)
        mask = bytearray(layer.get_width() * layer.get_height())
        mask[30 * layer.get_width() + 40] = 255
        change(image, layer)
        message = ""
        try:
            find_damage.select_marks(image, photograph, bytes(mask), adds=False)
        except Refusal as refusal:
            message = str(refusal)
        meets, *box = (False,) if not image.is_valid() else Gimp.Selection.bounds(image)[1:]
        answers[change.__name__] = {"message": message, "box": box if meets else []}
        if image.is_valid():
            image.delete()
    try:
        check_marks(b"\xff" + bytes(7))
    except Refusal as refusal:
        answers["too much"] = {"message": str(refusal), "box": []}
    return answers


def damage_for_a_dialog(plug_in):
    """The reads of pixels as the dialog asks for the damage, and whether that is the right one."""
    sys.path[:0] = [plug_in, os.path.join(plug_in, "vendor")]
    import damage

    image, layer = make_image()
    mark(image, layer, "selection", 0)
    finder, reads, steps = damage.DamageFinder(image, layer), [], {}
    read = damage.read

    def step(name, grow_px=0):
        before = len(reads)
        found = finder.find("selection", grow_px)
        read_in_step = len(reads) - before
        right = found == damage.find_damage(image, layer, "selection", grow_px)
        del reads[before + read_in_step :]
        steps[name] = [read_in_step, right]

    damage.read = lambda *given: reads.append(given) or read(*given)
    try:
        step("opened")
        step("another quality")
        step("grown", 3)
        step("not grown again")
        step("grown again", 3)
        finder.refresh()
        step("focus")
        image.select_rectangle(Gimp.ChannelOps.ADD, 2, 3, 4, 5)
        finder.refresh()
        step("another selection")
        step("another selection, grown", 3)
    finally:
        damage.read = read
        image.delete()
    return steps


def words_of_progress(plug_in):
    """The text in the progress bar, before and after *Stop here*."""
    sys.path[:0] = [plug_in, os.path.join(plug_in, "vendor")]
    from session import Progress
    from widgets import progress_text

    progress = Progress(text="Restoring", fraction=0.4, remaining_s=30.0)
    return [progress_text(progress), progress_text(progress, finishing=True)]
