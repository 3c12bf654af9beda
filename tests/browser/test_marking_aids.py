"""What helps while damage is marked: keys, the wheel, colours, what is marked, and reloads."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from page_canvas import Canvas, colour_at

LINE = ((20, 40), (76, 40))


def brush_size(page: Any) -> int:
    return int(page.text_content("#brush-size-shown").split()[0])


def test_space_moves_the_photo_after_a_button_was_clicked(canvas: Any) -> None:
    page = canvas.page
    canvas.draw(*LINE)
    before = canvas.mask()
    for button in ("#undo", "#redo", "#zoom-fit", "#show-mask", "#show-mask"):
        page.click(button)
        page.mouse.move(*canvas.at(48, 20))
        page.mouse.move(*canvas.at(48, 22))
        page.keyboard.down(" ")
        page.mouse.down()
        page.mouse.move(*canvas.at(48, 40))
        page.mouse.up()
        page.keyboard.up(" ")
        pressed = page.get_attribute("#show-mask", "aria-pressed")
        page.click("#zoom-fit")
        assert pressed == str(button != "#show-mask" or pressed == "true").lower()
    assert np.array_equal(canvas.mask(), before)
    # By keyboard alone, Space presses the button that has the focus.
    page.mouse.move(5, 5)
    page.focus("#undo")
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press(" ")
    assert page.is_disabled("#undo")


def test_the_wheel_with_alt_changes_the_brush_and_not_the_zoom(canvas: Any) -> None:
    page = canvas.page
    zoom, size = page.text_content("#zoom-shown"), brush_size(page)
    page.mouse.move(*canvas.at(48, 40))
    page.keyboard.down("Alt")
    for _ in range(4):
        page.mouse.wheel(0, -100)
    page.wait_for_function(
        "size => parseInt(document.getElementById('brush-size-shown').textContent) > size", arg=size
    )
    larger = brush_size(page)
    for _ in range(8):
        page.mouse.wheel(0, 100)
    page.wait_for_function(
        "size => parseInt(document.getElementById('brush-size-shown').textContent) < size", arg=size
    )
    page.keyboard.up("Alt")
    assert larger > size > brush_size(page)
    assert page.text_content("#zoom-shown") == zoom


def test_shift_and_a_click_draw_a_line_from_the_last_point(canvas: Any) -> None:
    page = canvas.page
    canvas.draw((20, 20))
    page.keyboard.down("Shift")
    canvas.draw((70, 60))
    canvas.draw((70, 20))
    page.keyboard.up("Shift")
    mask = canvas.mask()
    for x, y in ((20, 20), (45, 40), (70, 60), (70, 40), (70, 20)):
        assert mask[y, x] == 255, (x, y)
    assert mask[20, 45] == 0
    page.keyboard.press("Control+z")
    assert canvas.mask()[40, 70] == 0


@pytest.mark.parametrize("colour", [(200, 30, 30), (40, 60, 200), (60, 160, 70), (240, 220, 60)])
def test_marks_are_seen_on_photos_of_any_colour(
    page: Any, choose: Any, colour: tuple[int, int, int]
) -> None:
    photo = np.full((80, 96, 3), colour, dtype=np.uint8)
    photo[::7, ::5] = 255 - photo[::7, ::5]
    choose(page, photo)
    canvas = Canvas(page, 96, 80)
    canvas.draw(*LINE)
    page.wait_for_timeout(100)
    mark = colour_at(page, *canvas.at(48, 40.5), "mask")
    assert mark[3] == 255
    assert np.linalg.norm(np.subtract(mark[:3], colour)) * 0.55 > 100
    page.click("#mask-colour")  # red, for this and for all other photos
    page.wait_for_timeout(100)
    assert colour_at(page, *canvas.at(48, 40.5), "mask")[:3] == [255, 64, 58]
    for _ in range(5):
        page.click("#mask-colour")
    page.wait_for_timeout(100)
    assert colour_at(page, *canvas.at(48, 40.5), "mask") == mark


def test_the_page_says_what_is_marked_and_how_long_it_takes(canvas: Any) -> None:
    page = canvas.page
    page.keyboard.press("r")
    canvas.draw((10, 20), (20, 30))
    canvas.draw((20, 30), (25, 35))  # touches the first at a corner
    canvas.draw((60, 20), (70, 30))
    expected = r"(\S+)% of the photo is marked, in 2 places. It takes about (\d+) s."
    page.wait_for_function("() => /2 places/.test(document.getElementById('marked').textContent)")
    found = re.fullmatch(expected, page.text_content("#marked"))
    assert found is not None
    assert float(found[1]) == pytest.approx(100 * 225 / 96 / 80, abs=0.06)
    page.click("label:has(input[name=preset][value=fast])")
    faster = re.fullmatch(expected, page.text_content("#marked"))
    assert faster is not None
    assert int(faster[2]) < int(found[2])


def test_a_reload_keeps_the_photo_the_mask_and_the_choices(
    canvas: Any, until: Callable[..., Any]
) -> None:
    page = canvas.page
    canvas.draw(*LINE)
    mask = canvas.mask()
    page.click("label:has(input[name=preset][value=fast])")
    page.get_by_role("slider", name="Texture").press("ArrowLeft")
    page.wait_for_timeout(800)  # the mask is kept soon, not at once
    page.reload()
    page.wait_for_selector("body[data-mode=edit]")
    page.wait_for_selector("#restore:enabled")
    assert page.text_content("#about-photo").startswith("photo.png")
    assert page.is_checked("input[name=preset][value=fast]")
    assert page.text_content("#texture-shown") == "95%"
    assert np.array_equal(canvas.mask(), mask)
    # Another tab has a photo of its own.
    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_selector("#presets label")
    assert other.get_attribute("body", "data-mode") == "empty"


def test_tools_have_names_and_tooltips_with_their_keys(page: Any) -> None:
    for tool in page.locator("[data-tool]").all():
        assert re.search(r"\([A-Z](,.*)?\)", tool.get_attribute("title"))
        assert tool.inner_text().strip()
    for button in page.locator("nav button, #options button, #zoom button, header button").all():
        assert button.get_attribute("title"), button.get_attribute("id")
