"""Finding damage: the service looks for it, and the page marks as much of it as the user wants."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from page_canvas import Canvas

from dip.detection import detect


@pytest.fixture(scope="module")
def damaged() -> npt.NDArray[np.uint8]:
    """Smooth shapes with a white scratch, a black one, and white specks: (160, 200, 3) uint8."""
    rows, columns = np.mgrid[:160, :200]
    waves = 110 + 30 * np.sin(columns / 23) + 25 * np.cos(rows / 19)
    photo = np.stack([waves, waves * 0.9, 200 - waves], axis=-1)
    photo += np.random.default_rng(1).normal(0, 1.5, photo.shape)
    photo[60:62, 30:170] = 250
    photo[100:102, 30:170] = 5
    for row, column in ((20, 40), (130, 60), (140, 150)):
        photo[row : row + 4, column : column + 4] = 250
    return np.clip(np.rint(photo), 0, 255).astype(np.uint8)


@pytest.fixture
def found(page: Any, choose: Any, damaged: Any) -> Canvas:
    """The photo on the page, and its damage found."""
    choose(page, damaged)
    page.keyboard.press("w")
    page.wait_for_selector("#find-accept:enabled")
    wait_for_the_close_look(page)
    return Canvas(page, 200, 160)


def wait_for_the_close_look(page: Any) -> None:
    page.wait_for_function("() => performance.getEntriesByName('found').length > 0")


def marked(page: Any) -> tuple[float, int]:
    """The share in percent, and the number of places that the page says."""
    shown = page.wait_for_function(
        "() => /%/.test(document.getElementById('marked').textContent) &&"
        " document.getElementById('marked').textContent"
    ).json_value()
    said = re.search(r"([\d.]+)% of the photo.*in (\d+) place", shown)
    assert said is not None
    return float(said[1]), int(said[2])


def slide(page: Any, value: int) -> None:
    page.evaluate(
        """(value) => {
          performance.clearMarks("marked");
          const slider = document.getElementById("find-sensitivity");
          slider.value = value;
          slider.dispatchEvent(new Event("input"));
        }""",
        value,
    )
    page.wait_for_function("() => performance.getEntriesByName('marked').length > 0")


def test_found_damage_is_that_of_the_engine_and_restore_takes_it(
    found: Canvas, damaged: Any
) -> None:
    page = found.page
    levels = detect(damaged.astype(np.float32) / 255)
    # It is only a suggestion, and said so beside the button.
    assert page.text_content("#marked").startswith("Restore takes the found damage too")
    page.keyboard.press("Escape")
    assert page.is_disabled("#restore")
    page.keyboard.press("Control+z")
    share, places = marked(page)
    assert places == levels.count()
    assert share == pytest.approx(100 * levels.mask().mean(), rel=0.06)
    mask = found.mask() > 0
    assert np.array_equal(mask, levels.mask())
    assert mask[60:62, 40:160].mean() > 0.9
    assert mask[100:102, 40:160].mean() > 0.9
    page.keyboard.press("Control+z")  # of what Restore has accepted
    assert page.is_enabled("#find-accept")
    slide(page, 90)
    page.evaluate("document.activeElement.blur()")  # Restore has the focus since its click
    page.keyboard.press("Enter")
    page.wait_for_selector("#find-accept:disabled")
    assert np.array_equal(found.mask() > 0, levels.mask(0.9))


def test_the_slider_marks_more_and_kinds_are_chosen(found: Canvas, damaged: Any) -> None:
    page = found.page
    levels = detect(damaged.astype(np.float32) / 255)
    counts = []
    for value in (10, 50, 100):
        slide(page, value)
        counts.append(levels.mask(value / 100).sum())
    assert counts == sorted(counts)
    for kind in ("specks", "scratches", "creases", "dark"):
        page.click(f"label:has(input[name=find-kind][value={kind}])")
        page.click(f"label:has(input[name=find-kind][value={kind}])")
    page.click("label:has(input[name=find-kind][value=dark])")
    slide(page, 50)
    mask = found.mask() > 0
    bright = ["bright-specks", "bright-scratches", "bright-creases"]
    assert np.array_equal(mask, levels.mask(kinds=bright))
    assert not mask[100:102, 60:140].any()


def test_marks_that_were_dropped_or_added_by_hand_stay_so(
    found: Canvas, until: Callable[..., Any]
) -> None:
    page = found.page
    places = marked(page)[1]
    page.mouse.click(*found.at(100, 61))  # the white scratch is no damage
    until(lambda: marked(page)[1] < places)
    found.draw((100, 20), (140, 20))  # and this is some
    page.keyboard.press("e")
    found.draw((60, 101), (90, 101))
    page.keyboard.press("w")

    def as_by_hand(mask: Any) -> bool:
        return bool(
            not mask[60:62, 60:140].any()
            and mask[20, 105:135].all()
            and not mask[101, 62:88].any()
            and mask[101, 110:150].all()
        )

    slide(page, 60)
    assert as_by_hand(found.mask() > 0)
    page.keyboard.press("Control+z")  # what Restore has accepted waits again
    page.wait_for_timeout(800)
    page.reload()
    page.wait_for_selector("#find-accept", state="attached")
    page.wait_for_selector("body[data-mode=edit]")
    page.wait_for_selector("#restore:enabled")
    page.evaluate("performance.clearMarks()")
    page.keyboard.press("w")
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    page.keyboard.press("w")
    wait_for_the_close_look(page)
    assert as_by_hand(found.mask() > 0)


def test_a_search_ends_when_its_photo_is_restored(page: Any, choose: Any, damaged: Any) -> None:
    """The restoration would wait for it, and its answer is of no use any more."""
    # So the search does not end by itself.
    page.route(lambda url: "/levels" in url and "quick" not in url, lambda route: None)
    choose(page, damaged)
    page.keyboard.press("w")
    page.wait_for_selector("#find-accept:enabled")
    with page.expect_request(lambda each: each.method == "DELETE" and "/detections/" in each.url):
        page.click("#restore")
    page.wait_for_selector("#stop:enabled")
    page.click("#cancel")
    page.wait_for_selector("body[data-mode=edit]")


def test_a_photo_that_cannot_be_searched_is_answered_with_a_reason(page: Any, choose: Any) -> None:
    choose(page, np.full((3, 4, 3), 128, dtype=np.uint8))
    page.context.expected.append("Failed to load resource: the server responded with a status of 4")
    page.keyboard.press("w")
    page.wait_for_selector(".toast")
    assert "4 × 3 pixels" in page.text_content(".toast")


@pytest.mark.exhaustive
def test_moving_the_slider_on_24_megapixels_takes_less_than_to_look_at_each_byte(
    page: Any,
) -> None:
    """So the marks follow the slider within about 0.1 s on an idle machine.

    The comparison does not depend on how busy the machine is: a third on two cores.
    """
    marking_ms, reading_ms = page.evaluate(
        """async () => {
          const app = document.querySelector("script[type=module]").src;
          const {WorkerClient} = await import(new URL("page/worker-client.js", app));
          const worker = new WorkerClient(new URL("painting/find-worker.js", app));
          const canvas = new OffscreenCanvas(6000, 4000), context = canvas.getContext("2d");
          context.fillRect(0, 0, 6000, 4000);
          for (let at = 0; at < 4000; at++) {
            context.fillStyle = `rgb(${1 + at % 255}, ${1 + at % 6}, 0)`;
            context.fillRect(Math.random() * 6000, Math.random() * 4000, 2 + at % 30, 2);
          }
          await worker.ask({task: "load", blob: await canvas.convertToBlob()});
          const bytes = new Uint8Array(24e6).map((_, index) => index % 251);
          const count = (minimum) => {
            let found = 0;
            for (const byte of bytes) if (byte >= minimum) found++;
            return found;
          };
          count(1);
          let marking = 0, reading = 0;
          for (const minimum of [200, 128, 60, 20, 129, 1]) {
            const began = performance.now();
            await worker.ask({task: "mark", minimum, kinds: [1, 2, 3, 4, 5, 6], dropped: []});
            const marked = performance.now();
            count(minimum);
            marking += marked - began;
            reading += performance.now() - marked;
          }
          return [marking, reading];
        }"""
    )
    print(f"marking {marking_ms:.0f} ms, reading {reading_ms:.0f} ms")
    assert marking_ms < reading_ms
