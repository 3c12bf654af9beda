"""Restoring: from a file to a downloaded result, and from there on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_canvas import colour_at
from page_jobs import (
    download,
    paint_scratch,
    start_job,
    technical_words,
    wait_for_result,
)
from PIL import ImageCms

from dip.config import PRESET_NAMES, Settings
from dip.image_io import Metadata, Photo, read_photo


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
        assert page.text_content("#texture-shown") == "95%"
        assert slider.get_attribute("aria-valuetext") == "95%"
        assert client.job(start_job(page))["parameters"]["texture"] == 0.95
        page.click("#job-close")
        slider.focus()
        page.keyboard.press("Home")
        assert page.text_content("#texture-shown") == "0%"
        assert client.job(start_job(page))["parameters"]["texture"] == 0


def test_damage_that_the_marks_have_left_is_restored_after_a_click(
    page: Any, choose: Any, canvas_of: Any, scratched: Any, service: Any, tmp_path: Path
) -> None:
    wider = scratched.copy()
    wider[32:49, 16:80] = 250  # than the stroke
    choose(page, wider)
    paint_scratch(canvas_of(page, 96, 80))
    job = start_job(page)
    wait_for_result(page)
    with service.client() as client:
        assert client.job(job)["parameters"]["grow"] == 0
        first = read_photo(download(page, tmp_path)).pixels
        page.click("#restore-rim")
        page.wait_for_function("job => !location.hash.includes(job)", arg=job)
        wait_for_result(page)
        assert client.job(page.url.rpartition("=")[2])["parameters"]["grow"] == "auto"
    second = read_photo(download(page, tmp_path)).pixels
    assert not page.is_visible("#restore-rim")
    assert page.is_checked("#rim")
    white = [np.count_nonzero((each[32:49, 16:80] > 245).all(2)) for each in (first, second)]
    assert white[1] < white[0] / 2


def test_a_result_is_restored_further_with_the_marks_that_it_did_not_get(
    page: Any, canvas: Any, tmp_path: Path
) -> None:
    paint_scratch(canvas)
    first_mask = canvas.mask()
    start_job(page)
    wait_for_result(page)
    assert page.locator("#pane-labels span").all_text_contents() == ["Before", "After"]
    first = read_photo(download(page, tmp_path)).pixels
    # The mask can be shown over the result, and the photo as it was while C is held.
    place = canvas.at(48, 40.5)
    assert not page.is_visible("#mask-layer")
    page.keyboard.press("m")
    page.wait_for_selector("#mask-layer:visible")
    page.focus(".divider")
    page.keyboard.press("Home")
    page.wait_for_timeout(200)
    style = page.evaluate("getComputedStyle(document.querySelector('.divider')).outlineStyle")
    assert style == "none"  # beside the line that the key moves
    assert colour_at(page, *place, "mask")[3] == 255
    assert min(colour_at(page, *place)[:3]) < 200
    page.keyboard.down("c")
    page.wait_for_timeout(200)
    assert min(colour_at(page, *place)[:3]) > 230
    assert colour_at(page, *place, "mask")[3] == 0
    page.keyboard.up("c")
    # More is marked before the result is opened.
    page.click("#edit-mask")
    page.wait_for_selector("body[data-mode=edit]")
    canvas.draw((30, 15), (60, 15))
    page.click("#jobs .entry")
    wait_for_result(page)
    page.click("#continue")
    page.wait_for_selector("body[data-mode=edit]")
    assert "photo_restored.png" in page.text_content("#about-photo")
    second_mask = canvas.mask()
    assert second_mask[15, 40] == 255
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
        page.wait_for_function("() => /%/.test(document.getElementById('marked').textContent)")
        return float(page.text_content("#marked").split("%")[0])

    page.keyboard.press("r")
    canvas.draw((-2, -2), (98, 60))
    share = marked()
    assert share > 60
    page.click("#restore")
    page.wait_for_selector("#inverted:visible")
    assert f"{share:.0f}% of the photo" in page.text_content("#inverted-about")
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
