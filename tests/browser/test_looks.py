"""What everybody can read and reach, by axe's rules; and pictures of it, to be looked at."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dip.image_io import encode_photo
from dip.sample_photo import astronaut, draw_damage

DESKTOP, TABLET, PHONE = (1440, 900), (820, 1180), (390, 800)
LONG_MS = 900_000


def complaints_of_axe(page: Any) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['html']}: {node['failureSummary']}"
        for each in found
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_everybody_can_use_every_part_of_it(
    open_page: Callable[..., Any],
    choose: Any,
    canvas_of: Any,
    scratched: Any,
    scheme: str,
    keep_picture: Callable[..., Path],
) -> None:
    # Without motion: half-way between two colours is neither of them.
    page = open_page(color_scheme=scheme, reduced_motion="reduce")
    assert complaints_of_axe(page) == []
    choose(page, scratched)
    canvas_of(page, 96, 80).draw((18, 40), (78, 40))
    assert complaints_of_axe(page) == []
    page.keyboard.press("w")
    page.wait_for_selector("#wand-accept:enabled")
    assert complaints_of_axe(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    assert complaints_of_axe(page) == []
    keep_picture(page, f"shortcuts-{scheme}.png")
    page.keyboard.press("Escape")
    page.click("label:has(input[name=preset][value=paper])")
    page.click("label:has(input[name=network][value=both])")
    page.click("#restore")
    page.wait_for_selector("#stop:enabled")
    assert complaints_of_axe(page) == []
    page.click("#stop")
    page.wait_for_selector(".divider")
    page.evaluate("document.getElementById('toasts').replaceChildren()")
    assert complaints_of_axe(page) == []


def test_every_control_has_a_name_and_tab_reaches_it(
    page: Any, choose: Any, scratched: Any
) -> None:
    choose(page, scratched)
    wanted = page.evaluate(
        """() => [...document.querySelectorAll("button, input, [tabindex]")]
          .filter((each) => each.checkVisibility() && !each.disabled)
          .filter((each) => each.type !== "radio" || each.checked)
          .map((each) => each.id || each.value || each.dataset.tool || each.className)"""
    )
    reached = set()
    for _ in range(3 * len(wanted)):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                """() => { const each = document.activeElement;
                  return each.id || each.value || each.dataset.tool || each.className; }"""
            )
        )
    assert set(wanted) <= reached


def test_pictures_of_the_empty_page_and_of_painting(
    open_page: Callable[..., Any], keep_picture: Callable[..., Path]
) -> None:
    for scheme in ("dark", "light"):
        for name, size in (("desktop", DESKTOP), ("tablet", TABLET), ("phone", PHONE)):
            page = open_page(size=size, color_scheme=scheme, has_touch=name != "desktop")
            keep_picture(page, f"empty-{name}-{scheme}.png")
            page.click("#example")
            page.wait_for_selector("body[data-mode=edit]")
            keep_picture(page, f"photo-{name}-{scheme}.png")
            page.click("[data-tool=wand]")
            page.wait_for_selector("#wand-accept:enabled")
            keep_picture(page, f"wand-{name}-{scheme}.png")
            page.click("#wand-accept")
            page.click("[data-tool=brush]")
            keep_picture(page, f"painted-{name}-{scheme}.png")
            nothing_is_cut_off(page)
            page.close()


def nothing_is_cut_off(page: Any) -> None:
    """No control is beyond the window's sides, and the window does not scroll sideways."""
    width = page.viewport_size["width"]
    beyond = page.evaluate(
        """(width) => [...document.querySelectorAll("header button, #zoom *, aside button")]
          .filter((each) => each.checkVisibility())
          .map((each) => [each.id || each.tagName, each.getBoundingClientRect()])
          .filter(([, box]) => box.width && (box.left < -1 || box.right > width + 1))
          .map(([name]) => name)""",
        width,
    )
    assert beyond == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_pictures_of_the_example_while_it_heals_and_after(
    open_page: Callable[..., Any], service: Any, keep_picture: Callable[..., Path]
) -> None:
    """One of them is in the README."""
    damage = draw_damage(astronaut())
    files = encode_photo(damage.photo, "png"), encode_photo(damage.mask, "png")
    with service.client() as client:
        running = client.submit(*files, preset="fast")["id"]
        page = open_page(size=DESKTOP, color_scheme="dark")
        page.set_default_timeout(LONG_MS)
        page.evaluate(
            'id => localStorage.setItem(\'dip-names\', `{"${id}": "grandpa.png"}`)', running
        )
        page.goto(f"{service.url}/#job={running}")
        page.reload()
        page.wait_for_function("() => document.getElementById('job-progress').value > 0.3")
        keep_picture(page, "running-desktop-dark.png")
        client.wait(running)
        page.wait_for_selector(".divider")
        keep_picture(page, "result-desktop-dark.png")
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        assert len(np.unique(np.asarray(shot).reshape(-1, 3), axis=0)) > 10_000  # it is a photo
        for name, size, scheme in (
            ("desktop", DESKTOP, "light"), ("tablet", TABLET, "dark"), ("tablet", TABLET, "light"),
        ):  # fmt: skip
            page.set_viewport_size({"width": size[0], "height": size[1]})
            page.emulate_media(color_scheme=scheme)
            keep_picture(page, f"result-{name}-{scheme}.png")
        page.set_viewport_size({"width": 1200, "height": 750})
        page.emulate_media(color_scheme="dark")
        keep_picture(page, "readme.jpg", type="jpeg", quality=82)
