"""A real Chromium, a real `dip serve` and its real worker."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from browser_contexts import FAR, PATIENCE_MS, SWITCHES, Contexts, check_messages, forget_messages
from page_canvas import Canvas

from dip.image_io import encode_photo
from server.client import Client

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
PICTURES = HERE / "pictures"
"""Screenshots, to be looked at; git ignores them."""


@pytest.hookimpl(tryfirst=True)  # before any are deselected by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.xdist_group("browser"))  # they share a service


# --- The service ---------------------------------------------------------------------------------


class Served:
    """`dip serve` as a process, at one port also after a restart.

    Parameters
    ----------
    folder : Path
    options : str
        Further options of `dip serve`.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "dip", *arguments, "--data-dir", str(self.folder)]

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command("serve", "--port", str(self.port), *self.options),
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"Serving at {self.url}\n"

    def kill(self) -> None:
        """Kill the process, as a power cut would."""
        self.process.kill()
        self._reap()

    def stop(self) -> None:
        self.process.terminate()
        self._reap()

    def _reap(self) -> None:
        self.process.wait(300)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def client(self) -> Client:
        return Client.find(self.folder, retry_timeout_s=60)

    def delete_all_jobs(self) -> None:
        with self.client() as client:
            for _ in range(2):  # an active job is only cancelled by the first request
                for job in client.jobs(limit=1000):
                    client.delete(job["id"])


@pytest.fixture(scope="session")
def shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("page") / "data")
    yield served
    served.stop()


@pytest.fixture
def service(shared_service: Served) -> Served:
    """The service that all tests share, without jobs."""
    shared_service.delete_all_jobs()
    return shared_service


@pytest.fixture
def serve_with(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start services with further options."""
    started: list[Served] = []

    def serve(*options: str) -> Served:
        started.append(Served(tmp_path / f"data{len(started)}", *options))
        return started[-1]

    yield serve
    for served in started:
        served.stop()


@pytest.fixture
def far() -> str:
    return FAR


# --- The browser ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = subprocess.run([HERE / "find_chromium.sh"], capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip(found.stderr.strip())
    with playwright.sync_playwright() as play:
        # The sandbox of the browser refuses to work for root, as whom containers run tests.
        browser = play.chromium.launch(
            executable_path=found.stdout.strip(), args=SWITCHES, chromium_sandbox=os.geteuid() != 0
        )
        yield browser
        browser.close()


_RESET = """
() => {
  document.querySelectorAll("dialog[open]").forEach((each) => each.close());
  document.getElementById("toasts").replaceChildren();
  if (document.body.dataset.mode === "job") document.getElementById("job-close").click();
  for (const each of document.querySelectorAll("details")) each.open = false;
  const choose = (name) => (document.querySelector(`input[value=${name}]`).checked = true);
  ["unet", "balanced"].forEach(choose);
  const values = {texture: 100, time: "", seed: 0, "find-sensitivity": 50};
  for (const [id, value] of Object.entries(values)) document.getElementById(id).value = value;
  document.getElementById("texture").dispatchEvent(new Event("input"));
  document.getElementById("seed").dispatchEvent(new Event("change", {bubbles: true}));
  for (const box of document.getElementsByName("find-kind")) box.checked = true;
  document.querySelector("[data-tool=brush]").click();
  document.activeElement.blur();
  performance.clearMarks();
}
"""
"""Brings a page that another test has used into the state of a new one, but for its photo."""


@pytest.fixture
def new_context(chromium: Any, serve_with: Any) -> Iterator[Callable[..., Any]]:
    """Make contexts, which are closed before the services of `serve_with` stop."""
    contexts = Contexts(chromium)
    yield contexts.make
    contexts.close()
    contexts.check()


def _sign_in(page: Any, service: Served) -> None:
    with service.client() as client:
        page.goto(client.launch())
    # The service has answered; a running job may hide the presets at once.
    page.wait_for_selector("#presets label", state="attached")


@pytest.fixture
def sign_in(service: Served) -> Callable[[Any], None]:
    """Open the page of the service, signed in."""
    return lambda page: _sign_in(page, service)


@pytest.fixture
def open_page(service: Served, new_context: Callable[..., Any]) -> Callable[..., Any]:
    """Open signed-in pages, in a given context or a new one."""

    def open_one(context: Any = None, **options: Any) -> Any:
        page = (context or new_context(**options)).new_page()
        _sign_in(page, service)
        return page

    return open_one


@pytest.fixture(scope="module")
def module_page(chromium: Any, shared_service: Served) -> Iterator[Any]:
    """A signed-in page for all tests of a module: a context of its own costs 2 s of a processor."""
    contexts = Contexts(chromium)
    page = contexts.make().new_page()
    _sign_in(page, shared_service)
    yield page
    contexts.close()


@pytest.fixture
def page(module_page: Any, service: Served) -> Iterator[Any]:
    """The module's page, without jobs and with the options of a new page."""
    module_page.unroute_all()
    module_page.evaluate(_RESET)
    module_page.wait_for_selector("#jobs:empty", state="attached")
    forget_messages(module_page.context)
    # It may still be loading pictures of the jobs that are deleted now.
    for status in (404, 409, 415):
        message = f"Failed to load resource: the server responded with a status of {status}"
        module_page.context.expected.append(message)
    yield module_page
    context = module_page.context
    check_messages(context)
    for other in context.pages:
        if other is not module_page:
            other.close()


@pytest.fixture
def empty_page(page: Any, service: Served) -> Any:
    """The module's page without a photo, as in a new tab."""
    page.goto("about:blank")
    page.goto(service.url)
    page.evaluate("sessionStorage.clear()")
    page.reload()
    page.wait_for_selector("#presets label")
    return page


@pytest.fixture
def serve_elsewhere() -> Iterator[Callable[[str], str]]:
    """Serve HTML from another origin on this machine; returns its address."""
    servers = []

    def serve(html: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(html.encode())

            def log_message(self, *message: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


# --- Photos, and how tests paint on them ---------------------------------------------------------


@pytest.fixture(scope="session")
def scratched() -> npt.NDArray[np.uint8]:
    """Smooth colours with a white scratch: (80, 96, 3) uint8."""
    rows, columns = np.mgrid[:80, :96]
    planes = [40 + 1.5 * columns, 60 + rows, 150 - columns]
    photo = np.stack(planes, axis=-1)
    photo += np.random.default_rng(0).normal(0, 2, photo.shape)
    photo[39:42, 20:76] = 250
    photo = np.clip(np.rint(photo), 0, 255).astype(np.uint8)
    photo.flags.writeable = False  # all tests share it
    return photo


@pytest.fixture
def choose(tmp_path: Path) -> Callable[..., None]:
    """Open a photo on a page, and wait until it can be painted on."""

    def open_photo(
        page: Any, pixels: npt.NDArray[Any], name: str = "photo.png", **about: Any
    ) -> None:
        form = {"tif": "tiff", "jpg": "jpeg"}.get(name.rpartition(".")[2], name.rpartition(".")[2])
        path = tmp_path / name
        path.write_bytes(encode_photo(pixels, form, **about))
        page.evaluate("document.getElementById('about-photo').textContent = ''")
        page.set_input_files("#photo-file", path)
        page.wait_for_function(
            "name => document.getElementById('about-photo').textContent.startsWith(name)"
            " && document.body.dataset.mode === 'edit'",
            arg=name,
        )

    return open_photo


@pytest.fixture
def canvas_of() -> Callable[..., Canvas]:
    return Canvas


@pytest.fixture
def canvas(page: Any, choose: Callable[..., None], scratched: Any) -> Canvas:
    """A scratched photo, open on a page."""
    choose(page, scratched)
    return Canvas(page, 96, 80)


@pytest.fixture
def keep_picture() -> Callable[..., Path]:
    """Save a screenshot."""

    def keep(page: Any, name: str, **options: Any) -> Path:
        PICTURES.mkdir(exist_ok=True)
        path = PICTURES / name
        page.mouse.move(0, 0)
        page.wait_for_timeout(300)
        page.screenshot(path=path, **options)
        return path

    return keep


@pytest.fixture
def until() -> Callable[..., Any]:
    """Wait for a condition outside the browser."""

    def wait(condition: Callable[[], Any], timeout_s: float = PATIENCE_MS / 1000) -> Any:
        ends = time.monotonic() + timeout_s
        while not (value := condition()):
            assert time.monotonic() < ends, "the condition did not become true in time"
            time.sleep(0.1)
        return value

    return wait
