"""Panels, details and curves."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dip.panels import (
    DAMAGE,
    PAPER,
    Curve,
    Panel,
    Window,
    beside,
    draw_curves,
    draw_panels,
    find_detail,
    mark,
    picture,
    stack,
)

BLUE = (31, 104, 178)


@settings(max_examples=40)
@given(st.integers(16, 90), st.integers(16, 90), st.integers(0, 2**32 - 1))
def test_a_detail_lies_inside_the_picture_and_holds_damage(height, width, seed):
    random = np.random.default_rng(seed)
    unknown = np.zeros((height, width), dtype=bool)
    top, left = random.integers(0, height), random.integers(0, width)
    unknown[top : top + random.integers(1, 30), left : left + random.integers(1, 30)] = True
    detail = find_detail(unknown)
    assert detail.top >= 0
    assert detail.left >= 0
    assert detail.top + detail.height <= height
    assert detail.left + detail.width <= width
    inside = unknown[detail.top :, detail.left :][: detail.height, : detail.width]
    assert inside.any()


def test_a_detail_contains_a_whole_hole_and_its_surroundings():
    unknown = np.zeros((300, 400), dtype=bool)
    unknown[100:160, 250:320] = True
    detail = find_detail(unknown)
    assert detail.top < 90
    assert detail.top + detail.height > 170
    assert detail.left < 240
    assert detail.left + detail.width > 330


def test_a_large_picture_is_searched_quickly():
    unknown = np.zeros((3000, 4000), dtype=bool)
    unknown[2000:2003, 1000:1900] = True
    detail = find_detail(unknown)
    assert detail.top < 2000 < detail.top + detail.height


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((4, 6), 65535, dtype=np.uint16),
        np.full((4, 6, 1), 255, dtype=np.uint8),
        np.ones((4, 6, 2), dtype=np.float32),
        np.full((4, 6, 3), 255, dtype=np.uint8),
        np.ones((4, 6, 4), dtype=np.float32),
    ],
    ids=["gray 16 bit", "gray", "gray with alpha", "colour", "colour with alpha"],
)
def test_samples_of_each_type_become_a_picture(pixels):
    shown = picture(pixels)
    assert (shown.mode, shown.size, shown.getpixel((0, 0))) == ("RGB", (6, 4), (255, 255, 255))


def test_unknown_pixels_are_painted_and_no_others():
    unknown = np.zeros((8, 8), dtype=bool)
    unknown[2, 3] = True
    painted = np.asarray(mark(picture(np.zeros((8, 8), dtype=np.uint8)), unknown))
    assert tuple(painted[2, 3]) == DAMAGE
    assert not painted[~unknown].any()


def test_panels_lie_side_by_side_with_room_for_their_text():
    gray = picture(np.zeros((40, 60), dtype=np.uint8))
    panels = [Panel(gray, "one", ["first line", "second"]), Panel(gray, "two")]
    plain = draw_panels(panels, 120)
    detailed = draw_panels(panels, 120, detail=Window(5, 5, 20, 30))
    assert plain.width == detailed.width > 240
    assert detailed.height >= plain.height + 80
    page = stack([plain, beside([gray, gray])])
    assert page.width > plain.width
    assert page.getpixel((0, 0)) == PAPER


def colours_of(image):
    return {colour for _, colour in image.getcolors(maxcolors=1 << 24)}


@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize(
    "values",
    [[1.0], [2.0, 2.0, 2.0], [5.0, math.nan, 0.1], [1e-4, 1.0], [300.0, 301.0]],
)
def test_all_kinds_of_curves_are_drawn_in_their_colour(values, logarithmic):
    curve = Curve("loss", [(float(i + 1), y) for i, y in enumerate(values)], BLUE)
    drawn = draw_curves(
        [curve], (400, 240), title="loss", x_label="iteration", logarithmic=logarithmic
    )
    assert drawn.size == (400, 240)
    assert BLUE in colours_of(drawn.crop((64, 40, 392, 190)))


def test_a_flat_curve_looks_flat_if_the_axis_begins_at_zero():
    def height_of(**style):
        curve = Curve("s", [(1.0, 100.0), (2.0, 101.0)], BLUE)
        drawn = np.asarray(draw_curves([curve], (400, 240), title="s", x_label="MP", **style))
        rows = np.flatnonzero((drawn[40:190, 64:392] == BLUE).all(axis=-1).any(axis=1))
        return np.ptp(rows)

    assert height_of() > 100
    assert height_of(from_zero=True) < 10
    assert height_of(from_zero=True, dots=True) > height_of(from_zero=True)


@pytest.mark.parametrize("points", [[], [(1.0, math.inf)]])
def test_a_curve_without_points_is_drawn_with_a_message(points):
    drawn = draw_curves([Curve("x", points, BLUE)], (400, 240), title="loss", x_label="iteration")
    assert BLUE not in colours_of(drawn)
