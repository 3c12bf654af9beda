"""Accessibility by the rules of axe, and screenshots to look at in tests/browser/pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dip.image_io import encode_photo
from dip.sample_photo import astronaut, draw_damage

DESKTOP, TABLET, PHONE = (1440, 900), (820, 1180), (390, 800)
SCHEMES = ("dark", "light")


def axe_violations(page: Any) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['html']}: {node['failureSummary']}"
        for each in found
        for node in each["nodes"]
    ]


def no_violations(page: Any) -> None:
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        assert axe_violations(page) == [], scheme


def test_axe_finds_no_violation_in_any_part_of_the_page(
    open_page: Callable[..., Any],
    choose: Any,
    canvas_of: Any,
    scratched: Any,
    keep_picture: Callable[..., Path],
) -> None:
    # Without motion: axe would see colours in the middle of a transition.
    page = open_page(reduced_motion="reduce")
    no_violations(page)
    choose(page, scratched)
    canvas_of(page, 96, 80).draw((18, 40), (78, 40))
    no_violations(page)
    page.keyboard.press("w")
    page.wait_for_function("() => performance.getEntriesByName('found').length > 0")
    no_violations(page)
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    no_violations(page)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        keep_picture(page, f"shortcuts-{scheme}.png")
    page.keyboard.press("Escape")
    page.click("#advanced summary")
    page.click("label:has(input[name=network][value=both])")
    page.click("label:has(input[name=preset][value=paper])")
    no_violations(page)
    page.click("label:has(input[name=preset][value=best])")
    page.click("#restore")
    page.wait_for_selector("#stop:enabled")
    page.click("#job-details summary")
    no_violations(page)
    page.click("#stop")
    page.wait_for_selector(".divider")
    page.evaluate("document.getElementById('toasts').replaceChildren()")
    no_violations(page)


def test_every_control_has_a_name_and_tab_reaches_it(
    page: Any, choose: Any, scratched: Any
) -> None:
    choose(page, scratched)
    page.click("#advanced summary")
    expected = page.evaluate(
        """() => [...document.querySelectorAll("button, input, summary, [tabindex]")]
          .filter((each) => each.checkVisibility() && !each.disabled)
          .filter((each) => each.type !== "radio" || each.checked)
          .map((each) => each.id || each.value || each.dataset.tool || each.className)"""
    )
    reached = set()
    for _ in range(3 * len(expected)):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                """() => { const each = document.activeElement;
                  return each.id || each.value || each.dataset.tool || each.className; }"""
            )
        )
    assert set(expected) <= reached


@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param("desktop", DESKTOP, marks=pytest.mark.exhaustive),
        pytest.param("tablet", TABLET, marks=pytest.mark.exhaustive),
        ("phone", PHONE),
    ],
)
def test_nothing_is_cut_off_while_damage_is_marked(
    open_page: Callable[..., Any],
    keep_picture: Callable[..., Path],
    name: str,
    size: tuple[int, int],
) -> None:
    page = open_page(size=size, has_touch=name != "desktop")

    def keep(step: str) -> None:
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            keep_picture(page, f"{step}-{name}-{scheme}.png")
        nothing_is_cut_off(page)

    keep("empty")
    nothing_lies_over_controls(page)
    page.click("#example")
    page.wait_for_selector("body[data-mode=edit]")
    page.click("[data-tool=find]")
    page.wait_for_selector("#find-accept:enabled")
    keep("find")
    nothing_lies_over_controls(page)
    assert are_in_sight(page, ["#find-sensitivity", "#find-accept", "#find-discard"])
    assert box_of(page, "#zoom")["y"] >= box_of(page, "#stage")["y"] + page.evaluate(
        BOTTOM_OF_PHOTO
    )
    if name != "phone":  # where the row of options is scrolled
        page.evaluate("document.getElementById('find-progress').textContent = '長い言葉'.repeat(9)")
        assert page.evaluate(
            "() => { const {left, right} = document.getElementById('find-progress')"
            ".getBoundingClientRect(); return left >= 0 && right <= innerWidth; }"
        )
    page.click("#find-accept")
    page.click("[data-tool=brush]")
    keep("marked")
    page.click("#advanced summary")
    keep("advanced")


BOTTOM_OF_PHOTO = """() => {
  const {width, height} = document.getElementById("photo-layer"), ratio = devicePixelRatio;
  const context = document.getElementById("photo-layer").getContext("2d");
  const {data} = context.getImageData(Math.round(width / 2), 0, 1, height);
  let row = height - 1;
  while (row > 0 && !data[4 * row + 3]) row--;
  return (row + 1) / ratio;
}"""
"""From the top of the stage, in the pixels of CSS."""


def box_of(page: Any, selector: str) -> dict[str, float]:
    box: dict[str, float] = page.locator(selector).bounding_box()
    return box


def are_in_sight(page: Any, selectors: list[str]) -> bool:
    boxes = [box_of(page, each) for each in selectors]
    width = page.viewport_size["width"]
    return all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)


def nothing_lies_over_controls(page: Any) -> None:
    """Messages cover the photo alone, also two long ones."""
    covered = page.evaluate(
        """async () => {
          const app = document.querySelector("script[type=module]").src;
          const {toast} = await import(new URL("page/messages.js", app));
          for (let count = 0; count < 2; count++) {
            toast("The disk of the service is full. Free some space, or delete restorations.");
          }
          const messages = [...document.querySelectorAll(".toast")]
            .map((each) => each.getBoundingClientRect());
          const meet = (a, b) =>
            a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
          const controls = [...document.querySelectorAll("button, input, select, label, summary")]
            .filter((each) => each.checkVisibility() && !each.closest(".toast"));
          const found = controls.filter((each) =>
            messages.some((message) => meet(message, each.getBoundingClientRect())));
          document.getElementById("toasts").replaceChildren();
          return found.map((each) => each.id || each.outerHTML);
        }"""
    )
    assert covered == []


def nothing_is_cut_off(page: Any) -> None:
    """No control is outside the window, and the window does not scroll sideways."""
    width = page.viewport_size["width"]
    outside = page.evaluate(
        """(width) => [...document.querySelectorAll("header button, #zoom *, aside button")]
          .filter((each) => each.checkVisibility())
          .map((each) => [each.id || each.tagName, each.getBoundingClientRect()])
          .filter(([, box]) => box.width && (box.left < -1 || box.right > width + 1))
          .map(([name]) => name)""",
        width,
    )
    assert outside == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.exhaustive
def test_screenshots_of_a_job_and_of_its_result(
    open_page: Callable[..., Any], service: Any, keep_picture: Callable[..., Path]
) -> None:
    damage = draw_damage(astronaut()[:192, 128:320])
    files = encode_photo(damage.photo, "png"), encode_photo(damage.mask, "png")
    page = open_page(size=DESKTOP, color_scheme="dark")
    with service.client() as client:
        job_id = client.submit(
            *files, photo_name="portrait.png", preset="fast", iterations=40, threads=1
        )["id"]
        page.goto(f"{service.url}/#job={job_id}")
        page.reload()
        page.click("#job-details summary")
        page.wait_for_function("() => document.getElementById('job-progress').value > 0.3")
        keep_picture(page, "running-desktop-dark.png")
        client.wait(job_id)
    page.wait_for_selector(".divider")
    for name, size in (("desktop", DESKTOP), ("phone", PHONE)):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            path = keep_picture(page, f"result-{name}-{scheme}.png")
    with Image.open(path) as shot:
        pixels = np.asarray(shot.convert("RGB")).reshape(-1, 3)
    assert len(np.unique(pixels, axis=0)) > 5_000  # the photo is visible
