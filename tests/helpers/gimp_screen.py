"""A virtual screen with a window manager, on which GIMP runs with its windows."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from installed_gimp import HERE, TIMEOUT_S, Gimp, Requests

PICTURES = HERE / "pictures"
"""Screenshots, kept to be looked at; git ignores them."""

DIALOG, FIND_DAMAGE = "^Deep Image Prior$", "^Find Damage$"
_MANAGER = ("xprop", "-root", "_NET_SUPPORTING_WM_CHECK")


class Screen:
    """A screen that nobody sees, and what runs on it."""

    def __init__(self, gimp: Gimp) -> None:
        self.gimp = gimp
        self.display = ""
        self.pictures = PICTURES
        self.variables: dict[str, str] = {}
        """For GIMP's environment."""

        self._gimp_process: subprocess.Popen[bytes] | None = None
        self._started_with: dict[str, str] = {}
        self._state, self._stop = gimp.folder / "state.json", gimp.folder / "stop"
        self._ended = gimp.folder / "ended"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._log = (gimp.folder / "screen.log").open("ab")

    def begin(self) -> None:
        self._start_screen()
        self._start_window_manager()
        self.run("xdotool", "mousemove", "1279", "959")

    def _start_screen(self) -> None:
        """At a number that no other screen of this machine has: two test runs may meet."""
        told = self.gimp.folder / "display"
        told.write_text("")
        line = (
            f"exec Xvfb -displayfd 3 -screen 0 1280x960x24 -nolisten tcp 3>{shlex.quote(str(told))}"
        )
        self.start("sh", "-c", line)
        self.until(lambda: told.read_text().endswith("\n"), "a screen")
        self.display = f":{told.read_text().strip()}"
        self.until(lambda: self.run("xdpyinfo").returncode == 0, "the screen to answer")

    def _start_window_manager(self) -> None:
        for _ in range(3):  # it may come too early, and gives up at once then
            if self._is_managed_by(self.start("openbox")):
                return
        pytest.fail(f"openbox does not start; see {self.gimp.folder / 'screen.log'}")

    def _is_managed_by(self, manager: subprocess.Popen[bytes]) -> bool:
        def is_managed() -> bool:
            return "window id" in self.run(*_MANAGER).stdout

        with suppress(TimeoutError):
            self.wait(lambda: is_managed() or manager.poll() is not None, 60)
        return is_managed()

    def start(self, *command: str, **variables: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self.gimp.inside(*command, DISPLAY=self.display, **variables),
            stdout=self._log, stderr=self._log, start_new_session=True,
        )  # fmt: skip
        self._processes.append(process)
        return process

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.gimp.inside(*command, DISPLAY=self.display),
            capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
        )  # fmt: skip

    def start_gimp(self, **given: Any) -> None:
        """Open a photograph in GIMP, whose state is told from then on; see inside/window.py.

        The GIMP is the same for all tests with the same variables: a start takes ten seconds.
        """
        if self._gimp_process is None or self._started_with != self.variables:
            self.end_gimp()
            self._requests = Requests(self.gimp)
            self._started_with = dict(self.variables)
            self._gimp_process = self.start(
                "gimp", "--no-splash", "--new-instance", "--no-data", "--no-fonts",
                "--batch-interpreter=python-fu-eval", "-b", self._requests.line,
                **self.variables,
            )  # fmt: skip
        self._state.unlink(missing_ok=True)
        self._stop.unlink(missing_ok=True)
        given = {"state": str(self._state), "stop": str(self._stop), **given}
        self._ended = self._requests.ask("window", given)
        self.until(self._state.exists, "the photograph to be open")
        self.main = self.wait_window("GIMP$")
        time.sleep(1)  # until it takes keys

    def leave_photograph(self) -> None:
        """Close the photograph and all dialogs; end a GIMP that is not as it was at its start."""
        self._stop.touch()
        try:
            self.wait(self._is_tidy, 10)
        except TimeoutError:
            self.end_gimp()

    def _is_tidy(self) -> bool:
        """Whether the main window alone is left; the others are asked to close."""
        if self._gimp_process is None or self._gimp_process.poll() is not None:
            raise TimeoutError
        others = [window for window in self._all_windows() if window != self.main]
        for window in others:
            self.keys(window, "Escape")
        return not others and self._ended.exists() and not self.windows("GIMP$")

    def end_gimp(self) -> None:
        if self._gimp_process is not None:
            end(self._gimp_process)
            self._processes.remove(self._gimp_process)
            self._gimp_process = None

    def open_dialog(self) -> str:
        """Choose Filters > Restore > Deep Image Prior, which is the last of the menu."""
        self.open_menu()
        self.run("xdotool", "key", "Return")
        return self.wait_window(DIALOG)

    def open_find_damage(self) -> str:
        """Choose Filters > Restore > Find Damage."""
        self.open_menu()
        self.run("xdotool", "key", "Down")
        self.run("xdotool", "key", "Return")
        return self.wait_window(FIND_DAMAGE)

    def open_menu(self) -> None:
        """Open both menus; those that do not come are asked for again, and given twice the time."""
        timeout_s = itertools.accumulate(itertools.repeat(5.0), lambda last, _: min(80, 2 * last))
        self.until(lambda: self._has_opened_menu(next(timeout_s)), "the menus to be open")

    def _has_opened_menu(self, timeout_s: float) -> bool:
        def opened(menus: int) -> bool:
            with suppress(TimeoutError):
                return bool(self.wait(lambda: len(self._menus()) == menus, timeout_s))
            return False

        self._close_menus()
        self.click(self.main, 424, 12)
        if opened(1):
            time.sleep(0.3)  # until it takes keys
            self.run("xdotool", "key", "Up")
            self.run("xdotool", "key", "Right")
            if opened(2):
                time.sleep(0.3)
                return True
        self._close_menus()
        return False

    def _close_menus(self) -> None:
        def are_closed() -> bool:
            if self._menus():
                self.run("xdotool", "key", "Escape")
            return not self._menus()

        self.until(are_closed, "the menus to be closed")

    def _menus(self) -> set[int]:
        """The visible windows that the window manager leaves alone."""
        managed = self.run("xprop", "-root", "_NET_CLIENT_LIST").stdout
        return {int(window) for window in self._all_windows()} - {
            int(number, 16) for number in re.findall(r"0x[0-9a-f]+", managed)
        }

    def _all_windows(self) -> list[str]:
        """Menus have no name; but each window has a class."""
        return self.run("xdotool", "search", "--onlyvisible", "--class", ".").stdout.split()

    @property
    def state(self) -> dict[str, Any]:
        """What the image is like."""
        state: dict[str, Any] = json.loads(self._state.read_text())
        return state

    @property
    def layers(self) -> list[str]:
        names: list[str] = self.state["layers"]
        return names

    # --- Windows ---------------------------------------------------------------------------------

    def windows(self, title: str) -> list[str]:
        return self.run("xdotool", "search", "--onlyvisible", "--name", title).stdout.split()

    def wait_window(self, title: str, timeout_s: float = TIMEOUT_S) -> str:
        found = self.until(lambda: self.windows(title), f"a window named {title}", timeout_s)
        return str(found[-1])

    def wait_gone(self, title: str, timeout_s: float = TIMEOUT_S) -> None:
        self.until(lambda: not self.windows(title), f"no window named {title}", timeout_s)

    def keys(self, window: str, *keys: str) -> None:
        self.run("xdotool", "windowactivate", "--sync", window)
        for key in keys:
            self.run("xdotool", "key", "--clearmodifiers", key)
            time.sleep(0.15)

    def press(self, window: str, key: str, until: Callable[[], Any], what: str) -> None:
        """Press a key until it has its effect: a window that has just opened takes none yet."""
        ends = time.monotonic() + TIMEOUT_S
        while not until():
            if time.monotonic() > ends:
                self.picture("failure")
                pytest.fail(f"{key} was pressed for {TIMEOUT_S} s, without {what}")
            if self.run("xdotool", "windowactivate", "--sync", window).returncode == 0:
                self.run("xdotool", "key", "--clearmodifiers", key)
            with suppress(TimeoutError):
                self.wait(until, 2)

    def click(self, window: str, x: int, y: int) -> None:
        """Click into a window, at a place counted from its corner."""
        self.run("xdotool", "windowactivate", "--sync", window)
        self.run("xdotool", "mousemove", "--window", window, str(x), str(y), "click", "1")

    def picture(self, name: str, window: str = "root") -> Path:
        """Keep a screenshot."""
        PICTURES.mkdir(exist_ok=True)
        path = PICTURES / f"{name}-{self.gimp.version}.png"
        inside = self.gimp.folder / "screenshot.png"
        done = self.run("import", "-window", window, str(inside))
        assert done.returncode == 0, done.stderr
        shutil.copyfile(inside, path)
        return path

    def preview(self, window: str) -> str:
        """A digest of the middle of the picture in the window that shows the work."""
        line = f"import -window {shlex.quote(window)} -crop 400x200+50+100 rgb:- | md5sum"
        return self.run("sh", "-c", line).stdout.split()[0]

    def until(
        self,
        condition: Callable[[], Any],
        what: str,
        timeout_s: float = TIMEOUT_S,
        every_s: float = 0.2,
    ) -> Any:
        try:
            return self.wait(condition, timeout_s, every_s)
        except TimeoutError:
            with suppress(AssertionError):
                self.picture("failure")
            pytest.fail(f"waited {timeout_s:.0f} s for {what}; see {PICTURES}/failure-*.png")

    def wait(self, condition: Callable[[], Any], timeout_s: float, every_s: float = 0.2) -> Any:
        ends = time.monotonic() + timeout_s
        while not (value := condition()):
            if time.monotonic() > ends:
                raise TimeoutError
            time.sleep(every_s)
        return value

    def close(self) -> None:
        for process in reversed(self._processes):
            end(process)
        self._log.close()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
