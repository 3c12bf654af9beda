"""A real GIMP of each version, a real service, and a real screen that nobody sees."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from gimp_plugin import install
from server.client import Client, ClientError

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
PICTURES = HERE / "pictures"
"""Screenshots, kept to be looked at; git ignores them."""

BATCH_TIMEOUT_S, TIMEOUT_S = 1800, 600
"""Generous: continuous integration may be slow, and busy."""

VERSIONS = ("3.0", "3.2")

_MANAGER = ("xprop", "-root", "_NET_SUPPORTING_WM_CHECK")
DIALOG = "^Deep Image Prior$"


@pytest.hookimpl(tryfirst=True)  # before any are deselected by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests; each xdist worker has a GIMP and a service of its own for a group of them."""
    for item in items:
        if HERE in item.path.parents:
            version = item.callspec.params["gimp"] if hasattr(item, "callspec") else ""
            if item.get_closest_marker("newest_gimp") and version != VERSIONS[-1]:
                item.add_marker(pytest.mark.exhaustive)
            item.add_marker(pytest.mark.gimp)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.xdist_group(f"{item.path.stem}-{version}"))


@pytest.fixture(scope="session", params=VERSIONS)
def gimp(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gimp]:
    """GIMP with the plug-in installed."""
    # It waits for the one that tests/run.sh began, or makes it.
    made = subprocess.run(
        [HERE / "make_root.sh", request.param], capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"no GIMP {request.param} here: {made.stderr.strip()}")
    folder = tmp_path_factory.mktemp(f"gimp-{request.param}")
    installed = Gimp(request.param, Path(made.stdout.strip()), folder)
    yield installed
    installed.close()


class Gimp:
    """An installed GIMP.

    Parameters
    ----------
    version : str
    root : Path
        The folder to change into.
    folder : Path
        Where everything is kept that a test needs to share with it.
    """

    def __init__(self, version: str, root: Path, folder: Path) -> None:
        self.version, self.root, self.folder = version, root, folder
        self.config = folder / "config"
        self.data_dir = folder / "service"
        self.checkout = str(CHECKOUT)
        self._console: Console | None = None
        self.config.mkdir()
        self.command = [
            "/usr/sbin/chroot", "/host", "/usr/bin/env",
            f"PYTHONPATH={CHECKOUT}", "OMP_WAIT_POLICY=PASSIVE", sys.executable, "-m", "dip",
        ]  # fmt: skip
        """What starts `dip`, from inside."""
        install.install(self.config, self.command)
        number = {"3.0": "3.0.4", "3.2": "3.2.6"}[version]
        (self.config / "gimprc").write_text(
            f'(config-version "{number}")\n(show-welcome-dialog no)\n'
            "(check-updates no)\n(save-document-history no)\n"
        )

    # --- The service -----------------------------------------------------------------------------

    def dip(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `dip` out here, on the same service."""
        return subprocess.run(
            [sys.executable, "-m", "dip", *arguments],
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), "DIP_DATA_DIR": str(self.data_dir)},
            capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
        )  # fmt: skip

    def client(self) -> Client:
        return Client.find(self.data_dir, retry_timeout_s=10)

    def is_ready(self) -> bool:
        """Whether the service runs, with torch loaded."""
        try:
            with self.client() as client:
                return str(client.health()["worker"]) == "idle"
        except ClientError:
            return False

    def close(self) -> None:
        if self._console is not None:
            self._console.close()
        self.dip("stop")

    # --- Inside ----------------------------------------------------------------------------------

    def inside(self, *command: str, **variables: str) -> list[str]:
        """A command line that runs something in there."""
        settings = {
            "DIP_DATA_DIR": str(self.data_dir),
            "GIMP3_DIRECTORY": str(self.config),
            "HOME": str(self.folder),
            **variables,
        }
        pairs = [f"{name}={value}" for name, value in settings.items()]
        enter = str(HERE / "enter_root.sh")
        return [enter, str(self.root), str(self.folder), "env", *pairs, *command]

    def batch(self, case: str, timeout_s: float = BATCH_TIMEOUT_S, **given: Any) -> Any:
        """Run a case of inside/ in a GIMP without windows, and return its value.

        The GIMP is the same for all of them: a start takes some seconds.
        """
        if self._console is None or not self._console.is_there():
            self._console = Console(self)
        return self._console.run(case, given, timeout_s)

    def batch_alone(self, case: str, variables: dict[str, str], **given: Any) -> Any:
        """Like `batch`, in a GIMP of its own with these environment variables."""
        console = Console(self, **variables)
        try:
            return console.run(case, given, BATCH_TIMEOUT_S)
        finally:
            console.close()

    def _share_scripts(self) -> None:
        shutil.copytree(HERE / "inside", self.folder / "inside", dirs_exist_ok=True)

    def _call(self, case: str, given: dict[str, Any], answer: Path) -> str:
        folder = str(self.folder)
        return (
            f"import sys; sys.path.insert(0, {folder!r}); import inside; "
            f"inside.call({case!r}, {given!r}, {str(answer)!r})"
        )

    @contextmanager
    def screen(self) -> Iterator[Screen]:
        """A screen with a window manager."""
        screen = Screen(self)
        try:
            screen.begin()
            yield screen
        finally:
            screen.close()


class Console:
    """A GIMP without windows that runs cases of inside/."""

    def __init__(self, gimp: Gimp, **variables: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="console", dir=gimp.folder))
        self._asked = 0
        gimp._share_scripts()
        given = {"requests": str(self._folder), "tests": os.getpid()}
        self._log = (self._folder / "log").open("ab")
        self._process = subprocess.Popen(
            gimp.inside(
                "gimp-console", "--no-interface", "--no-splash", "--no-data",
                "--batch-interpreter=python-fu-eval",
                "-b", gimp._call("serve", given, self._folder / "end.json"), "--quit",
                **variables,
            ),
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, start_new_session=True,
        )  # fmt: skip

    def run(self, case: str, given: dict[str, Any], timeout_s: float) -> Any:
        answer = self._folder / f"answer{self._asked}.json"
        part = self._folder / "part"
        part.write_text(json.dumps({"case": case, "given": given, "answer": str(answer)}))
        part.rename(self._folder / f"{self._asked}.json")
        self._asked += 1
        ends = time.monotonic() + timeout_s
        while not answer.exists():
            assert self._process.poll() is None, f"GIMP ended: {self.said()}"
            assert time.monotonic() < ends, f"no answer in {timeout_s:.0f} s: {self.said()}"
            time.sleep(0.05)
        found = json.loads(answer.read_text())
        assert found["error"] is None, f"{found['error']}\n{self.said()}"
        return found["value"]

    def is_there(self) -> bool:
        return self._process.poll() is None

    def said(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()


class Screen:
    """A screen that nobody sees, and what runs on it."""

    def __init__(self, gimp: Gimp) -> None:
        self.gimp = gimp
        self.display = ""
        self.pictures = PICTURES
        self.variables: dict[str, str] = {}
        """For GIMP's environment."""

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

    def start_gimp(self, case: str = "window", **given: Any) -> None:
        """Start GIMP with its windows, and a case of inside/ in it that tells its state."""
        self.gimp._share_scripts()
        self._state, self._stop = self.gimp.folder / "state.json", self.gimp.folder / "stop"
        self._state.unlink(missing_ok=True)
        self._stop.unlink(missing_ok=True)
        given = {"state": str(self._state), "stop": str(self._stop), **given}
        self.gimp_process = self.start(
            "gimp", "--no-splash", "--new-instance", "--no-data", "--no-fonts",
            "--batch-interpreter=python-fu-eval",
            "-b", self.gimp._call(case, given, self.gimp.folder / "answer.json"),
            **self.variables,
        )  # fmt: skip
        self.until(self._state.exists, "the photograph to be open")
        self.main = self.wait_window("GIMP$")
        time.sleep(1)  # until it takes keys

    def open_dialog(self) -> str:
        """Choose Filters > Restore > Deep Image Prior, which is the last of the menu."""
        self.open_menu()
        self.run("xdotool", "key", "Return")
        return self.wait_window(DIALOG)

    def open_menu(self) -> None:
        """Open both menus; one that does not come, as on a busy machine, is asked for again."""
        self.until(self._has_opened_menu, "the menus to be open")

    def _has_opened_menu(self) -> bool:
        windows = len(self._all_windows())

        def opened(menus: int) -> bool:
            with suppress(TimeoutError):
                return bool(self.wait(lambda: len(self._all_windows()) == windows + menus, 5))
            return False

        self.click(self.main, 424, 12)
        if opened(1):
            time.sleep(0.3)  # until it takes keys
            self.run("xdotool", "key", "Up")
            self.run("xdotool", "key", "Right")
            if opened(2):
                time.sleep(0.3)
                return True
        self.run("xdotool", "key", "Escape", "Escape")
        self.wait(lambda: len(self._all_windows()) <= windows, 10)
        return False

    def _all_windows(self) -> list[str]:
        """Menus have no name; but each window has a class."""
        return self.run("xdotool", "search", "--onlyvisible", "--class", ".").stdout.split()

    def remember(self, **values: str | int | float) -> None:
        """As if a run before had been with these values."""
        folder = self.gimp.config / "plug-in-settings"
        folder.mkdir(exist_ok=True)
        lines = [
            f"({name.replace('_', '-')} {json.dumps(value)})" for name, value in values.items()
        ]
        (folder / "GimpProcedureConfigRun-dip-restore.last").write_text("\n".join(lines) + "\n")

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
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._log.close()


@pytest.fixture
def screen(gimp: Gimp) -> Iterator[Screen]:
    with gimp.screen() as screen:
        yield screen


@pytest.fixture
def jobs(gimp: Gimp) -> Callable[[], Sequence[dict[str, Any]]]:
    """The jobs of the service, the latest first."""

    def listed() -> Sequence[dict[str, Any]]:
        try:
            with gimp.client() as client:
                return client.jobs()
        except ClientError:
            return []

    return listed
