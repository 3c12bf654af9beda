"""Find Damage without windows: what is selected, and the messages."""

import gi

gi.require_version("Gimp", "3.0")
from gi.repository import Gimp  # noqa: E402

from .photographs import digest, make_image, read, write  # noqa: E402

SPECKS = ((60, 50), (150, 40), (200, 140), (90, 150))
SIZE = (240, 180)


def dusty_image(**given):
    """A photograph with bright dust, and the part that a script may select."""
    image, layer = make_image(size=SIZE, **given)
    for x, y in SPECKS:
        channels = {"gray": 1}.get(given.get("mode"), 3) + bool(given.get("alpha"))
        sample = b"\xfa" * channels
        name = ("Y'" if channels < 3 else "R'G'B'") + ("A" if channels in (2, 4) else "") + " u8"
        write(layer, (x, y, 3, 3), sample * 9, name)
    return image, layer


def find(image, layers, **given):
    procedure = Gimp.get_pdb().lookup_procedure("dip-find-damage")
    if procedure is None:
        raise RuntimeError("the procedure is not there")
    config = procedure.create_config()
    config.set_property("run-mode", Gimp.RunMode.NONINTERACTIVE)
    config.set_property("image", image)
    config.set_core_object_array("drawables", layers)
    for name, value in given.items():
        config.set_property(name, value)
    answer = procedure.run(config)
    succeeded = answer.index(0) == Gimp.PDBStatusType.SUCCESS
    return succeeded, "" if succeeded else Gimp.get_pdb().get_last_error()


def selected(image, x, y):
    return read(image.get_selection(), "Y u8", (x, y, 1, 1))[0] > 127


def selected_pixels(image):
    data = read(image.get_selection(), "Y u8")
    return len(data) - sum(data.count(value) for value in range(128))


def found_damage(all_kinds):
    """For each kind of image, or two: which specks are selected, and what else changed."""
    answers = {}
    kinds = {
        "gray u8": {"mode": "gray"},
        "rgb alpha u16": {"precision": "u16-non-linear", "alpha": True},
        "rgb u8": {},
        "rgb float": {"precision": "float-linear"},
    }
    for name, given in list(kinds.items())[: None if all_kinds else 2]:
        image, layer = dusty_image(**given)
        layer.set_offsets(-10, 5)
        before, layers = digest(layer), len(image.get_layers())
        image.select_rectangle(Gimp.ChannelOps.REPLACE, 0, 0, 30, 20)
        operation = "add" if name == "gray u8" else "replace"
        succeeded, message = find(image, [layer], operation=operation)
        answers[name] = {
            "message": message,
            "found": [selected(image, x - 10 + 1, y + 5 + 1) for x, y in SPECKS],
            "kept": selected(image, 5, 5),
            "pixels": selected_pixels(image),
            "same": succeeded and digest(layer) == before and len(image.get_layers()) == layers,
            "channels": len(image.get_channels()),
        }
        image.delete()
    return answers


def finding_refused():
    """The messages where nothing can be selected."""
    answers = {}

    def refused(image, layers, **given):
        image.select_rectangle(Gimp.ChannelOps.REPLACE, 0, 0, 30, 20)
        before = digest(image.get_selection())
        succeeded, message = find(image, layers, **given)
        same = before == digest(image.get_selection()) and not image.get_channels()
        image.delete()
        return {"succeeded": succeeded, "message": message, "same": same}

    image, layer = make_image(size=SIZE)
    answers["nothing found"] = refused(image, [layer], sensitivity=0.02)
    image, layer = dusty_image()
    answers["no kind"] = refused(image, [layer], specks=False, scratches=False, creases=False)
    image, layer = make_image(size=(20, 20))
    answers["too small"] = refused(image, [layer])
    image, layer = dusty_image()
    second = layer.copy()
    image.insert_layer(second, None, 0)
    answers["several layers"] = refused(image, [layer, second])
    return answers
