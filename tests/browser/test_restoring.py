"""Restoring: from a file to a downloaded result, with reloads, crashes and cancelled jobs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ImageCms

from dip.config import PRESET_NAMES, Settings
from dip.image_io import Metadata, Photo, read_photo

SCRATCH = ((18, 40), (78, 40))


def paint_scratch(canvas: Any) -> None:
    canvas.draw(*SCRATCH)


def start_job(page: Any, *, network: str = "unet", preset: str = "fast") -> str:
    """Press Restore; return the job's id."""
    if network != "unet":
        page.click("#advanced:not([open]) summary")
        page.click(f"label:has(input[name=network][value={network}])")
    page.click(f"label:has(input[name=preset][value={preset}])")
    page.click("#restore")
    page.wait_for_selector("#job:visible")
    found = re.fullmatch(r".*#job=([0-9a-f]{32})", page.url)
    assert found is not None
    return found[1]


def wait_for_preview(page: Any) -> None:
    page.wait_for_function("() => performance.getEntriesByName('preview').length > 0")


def wait_for_result(page: Any) -> None:
    page.wait_for_selector("#job-result:visible")
    page.wait_for_selector(".divider")


def download(page: Any, folder: Path, which: str = "Download") -> Path:
    with page.expect_download() as coming:
        page.click(f"a.download:has-text('{which}')")
    path: Path = folder / coming.value.suggested_filename
    coming.value.save_as(path)
    return path


def colour_at(page: Any, x: float, y: float) -> list[int]:
    """The colour of the stage at a position in the window."""
    colour: list[int] = page.evaluate(
        """([x, y]) => {
          const layer = document.getElementById("photo-layer");
          const box = layer.getBoundingClientRect(), ratio = layer.width / box.width;
          const context = layer.getContext("2d");
          const place = [(x - box.left) * ratio, (y - box.top) * ratio];
          return [...context.getImageData(...place, 1, 1).data];
        }""",
        [x, y],
    )
    return colour


def technical_words(page: Any) -> list[str]:
    """Technical words in the panel, outside closed disclosures."""
    text: str = page.evaluate(
        """() => [...document.querySelectorAll("aside *")]
          .filter((each) => each.checkVisibility())
          .flatMap((each) => [...each.childNodes]).filter((node) => node.nodeType === 3)
          .map((node) => node.data).join(" ")"""
    )
    return re.findall(r"\b(?:dB|loss|iterations?|validation|seed|network|U-Net)\b", text, re.I)


@pytest.mark.parametrize("samples", ["uint8", "uint16"])
def test_a_restored_file_differs_from_its_original_in_marked_pixels_alone(
    page: Any, choose: Any, canvas_of: Any, scratched: Any, tmp_path: Path, samples: str
) -> None:
    deep = samples == "uint16"
    pixels = scratched.astype(np.uint16) * 257 + 3 if deep else scratched
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    like = Photo(pixels=pixels, format="tiff", metadata=Metadata(icc=icc, resolution=(12.0, 12.0)))
    name = "photo.tif" if deep else "photo.png"
    choose(page, pixels, name, like=like)
    assert ("16 bit" in page.text_content("#about-photo")) == deep
    canvas = canvas_of(page, 96, 80)
    paint_scratch(canvas)
    mask = canvas.mask()
    assert technical_words(page) == []
    start_job(page)
    wait_for_result(page)
    assert technical_words(page) == []
    path = download(page, tmp_path)
    assert path.name == f"photo_restored.{'tif' if deep else 'png'}"
    restored = read_photo(path)
    assert restored.pixels.dtype.name == samples
    # Unmarked pixels are the same bit for bit; the marked scratch is gone.
    assert np.array_equal(restored.pixels[mask == 0], pixels[mask == 0])
    assert restored.metadata.icc == icc
    assert restored.metadata.resolution == pytest.approx((12.0, 12.0), rel=1e-3)
    inside = mask == 255
    assert inside.sum() > 100
    full = 257 if deep else 1
    before = pixels[inside].astype(float) / full
    after = restored.pixels[inside].astype(float) / full
    around = scratched[[36, 44], 20:76].astype(float).mean()
    assert abs(after.mean() - around) < abs(before.mean() - around) / 2
    # The divider shows before on its left and after on its right.
    page.focus(".divider")
    page.keyboard.press("Home")
    page.wait_for_timeout(200)
    healed = colour_at(page, *canvas.at(48, 40.5))
    page.keyboard.press("End")
    page.wait_for_timeout(200)
    damaged = colour_at(page, *canvas.at(48, 40.5))
    assert min(damaged[:3]) > 230
    assert min(healed[:3]) < 200
    assert page.get_attribute(".divider", "aria-valuenow") == "100"


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


def test_a_second_tab_shows_the_queue_and_can_change_it(
    page: Any, canvas: Any, open_page: Callable[..., Any]
) -> None:
    paint_scratch(canvas)
    first = start_job(page, preset="best")
    page.keyboard.press("Escape")  # back to painting, while the job runs
    page.wait_for_selector("body[data-mode=edit]")
    canvas.draw((30, 20), (60, 20))
    second = start_job(page, network="segnet")
    page.wait_for_selector("#job-title:text-is('Waiting')")
    other = open_page(page.context)
    other.wait_for_selector("#jobs li:nth-child(2)")
    assert other.url.endswith(first)  # it shows the running job
    wait_for_preview(other)
    assert other.locator("#jobs .entry").first.get_attribute("aria-current") is None
    other.click("#stop")
    wait_for_result(other)
    wait_for_result(page)  # the second job has run too
    assert page.url.endswith(second)
    # Deleted in one tab, a job disappears from the other, which may be loading its picture.
    page.context.expected += ["Failed to load resource: the server responded with a status of 404"]
    other.hover("#jobs li:first-child")
    other.click("#jobs li:first-child .delete")
    page.wait_for_selector("#jobs li:nth-child(2)", state="detached")


def test_both_networks_are_compared_with_the_same_line_and_zoom(
    page: Any,
    canvas: Any,
    scratched: Any,
    tmp_path: Path,
    keep_picture: Callable[..., Path],
) -> None:
    paint_scratch(canvas)
    mask = canvas.mask()
    start_job(page, network="both")
    wait_for_result(page)
    assert page.locator(".divider").count() == 1
    page.click("label:has(input[name=compare][value=both])")
    page.wait_for_function("() => document.querySelectorAll('.divider').length === 2")
    page.keyboard.press("1")
    page.wait_for_timeout(200)
    left, right = (each.bounding_box() for each in page.locator(".divider").all())
    page.mouse.move(left["x"] + left["width"] / 2, left["y"] + 200)
    page.mouse.down()
    page.mouse.move(left["x"] + left["width"] / 2 - 100, left["y"] + 200, steps=3)
    page.mouse.up()
    page.wait_for_timeout(200)
    moved = [each.bounding_box()["x"] for each in page.locator(".divider").all()]
    assert moved[0] - left["x"] == pytest.approx(-100, abs=2)
    assert moved[1] - right["x"] == pytest.approx(-100, abs=2)
    # The same part of the photo in both panes, at the same scale.
    half = page.locator("#stage").bounding_box()
    colours = [
        colour_at(page, half["x"] + share * half["width"], half["y"] + half["height"] / 2 - 20)
        for share in (0.25, 0.75)
    ]
    assert np.abs(np.subtract(*colours)).max() < 12
    keep_picture(page, "both.png")
    for network in ("U-Net", "SegNet"):
        result = read_photo(download(page, tmp_path, f"Download {network}"))
        assert np.array_equal(result.pixels[mask == 0], scratched[mask == 0])


def test_every_preset_is_offered_with_a_description(page: Any) -> None:
    page.click("#advanced summary")
    descriptions = set()
    for preset in PRESET_NAMES:
        page.click(f"label:has(input[name=preset][value={preset}])")
        descriptions.add(page.text_content("#preset-about"))
    assert len(descriptions) == len(PRESET_NAMES)


def test_texture_is_chosen_with_the_keyboard_and_sent(page: Any, canvas: Any, service: Any) -> None:
    paint_scratch(canvas)
    slider = page.get_by_role("slider", name="Texture")
    assert slider.input_value() == str(round(100 * Settings().texture))
    with service.client() as client:
        assert client.job(start_job(page))["parameters"]["texture"] == Settings().texture
        page.click("#job-close")
        slider.focus()
        page.keyboard.press("ArrowLeft")
        assert page.text_content("#texture-shown") == "95 %"
        assert slider.get_attribute("aria-valuetext") == "95 %"
        assert client.job(start_job(page))["parameters"]["texture"] == 0.95
        page.click("#job-close")
        slider.focus()
        page.keyboard.press("Home")
        assert page.text_content("#texture-shown") == "0 %"
        assert client.job(start_job(page))["parameters"]["texture"] == 0


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
    notes = page.locator("#job-technical-notes li").all_text_contents()
    assert [bool(re.fullmatch(r"\d of 4 spots need a network.", note)) for note in notes] == [True]
    assert technical_words(page) == []
    page.click("#cancel")


def test_a_result_can_be_restored_further_with_another_mask(
    page: Any, canvas: Any, tmp_path: Path
) -> None:
    paint_scratch(canvas)
    first_mask = canvas.mask()
    start_job(page)
    wait_for_result(page)
    first = read_photo(download(page, tmp_path)).pixels
    page.click("#continue")
    page.wait_for_selector("body[data-mode=edit]")
    assert "photo_restored.png" in page.text_content("#about-photo")
    assert page.is_disabled("#restore")
    canvas.draw((30, 15), (60, 15))
    second_mask = canvas.mask()
    assert not (second_mask[first_mask > 0]).any()
    start_job(page)
    wait_for_result(page)
    second = read_photo(download(page, tmp_path)).pixels
    assert np.array_equal(second[second_mask == 0], first[second_mask == 0])
    assert not np.array_equal(second, first)


def test_transparent_pixels_are_filled(
    page: Any, choose: Any, scratched: Any, tmp_path: Path
) -> None:
    alpha = np.full((80, 96, 1), 255, dtype=np.uint8)
    alpha[36:44, 20:76] = 0
    choose(page, np.concatenate([scratched, alpha], axis=2), "holes.png")
    page.click("#use-transparency")
    page.wait_for_selector("#restore:enabled")
    start_job(page)
    wait_for_result(page)
    result = read_photo(download(page, tmp_path)).pixels
    assert (result[:, :, 3] == 255).all()
    known = alpha[:, :, 0] == 255
    assert np.array_equal(result[known][:, :3], scratched[known])


def test_a_failed_job_shows_its_error(page: Any, canvas: Any) -> None:
    page.keyboard.press("r")
    canvas.draw((-2, -2), (98, 82))  # the whole photo
    page.click("#restore")
    page.click("#inverted button[value=restore]")
    page.wait_for_selector("#job-error:visible")
    assert "known" in page.text_content("#job-error")
    page.click("#job-close")
    assert page.get_attribute("body", "data-mode") == "edit"


def test_a_mask_that_marks_most_of_the_photo_is_questioned(page: Any, canvas: Any) -> None:
    def marked() -> float:
        return float(page.text_content("#marked").split(" %")[0])

    page.keyboard.press("r")
    canvas.draw((-2, -2), (98, 60))
    share = marked()
    assert share > 60
    page.click("#restore")
    page.wait_for_selector("#inverted:visible")
    assert f"{share:.0f} % of the photo" in page.text_content("#inverted-about")
    page.keyboard.press("Escape")
    page.wait_for_selector("#restore:enabled")
    assert page.is_hidden("#inverted")
    assert page.get_attribute("body", "data-mode") == "edit"
    assert marked() == share
    page.click("#restore")
    page.click("#inverted button[value=invert]")
    page.wait_for_selector("#restore:enabled")
    assert page.get_attribute("body", "data-mode") == "edit"
    assert marked() == pytest.approx(100 - share, abs=1)
    page.keyboard.press("Control+z")
    assert marked() == share
    page.click("#restore")
    page.click("#inverted button[value=restore]")
    wait_for_result(page)


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
    assert {"Loss", "Validation", "Network", "Iteration"} <= set(technical_words(page))
    page.click("#cancel")
