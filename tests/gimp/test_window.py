"""With windows, on a virtual screen. Each test leaves screenshots in pictures/."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from gimp_screen import DIALOG
from PIL import Image

from dip.commands import demo
from dip.image_io import write_pixels

QUICK = {"preset": "fast", "iterations": 12, "threads": 1}
LONG = {"preset": "best", "iterations": 20_000, "threads": 1}
ONE, TWO = ["photo"], ["U-Net restoration of photo", "photo"]


def progress(jobs: Callable[[], list[dict[str, Any]]]) -> dict[str, Any]:
    """The progress of the latest job; empty as long as there is no job."""
    return next((job["progress"] for job in jobs()), None) or {}


def press_restore(screen: Any, dialog: str | None = None) -> str:
    """From the menu, or the dialog, to the window that shows the work."""
    options = dialog or screen.open_dialog()
    screen.press(
        options, "alt+t", lambda: options not in screen.windows(DIALOG), "the dialog to be gone"
    )
    window: str = screen.wait_window(DIALOG)
    return window


def press_cancel(screen: Any, window: str) -> None:
    screen.press(window, "alt+c", lambda: not screen.windows(DIALOG), "the window to be gone")


def wait_for_pictures(screen: Any, window: str, number: int = 2) -> None:
    """Wait until the picture, without the progress below it, has changed this often."""
    for _ in range(number):
        seen = screen.preview(window)
        screen.until(lambda seen=seen: screen.preview(window) != seen, "the preview to move")


def preview_number(jobs: Callable[[], list[dict[str, Any]]]) -> int:
    return int(jobs()[0]["preview"]["number"])


def test_menu_dialog_work_result_and_undo(
    screen: Any, jobs: Callable[[], list[dict[str, Any]]]
) -> None:
    screen.gimp.remember(**LONG)
    screen.start_gimp()
    screen.open_menu()
    screen.picture("1-menu")
    screen.run("xdotool", "key", "Return")
    dialog = screen.wait_window(DIALOG)
    time.sleep(0.5)
    screen.picture("2-dialog")
    window = press_restore(screen, dialog)
    wait_for_pictures(screen, window)
    # The first iterations predict neither the time nor the quality.
    screen.until(lambda: progress(jobs).get("iteration", 0) > 12, "some work", 240)
    time.sleep(0.5)
    screen.keys(window, "alt+d")
    time.sleep(0.5)
    screen.picture("3-work")
    after = screen.preview(window)
    screen.click(window, 250, 200)  # compare with the original
    screen.until(lambda: screen.preview(window) != after, "the original photograph")
    screen.picture("4-before")
    before, shown = screen.preview(window), preview_number(jobs)
    screen.until(lambda: preview_number(jobs) > shown, "another preview")
    time.sleep(0.5)
    assert screen.preview(window) == before  # the original stays
    screen.keys(window, "alt+o")
    screen.until(lambda: screen.preview(window) != before, "the preview again")
    assert screen.state["layers"] == ONE
    screen.press(window, "alt+s", lambda: screen.layers == TWO, "the new layer")
    assert screen.state["same"]
    assert screen.state["selected"]
    screen.wait_gone(DIALOG)
    time.sleep(0.5)
    screen.picture("5-result")
    screen.keys(screen.main, "ctrl+z")
    screen.until(lambda: screen.layers == ONE, "the layer to be taken away")
    assert screen.state["selected"]  # nothing else was undone
    screen.picture("6-undone")


@pytest.mark.newest_gimp
def test_the_first_picture_comes_with_the_first_iterations(
    screen: Any, gimp: Any, jobs: Callable[[], list[dict[str, Any]]]
) -> None:
    """Once the service runs; it starts while a person reads the dialog.

    `pytest -s` prints the seconds, about 1 on a machine that does nothing else.
    """
    gimp.dip("stop")
    screen.gimp.remember(**LONG)
    screen.start_gimp()
    dialog = screen.open_dialog()
    screen.until(gimp.is_ready, "the service to be started", 600)
    pressed = time.monotonic()
    window = press_restore(screen, dialog)
    wait_for_pictures(screen, window, 1)
    print(f"first preview seen {time.monotonic() - pressed:.1f} s after the press")
    with gimp.client() as client:
        events = client.events(jobs()[0]["id"])
        first = next(event for event in events if event.kind == "preview")
        events.close()
    assert first.data["number"] == 1
    assert first.data["iteration"] <= 3
    press_cancel(screen, window)


@pytest.mark.newest_gimp
def test_cancel_leaves_nothing(screen: Any, jobs: Callable[[], list[dict[str, Any]]]) -> None:
    screen.gimp.remember(**LONG)
    screen.start_gimp()
    window = press_restore(screen)
    wait_for_pictures(screen, window)
    assert jobs()[0]["state"] == "running"
    press_cancel(screen, window)
    screen.until(lambda: jobs()[0]["state"] == "cancelled", "the job to be cancelled", 10)
    assert screen.layers == ONE
    assert screen.state["same"]
    screen.picture("7-cancelled")


@pytest.mark.newest_gimp
def test_gimp_stays_usable_and_closing_the_image_is_noticed(
    screen: Any, jobs: Callable[[], list[dict[str, Any]]]
) -> None:
    """It is noticed at once, not at the end of a restoration for nothing."""
    screen.gimp.remember(**{**LONG, "iterations": 100_000})
    screen.start_gimp()
    window = press_restore(screen)
    wait_for_pictures(screen, window, 1)
    screen.keys(screen.main, "ctrl+shift+a")  # Select > None
    screen.until(lambda: not screen.state["selected"], "GIMP to obey")
    screen.keys(screen.main, "ctrl+w")
    screen.keys(screen.wait_window("^Close "), "ctrl+d")  # discard changes
    screen.until(lambda: not screen.state["valid"], "the image to be closed")
    screen.wait_window("GIMP Message")
    screen.wait_gone(DIALOG)
    time.sleep(0.5)
    screen.picture("8-image-closed")
    screen.until(lambda: jobs()[0]["state"] == "cancelled", "the job to be cancelled", 10)


@pytest.mark.newest_gimp
def test_painting_in_place_is_undone_in_one_step(screen: Any) -> None:
    screen.gimp.remember(**QUICK, output="in-place")
    screen.start_gimp()
    press_restore(screen)
    screen.until(lambda: not screen.state["same"], "the photograph to be painted on")
    screen.wait_gone(DIALOG)
    assert screen.layers == ONE
    assert screen.state["selected"]
    screen.keys(screen.main, "ctrl+z")
    screen.until(lambda: screen.state["same"], "it to be as it was")
    assert screen.state["selected"]


@pytest.mark.newest_gimp
@pytest.mark.exhaustive  # without a window it is tested always
def test_repeating_with_the_last_values(screen: Any) -> None:
    screen.gimp.remember(**QUICK, seed=7)
    screen.start_gimp()
    press_restore(screen)
    screen.until(lambda: screen.layers == TWO, "the new layer")
    screen.wait_gone(DIALOG)
    screen.keys(screen.main, "ctrl+f")
    screen.until(lambda: len(screen.layers) == 3, "another layer")
    assert not screen.windows(DIALOG)


@pytest.mark.newest_gimp
def test_a_selection_of_most_of_the_layer_is_questioned(screen: Any) -> None:
    question = "^Restore so much.$"
    screen.gimp.remember(**QUICK)
    screen.start_gimp()
    screen.keys(screen.main, "ctrl+i")  # the selection is the wrong way round now
    dialog = screen.open_dialog()
    screen.press(dialog, "alt+t", lambda: screen.windows(question), "the question")
    time.sleep(0.5)
    screen.picture("14-question")
    asked = screen.wait_window(question)
    screen.press(asked, "alt+b", lambda: not screen.windows(question), "the question to be gone")
    assert screen.windows(DIALOG) == [dialog]
    assert screen.layers == ONE
    screen.press(dialog, "alt+t", lambda: screen.windows(question), "the question again")
    asked = screen.wait_window(question)
    screen.press(asked, "alt+r", lambda: not screen.windows(question), "the question to be gone")
    screen.until(lambda: screen.layers == TWO, "the new layer")


@pytest.mark.newest_gimp
def test_texture_and_time_are_remembered(
    screen: Any, jobs: Callable[[], list[dict[str, Any]]]
) -> None:
    screen.gimp.remember(**LONG, texture=0.5, time=1.5)
    screen.start_gimp()
    dialog = screen.open_dialog()
    time.sleep(0.5)
    screen.click(dialog, 60, {"3.0": 318, "3.2": 407}[screen.gimp.version])  # Advanced
    time.sleep(0.5)
    screen.picture("13-advanced")
    window = press_restore(screen, dialog)
    screen.until(jobs, "the job")
    assert "Untitled" in jobs()[0]["photo"]  # GIMP's own name of a photograph without a file
    assert jobs()[0]["parameters"]["texture"] == 0.5
    assert jobs()[0]["parameters"]["time_s"] == 90
    press_cancel(screen, window)


@pytest.mark.newest_gimp
def test_when_gimp_kills_the_plug_in_its_job_ends(
    screen: Any, gimp: Any, jobs: Callable[[], list[dict[str, Any]]]
) -> None:
    """The Cancel button of GIMP's own progress bar kills it."""
    screen.gimp.remember(**LONG)
    screen.start_gimp()
    press_restore(screen)
    screen.until(lambda: any(job["state"] == "running" for job in jobs()), "the job to run")
    running = jobs()[0]["id"]
    script = str(gimp.config / "plug-ins/dip_restore/dip_restore.py")  # not another test run's
    plug_in = next(
        process
        for process in psutil.process_iter(["cmdline"])
        if any(script in word for word in process.info["cmdline"] or ())
    )
    plug_in.send_signal(signal.SIGKILL)
    screen.until(
        lambda: next(job for job in jobs() if job["id"] == running)["state"] == "cancelled",
        "the lease to run out",
        60,
    )
    assert screen.state["same"]
    assert screen.layers == ONE


@pytest.mark.newest_gimp
@pytest.mark.exhaustive  # without a window it is tested always
def test_an_indexed_image_is_converted_if_allowed(screen: Any) -> None:
    screen.gimp.remember(**QUICK)
    screen.start_gimp(indexed=True)
    dialog = screen.open_dialog()
    time.sleep(0.5)
    screen.keys(dialog, "alt+t")
    screen.picture("10-indexed")
    assert screen.windows(DIALOG) == [dialog]  # not allowed yet
    screen.keys(dialog, "alt+x")
    press_restore(screen, dialog)
    screen.until(lambda: screen.layers == TWO, "the new layer")
    assert screen.state["mode"] == "rgb"
    screen.keys(screen.main, "ctrl+z")
    screen.until(lambda: screen.layers == ONE, "the layer to be taken away")
    screen.until(lambda: screen.state["mode"] == "indexed", "the mode to be as it was")


@pytest.mark.newest_gimp
def test_the_command_is_shown_if_the_service_cannot_be_started(screen: Any, gimp: Any) -> None:
    gimp.dip("stop")
    screen.variables = {"FLATPAK_ID": "org.gimp.GIMP"}
    screen.gimp.remember(**QUICK)
    screen.start_gimp()
    window = press_restore(screen)
    time.sleep(3)  # the plug-in looks for the service first
    screen.picture("9-command")
    assert screen.windows(DIALOG) == [window]
    serving = subprocess.Popen(
        [gimp.command[-3], "-m", "dip", "serve", "--port", "0"],  # the usual one may be taken
        env={**os.environ, "DIP_DATA_DIR": str(gimp.data_dir), "PYTHONPATH": gimp.checkout},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        screen.until(lambda: screen.layers == TWO, "the work to go on by itself")
    finally:
        serving.terminate()
        serving.wait()


@pytest.mark.exhaustive
def test_a_real_photograph_as_the_readme_shows_it(
    screen: Any, gimp: Any, jobs: Callable[[], list[dict[str, Any]]]
) -> None:
    """The photograph of `dip demo`; pictures/in_gimp-*.jpg is for gimp_plugin/in_gimp.jpg."""
    truth = demo.astronaut()
    damage = demo.draw_damage(truth)
    photo, mask = gimp.folder / "photo.png", gimp.folder / "mask.png"
    write_pixels(photo, damage.photo)
    write_pixels(mask, damage.mask)
    screen.gimp.remember(preset="fast")
    screen.start_gimp(photo=str(photo), mask=str(mask))
    screen.run("xdotool", "windowsize", "--sync", screen.main, "1276", "900")
    screen.keys(screen.main, "ctrl+shift+j")  # fit the image into the window
    window = press_restore(screen)
    screen.run("xdotool", "windowmove", "--sync", window, "740", "100")
    screen.until(lambda: progress(jobs).get("fraction", 0) > 0.4, "half of it", 1200)
    # GIMP 3.0 knows no file of a photograph that a program has opened.
    assert jobs()[0]["photo"] == {"3.0": "[Untitled]"}.get(gimp.version, photo.name)
    screen.picture("11-photograph")
    with Image.open(gimp.folder / "screenshot.png") as shot:
        shot.thumbnail((960, 960))
        shot.convert("RGB").save(screen.pictures / f"in_gimp-{gimp.version}.jpg", quality=75)
    screen.press(window, "alt+s", lambda: screen.layers == TWO, "the new layer")
    time.sleep(1)
    screen.picture("12-photograph-restored")
