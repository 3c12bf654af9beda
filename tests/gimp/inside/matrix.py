"""One restoration for each kind of image, and the faults of each."""

import traceback

import gi

gi.require_version("Gimp", "3.0")
from gi.repository import Gimp  # noqa: E402

from .photographs import (  # noqa: E402
    HEIGHT,
    SCRATCH,
    WIDTH,
    differing,
    floats,
    make_image,
    mark,
    read,
    visible,
)
from .plug_in import succeed  # noqa: E402


def matrix(cases):
    """Restore one photograph for each case; the problems of each."""
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


def unknown_pixels(image, layer, source):
    """The numbers of the pixels that may change."""
    if source == "selection":
        plane, none = read(image.get_selection(), "Y u8"), 0
    elif source == "transparency":
        plane, none = read(layer, "A u8"), 255
    else:
        plane, none = read(layer.get_mask(), "Y u8"), 255
    return {number for number, value in enumerate(plane) if value != none}


def far_off(image, truth, restored, iterations):
    """The problem of a fill that is transparent or, after a long fit, of the wrong colour."""
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
    """The numbers of the pixels that are damaged for certain."""
    x, y, width, height = SCRATCH
    return {
        row * WIDTH + column
        for row in range(y + 3, y + height - 3)
        for column in range(x + 3, x + width - 3)
    }
