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

from dip.image_io import encode_photo
from server.client import Client

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
PICTURES = HERE / "pictures"
"""Screenshots, to be looked at; git ignores them."""

PATIENCE_MS = 300_000
"""Timeout for pages: other tests may keep the machine busy."""

FAR = "gpu.test"
"""A second name of this machine, so that a service looks remote to the browser."""

_SWITCHES = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", f"--host-resolver-rules=MAP {FAR} 127.0.0.1",
]  # fmt: skip

_WATCH = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI}`));
"""

_SHORT_JOBS = """
// Short jobs on one thread; "best" is for tests that need a job which runs until it is stopped.
const originalFetch = window.fetch;
window.fetch = (path, options) => {
  const form = options?.body;
  if (path === "/v1/jobs" && form instanceof FormData) {
    form.set("threads", "1");
    form.set("iterations", form.get("preset") === "best" ? "100000" : "4");
  }
  return originalFetch(path, options);
};
"""


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
            executable_path=found.stdout.strip(), args=_SWITCHES, chromium_sandbox=os.geteuid() != 0
        )
        yield browser
        browser.close()


@pytest.fixture
def new_context(chromium: Any, serve_with: Any) -> Iterator[Callable[..., Any]]:
    """Make browser contexts with cookies and storage of their own.

    An error or a warning in the console fails the test, unless it starts with a text in the
    context's list `expected`. Contexts are closed before the services of `serve_with` stop, since
    open pages would report errors.
    """
    contexts = []

    def make(size: tuple[int, int] = (1280, 800), **options: Any) -> Any:
        context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(_WATCH)
        context.add_init_script(_SHORT_JOBS)
        context.console_errors, context.requests = [], []
        # Caused by tests that read pixels of the stage.
        context.expected = ["Canvas2D: Multiple readback operations"]
        context.on("console", lambda message: _record_error(context, message))
        context.on("weberror", lambda fault: context.console_errors.append(str(fault.error)))
        context.on("request", lambda request: context.requests.append(request.url))
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        ours = ("http://127.0.0.1:", f"http://{FAR}:", "blob:")
        elsewhere = [url for url in context.requests if not url.startswith(ours)]
        context.close()
        unexpected = [
            each for each in context.console_errors if not each.startswith(tuple(context.expected))
        ]
        assert unexpected == []
        assert elsewhere == [], "the page sent requests to another host"


def _record_error(context: Any, message: Any) -> None:
    if message.type in ("error", "warning"):
        context.console_errors.append(message.text)


@pytest.fixture
def open_page(service: Served, new_context: Callable[..., Any]) -> Callable[..., Any]:
    """Open signed-in pages, in a given context or a new one."""

    def open_one(context: Any = None, **options: Any) -> Any:
        page = (context or new_context(**options)).new_page()
        with service.client() as client:
            page.goto(client.launch())
        # The service has answered; a running job may hide the presets at once.
        page.wait_for_selector("#presets label", state="attached")
        return page

    return open_one


@pytest.fixture
def page(open_page: Callable[..., Any]) -> Any:
    return open_page()


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
    return np.clip(np.rint(photo), 0, 255).astype(np.uint8)


@pytest.fixture
def choose(tmp_path: Path) -> Callable[..., None]:
    """Open a photo on a page, and wait until it can be painted on."""

    def open_photo(
        page: Any, pixels: npt.NDArray[Any], name: str = "photo.png", **about: Any
    ) -> None:
        form = {"tif": "tiff", "jpg": "jpeg"}.get(name.rpartition(".")[2], name.rpartition(".")[2])
        path = tmp_path / name
        path.write_bytes(encode_photo(pixels, form, **about))
        page.set_input_files("#photo-file", path)
        page.wait_for_function(
            "name => document.getElementById('about-photo').textContent.startsWith(name)"
            " && document.body.dataset.mode === 'edit'",
            arg=name,
        )

    return open_photo


class Canvas:
    """The photo on a page, in pixels of the photo.

    Parameters
    ----------
    page : Page
    """

    def __init__(self, page: Any, width: int, height: int) -> None:
        self.page, self.width, self.height = page, width, height

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Convert a point of the photo to a position in the window; the photo is fitted."""
        box = self.page.locator("#stage").bounding_box()
        over = 68 if self.page.viewport_size["width"] > 940 else 20
        height = box["height"] - over - 60
        scale = min((box["width"] - 48) / self.width, height / self.height, 8)
        left = box["x"] + (box["width"] - scale * self.width) / 2
        top = box["y"] + over + (height - scale * self.height) / 2
        return left + scale * x, top + scale * y

    def draw(self, *points: tuple[float, float]) -> None:
        """Press at the first point, move over the others, release."""
        mouse = self.page.mouse
        mouse.move(*self.at(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.at(*point), steps=4)
        mouse.up()

    def mask(self) -> npt.NDArray[np.uint8]:
        """The mask that a job would get: (H, W) uint8."""
        return read_mask(self.page)


def read_mask(page: Any) -> npt.NDArray[np.uint8]:
    """Press Restore while jobs are refused, and read the mask that was sent."""
    from email.parser import BytesParser

    from dip.image_io import decode_mask

    taken: list[bytes] = []

    def refuse(route: Any) -> None:
        request = route.request
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        for part in BytesParser().parsebytes(head + request.post_data_buffer).get_payload():
            if part.get_param("name", header="content-disposition") == "mask":
                taken.append(part.get_payload(decode=True))
        body = '{"error": {"code": "queue_full", "message": "Taken by a test.", "hint": ""}}'
        route.fulfill(status=429, body=body, content_type="application/json")

    expected = "Failed to load resource: the server responded with a status of 429"
    page.context.expected.append(expected)
    page.route("**/v1/jobs", refuse)
    page.click("#restore")
    page.wait_for_selector(".toast:has-text('Taken by a test')")
    page.unroute("**/v1/jobs")
    page.evaluate("document.getElementById('toasts').replaceChildren()")
    return decode_mask(taken[0])


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
