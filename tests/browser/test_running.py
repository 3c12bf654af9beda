"""A running job: reloads, crashes, stops, other tabs, and what the panel says meanwhile."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from page_canvas import colour_at
from page_jobs import (
    paint_scratch,
    start_job,
    technical_words,
    wait_for_preview,
    wait_for_result,
)

from dip.image_io import encode_photo


def test_a_reloaded_page_shows_the_running_job(page: Any, canvas: Any, service: Any) -> None:
    paint_scratch(canvas)
    job_id = start_job(page, preset="best")
    wait_for_preview(page)
    page.reload()
    wait_for_preview(page)
    assert page.url.endswith(job_id)
    # A new tab, whose address names no job.
    page.goto("about:blank")
    page.goto(service.url)
    wait_for_preview(page)
    assert page.url.endswith(job_id)
    page.wait_for_function("() => document.getElementById('curve-loss').textContent !== ''")
    page.click("#stop")
    wait_for_result(page)
    with service.client() as client:
        assert client.job(job_id)["state"] == "done"
    # The mask comes from the service: this page has never seen it.
    page.click("#edit-mask")
    page.wait_for_selector("body[data-mode=edit]")
    page.wait_for_selector("#restore:enabled")
    assert canvas.mask()[40, 48] == 255


def test_cancel_ends_the_job_and_returns_to_the_mask(
    page: Any, canvas: Any, service: Any, until: Callable[..., Any]
) -> None:
    paint_scratch(canvas)
    job_id = start_job(page, preset="best")
    # The page may be loading pictures of the job when it disappears.
    page.context.expected += ["Failed to load resource: the server responded with a status of 4"]
    page.click("#cancel")
    page.wait_for_selector("body[data-mode=edit]")
    assert page.is_enabled("#restore")
    assert page.locator(".toast").count() == 0
    with service.client() as client:
        until(lambda: client.job(job_id)["state"] == "cancelled")
    page.wait_for_selector("#jobs:empty", state="attached")


def test_a_job_goes_on_after_the_server_was_killed(page: Any, canvas: Any, service: Any) -> None:
    page.context.expected += ["Failed to load resource: net::ERR_"]
    paint_scratch(canvas)
    job_id = start_job(page, preset="best")
    wait_for_preview(page)
    service.kill()
    page.wait_for_selector("#offline:visible")
    assert "dip serve" in page.text_content("#offline")
    service.start()
    page.wait_for_selector("#offline", state="hidden")
    page.wait_for_selector("#stop:enabled")
    wait_for_preview(page)
    page.click("#stop")
    wait_for_result(page)
    assert page.url.endswith(job_id)


def test_a_job_submitted_while_the_server_is_down_is_accepted_once(
    page: Any, canvas: Any, service: Any
) -> None:
    page.context.expected += ["Failed to load resource: net::ERR_"]
    paint_scratch(canvas)
    service.kill()
    page.click("label:has(input[name=preset][value=fast])")
    page.click("#restore")
    page.wait_for_selector("#offline:visible")
    service.start()
    page.wait_for_selector("#job:visible")
    with service.client() as client:
        assert len(client.jobs()) == 1


def test_a_second_tab_shows_the_queue_stops_a_job_and_deletes_another(
    page: Any, canvas: Any, open_page: Callable[..., Any]
) -> None:
    paint_scratch(canvas)
    first = start_job(page, preset="best")
    page.keyboard.press("Escape")  # back to painting, while the job runs
    page.wait_for_selector("body[data-mode=edit]")
    canvas.draw((30, 20), (60, 20))
    second = start_job(page, network="segnet")
    page.wait_for_selector("#job-title:text-is('Waiting')")
    assert "waiting for 1 other photo" in page.text_content("#job-percent").lower()
    other = open_page(page.context)
    other.wait_for_selector("#jobs li:nth-child(2)")
    assert other.locator("#jobs strong").all_text_contents() == ["photo.png", "photo.png"]
    assert other.url.endswith(first)  # it shows the running job
    wait_for_preview(other)
    assert other.locator("#jobs .entry").first.get_attribute("aria-current") is None
    # Stopping is answered at once, and the result says that not everything was reached.
    other.wait_for_selector("#stop:enabled")
    said = other.evaluate(
        """() => {
          document.getElementById("stop").click();
          const shown = (id) => document.getElementById(id).checkVisibility();
          const text = (id) => document.getElementById(id).textContent;
          return [text("job-title"), text("job-percent"), shown("stop"), shown("cancel")];
        }"""
    )
    assert said[0] == "Finishing"
    assert re.fullmatch(r"Finishing, at \d+%", said[1])
    assert said[2:] == [False, True]
    wait_for_result(other)
    for _ in range(2):
        assert other.text_content("#job-title") == "Restored, stopped early"
        said = other.text_content("#job-stopped")
        assert re.match(r"Stopped at \d+% of the work. All damage is", said)
        other.reload()
        wait_for_result(other)
    wait_for_result(page)  # the second job has run too
    assert page.url.endswith(second)
    assert page.text_content("#job-stopped") == ""
    # A deleted job disappears at once, and can be taken back for some seconds.
    other.hover("#jobs li:first-child")
    other.click("#jobs li:first-child .delete")
    other.wait_for_selector("#jobs li:nth-child(2)", state="detached")
    other.click(".toast:has-text('photo.png is deleted') button")
    other.wait_for_selector("#jobs li:nth-child(2)")
    # Then it disappears from the other tab, which may be loading its picture.
    page.context.expected += ["Failed to load resource: the server responded with a status of 404"]
    other.click("#jobs li:first-child .delete")
    page.wait_for_selector("#jobs li:nth-child(2)", state="detached")


def test_a_preview_that_is_a_flat_ring_or_the_same_again_is_not_shown(
    page: Any, canvas: Any, scratched: Any
) -> None:
    flat = scratched.copy()
    flat[36:45, 14:82] = 20

    def serve(route: Any) -> None:
        place = {"Left": "0", "Top": "0", "Width": "96", "Height": "80", "Number": "1"}
        headers = {f"Dip-{name}": value for name, value in place.items()}
        body = encode_photo(flat, "png")
        route.fulfill(body=body, content_type="image/png", headers=headers)

    page.route("**/preview", serve)
    paint_scratch(canvas)
    page.keyboard.press("m")
    start_job(page, preset="best")
    wait_for_preview(page)
    page.wait_for_timeout(200)
    assert min(colour_at(page, *canvas.at(48, 40.5))) > 230  # the photo as it is
    page.evaluate("performance.clearMarks()")
    flat[36:45, 14:82] += np.random.default_rng(0).integers(0, 90, (9, 68, 3), dtype=np.uint8)
    page.wait_for_function(
        "() => performance.getEntriesByName('preview').length > 1"  # and one of them is drawn
    )
    page.wait_for_timeout(200)
    assert max(colour_at(page, *canvas.at(48, 40.5))[:3]) < 130
    page.click("#cancel")
    page.context.expected += ["Failed to load resource: the server responded with a status of 4"]
    page.wait_for_selector("body[data-mode=edit]")


def test_notes_are_sentences_and_a_job_waits_only_where_something_is_ahead(page: Any) -> None:
    said = page.evaluate(
        """async () => {
          const app = document.querySelector("script[type=module]").src;
          const {stateName} = await import(new URL("job/words.js", app));
          const {sortNotes} = await import(new URL("page/notes.js", app));
          const run = (run) => ({code: "run", values: {run, runs: 8}});
          const notes = [
            {code: "several", values: {notes: [run(3), {code: "time_over", values: {}}]}}, run(4),
            {code: "losses", values: {format: "PNG", things: ["x", {code: "iptc", values: {}}]}},
            {code: "time_over", values: {}}, {code: "", message: "of an older service"},
          ];
          const state = (ahead) => stateName({state: "queued", ahead});
          return [sortNotes(notes), state(0), state(2)];
        }"""
    )
    assert said[0]["plain"] == [
        "The time is over: not everything was fitted.",
        "A PNG file cannot hold x, the IPTC data.",
        "Of an older service.",
    ]
    assert said[0]["technical"] == ["Run 4 of 8; the result is a mean of the runs that agree."]
    assert said[1:] == ["Starting", "Waiting"]


def test_a_time_limit_is_sent_in_seconds_and_ends_the_job(
    page: Any, canvas: Any, service: Any
) -> None:
    paint_scratch(canvas)
    with service.client() as client:
        assert client.job(start_job(page))["parameters"]["time_s"] is None
        page.click("#job-close")
        page.click("#advanced summary")
        page.get_by_label("At most (minutes)").fill("0.05")
        job_id = start_job(page, preset="best")  # of 100 000 iterations
        assert client.job(job_id)["parameters"]["time_s"] == pytest.approx(3)
        wait_for_result(page)
        assert any("the time is over" in note for note in client.job(job_id)["notes"])


def test_the_note_of_the_first_fill_stands_in_the_details_while_the_job_runs(
    page: Any, canvas: Any
) -> None:
    for x in (20, 70):
        canvas.draw((x, 15), (x, 15))
        canvas.draw((x, 65), (x, 65))
    start_job(page, preset="best")
    page.wait_for_selector("#job-technical-notes li", state="attached")
    (note,) = page.locator("#job-technical-notes li").all_text_contents()
    assert re.fullmatch(r"\d of 4 spots need a network.", note), note
    assert technical_words(page) == []
    page.click("#cancel")


def test_the_details_show_curves_while_a_job_runs(page: Any, canvas: Any) -> None:
    paint_scratch(canvas)
    start_job(page, preset="best")
    page.wait_for_selector("#stop:enabled")
    assert technical_words(page) == []
    page.click("#job-details summary")
    page.wait_for_function("() => document.getElementById('curve-loss').textContent !== ''")
    page.wait_for_function(
        """() => {
          const curve = document.getElementById("curve");
          const {data} = curve.getContext("2d").getImageData(0, 0, curve.width, curve.height);
          const colours = new Set();
          for (let at = 0; at < data.length; at += 4) {
            if (data[at + 3] === 255) colours.add(`${data[at]},${data[at + 1]},${data[at + 2]}`);
          }
          return colours.size > 1;
        }"""
    )
    assert {"Loss", "Validation", "Network", "Iterations"} <= set(technical_words(page))
    for tooltip in page.locator("#job-details [title]").evaluate_all(
        "all => all.map((each) => each.title)"
    ):
        assert len(tooltip.split()) > 5
    page.click("#cancel")
