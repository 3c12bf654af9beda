"""Find Damage with its window: the slider, the marks, the selection, and Undo."""

from __future__ import annotations

import time
from typing import Any

import pytest
from gimp_screen import DIALOG, FIND_DAMAGE

from dip.commands import demo
from dip.image_io import write_pixels
from server.client import ClientError


def wait_until_found(screen: Any, gimp: Any, window: str) -> None:
    """Until there are marks over the photograph, and the service has nothing to do any more."""

    def is_idle() -> bool:
        try:
            with gimp.client() as client:
                health = client.health()
        except ClientError:
            return False
        return health["queued"] + health["running"] == 0 and health["worker"] == "idle"

    def has_marks() -> bool:
        looks = []
        for _ in range(2):
            looks.append(screen.preview(window))
            screen.keys(window, "alt+m")  # shows or hides them
            time.sleep(0.5)
        return looks[0] != looks[1]

    screen.until(has_marks, "marks")
    screen.until(is_idle, "the end of the search")
    time.sleep(1)


@pytest.mark.newest_gimp
def test_slider_selection_and_undo(screen: Any, gimp: Any) -> None:
    screen.start_gimp(dusty=True)
    window = screen.open_find_damage()
    time.sleep(0.5)
    screen.picture("20-find-searching")
    wait_until_found(screen, gimp, window)
    screen.picture("21-find-found")
    found = screen.preview(window)
    screen.keys(window, "alt+t", *["Next"] * 6)  # the slider
    screen.until(lambda: screen.preview(window) != found, "fewer marks", 30)
    time.sleep(0.5)
    screen.picture("22-find-fewer")
    screen.keys(window, *["Prior"] * 5)
    screen.until(lambda: screen.preview(window) == found, "the marks again", 30)
    screen.press(
        window, "alt+e", lambda: screen.state["selected_pixels"] > 30, "the damage to be selected"
    )
    screen.wait_gone(FIND_DAMAGE)
    assert screen.state["selected_pixels"] < 2000
    assert screen.state["same"]
    screen.picture("23-find-selected")
    screen.keys(screen.main, "ctrl+z")
    screen.until(lambda: not screen.state["selected"], "the selection to be taken away")


@pytest.mark.exhaustive
def test_the_restoration_dialog_finds_damage_too(screen: Any, gimp: Any) -> None:
    screen.start_gimp(dusty=True)
    dialog = screen.open_dialog()
    screen.press(dialog, "alt+f", lambda: screen.windows(FIND_DAMAGE), "the search to begin")
    window = screen.wait_window(FIND_DAMAGE)
    wait_until_found(screen, gimp, window)
    screen.press(
        window, "alt+e", lambda: screen.state["selected_pixels"] > 30, "the damage to be selected"
    )
    screen.wait_gone(FIND_DAMAGE)
    assert screen.windows(DIALOG) == [dialog]
    time.sleep(0.5)
    screen.picture("24-find-for-restoration")
    screen.press(dialog, "alt+c", lambda: not screen.windows(DIALOG), "the dialog to be gone")


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("language", "find", "accept"),
    [("de", "^Schäden finden$", "alt+w"), ("fr", "^Trouver", "alt+e")],
)
def test_the_windows_speak_the_users_language(
    screen: Any, gimp: Any, language: str, find: str, accept: str
) -> None:
    screen.variables = {"LANGUAGE": language}
    screen.start_gimp(dusty=True)
    screen.open_menu()
    screen.run("xdotool", "key", "Down")
    screen.run("xdotool", "key", "Return")
    window = screen.wait_window(find)
    wait_until_found(screen, gimp, window)
    screen.picture(f"25-find-{language}")
    screen.press(
        window, accept, lambda: screen.state["selected_pixels"] > 30, "the damage to be selected"
    )
    screen.wait_gone(find)
    dialog = screen.open_dialog()
    time.sleep(0.5)
    screen.picture(f"26-dialog-{language}")
    screen.keys(dialog, "Escape")
    screen.wait_gone(DIALOG)


@pytest.mark.exhaustive
def test_a_real_photograph(screen: Any, gimp: Any) -> None:
    """The photograph of `dip demo`, for a look at the marks."""
    photo = gimp.folder / "photo.png"
    write_pixels(photo, demo.draw_damage(demo.astronaut()).photo)
    screen.start_gimp(photo=str(photo))
    window = screen.open_find_damage()
    wait_until_found(screen, gimp, window)
    screen.picture("27-find-photograph")
    screen.press(window, "alt+e", lambda: screen.state["selected"], "the damage to be selected")
    screen.wait_gone(FIND_DAMAGE)
    time.sleep(0.5)
    screen.picture("28-photograph-selected")
