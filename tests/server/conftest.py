"""A service for tests: in this process without a worker, or for real, as processes of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from flask.testing import FlaskClient
from idle_fits import idle_fits

from dip.image_io import encode_photo
from server.client import Client
from server.http.app import create_app
from server.http.context import Service
from server.http.http_server import HttpServer
from server.settings import ServerSettings

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "t" * 43
LINE = """
import sys
from server.commands.serve import serve
from server.settings import ServerSettings
serve(ServerSettings.from_json(sys.argv[1]))
"""
NO_WORKER = """
from server.work.supervisor import Supervisor
Supervisor._start = lambda self: None
"""
"""Begins the program of a service whose jobs wait: a worker costs seconds of processor time."""


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests of the one real service run in one process."""
    for item in items:
        if "real" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("real"))


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """(64, 64, 3) uint8"""
    rows, columns = np.mgrid[:64, :64]
    return np.stack([4 * rows, 4 * columns, 255 - 4 * rows], axis=-1).astype(np.uint8)


@pytest.fixture(scope="session")
def mask() -> np.ndarray:
    """(64, 64) uint8, a scratch"""
    mask = np.zeros((64, 64), dtype=np.uint8)
    mask[28:36, 12:50] = 255
    return mask


@pytest.fixture(scope="session")
def image_file(photo: np.ndarray) -> bytes:
    return encode_photo(photo, "png")


@pytest.fixture(scope="session")
def mask_file(mask: np.ndarray) -> bytes:
    return encode_photo(mask, "png")


# --- In this process, without a worker -----------------------------------------------------------


@pytest.fixture
def make_service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Open a service with some settings and without a worker."""
    opened = []

    def make(**settings: Any) -> Service:
        chosen = ServerSettings(data_dir=tmp_path / "data", **settings)
        chosen.data_dir.mkdir(exist_ok=True)
        chosen.incoming_dir.mkdir(exist_ok=True)
        service = Service.open(chosen, TOKEN)
        opened.append(service)
        return service

    yield make
    for service in opened:
        service.notifier.close()
        service.store.close()


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    return make_service()


@pytest.fixture
def http(service: Service) -> FlaskClient:
    """A client of `service` that shows the token."""
    return client_of(service)


class ClosingClient(FlaskClient):
    """Reads every answer to its end, unless told otherwise: files it came from are closed."""

    def open(self, *args: Any, buffered: bool = True, **more: Any) -> Any:
        return super().open(*args, buffered=buffered, **more)


def client_of(service: Service) -> FlaskClient:
    app = create_app(service)
    app.test_client_class = ClosingClient
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {TOKEN}"
    client.environ_base["HTTP_HOST"] = "localhost"
    return client


@pytest.fixture
def http_of() -> Callable[[Service], FlaskClient]:
    return client_of


# --- In this process, on a real port, without a worker -------------------------------------------


@dataclasses.dataclass
class Served:
    """A service behind its real HTTP server."""

    service: Service
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {TOKEN}"}

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def exchange(self, request: bytes) -> bytes:
        """Send bytes as they are, and read until the server closes."""
        with self.connect() as connection:
            with contextlib.suppress(ConnectionError):  # refused before all of it is sent
                connection.sendall(request)
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                while data := connection.recv(65536):
                    answer += data
            return answer


@pytest.fixture
def serve(make_service: Callable[..., Service]) -> Iterator[Callable[..., Served]]:
    """Serve with some settings."""
    running = []

    def start(**settings: Any) -> Served:
        sock = socket.create_server(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        service = dataclasses.replace(make_service(**settings), port=port)
        server = HttpServer(create_app(service), service.settings, service.authenticator, sock)
        server.start()
        service.notifier.start()
        running.append((service, server, sock))
        return Served(service, port)

    before = tempfile.tempdir
    yield start
    tempfile.tempdir = before
    for service, server, sock in running:
        service.notifier.close()
        server.close()
        sock.close()


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve()


# --- For real ------------------------------------------------------------------------------------


class RealService:
    """`dip serve` as a process of its own.

    Parameters
    ----------
    settings : ServerSettings
    worker : bool
        Whether a worker takes its jobs.
    idle : bool
        Whether its fits last, and leave the processor to others.
    """

    def __init__(self, settings: ServerSettings, worker: bool = True, idle: bool = False) -> None:
        self.settings, self._program = settings, LINE if worker else NO_WORKER + LINE
        self._packages = str(ROOT)
        if idle:
            code = settings.data_dir.parent / "idle"
            code.mkdir()
            (code / "sitecustomize.py").write_text(idle_fits())
            self._packages = os.pathsep.join([str(code), self._packages])
        self.start()

    def start(self, **variables: str) -> None:
        environment = {**os.environ, "PYTHONPATH": self._packages, **variables}
        self.process = subprocess.Popen(
            [sys.executable, "-c", self._program, self.settings.as_json()],
            env=environment,
            cwd=self.settings.data_dir,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        if not first.startswith("Serving at "):
            said = first + self.process.stdout.read()
            self.reap()
            raise AssertionError(said)
        self.url = first.split()[-1]

    @property
    def token(self) -> str:
        return self.settings.token_file.read_text()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def client(self, retry_timeout_s: float = 60) -> Client:
        return Client.find(self.settings.data_dir, retry_timeout_s=retry_timeout_s)

    def workers(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.process.pid).children()
        except psutil.NoSuchProcess:
            return []

    def kill(self) -> None:
        """As a power cut would, for this process."""
        self.process.kill()
        self.reap()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        self.reap()
        return self.process.returncode

    def reap(self) -> None:
        self.process.wait(300)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def log(self) -> list[dict[str, Any]]:
        lines = []
        for path in sorted((self.settings.data_dir / "log").glob("*.jsonl")):
            lines += [json.loads(line) for line in path.read_text().splitlines()]
        return lines


@pytest.fixture(scope="session")
def start_service() -> Iterator[Callable[..., RealService]]:
    """Start a real service on a folder; it is ended with the session at the latest."""
    started: list[RealService] = []

    def start(
        folder: Path, *, worker: bool = True, idle: bool = False, **settings: Any
    ) -> RealService:
        chosen = ServerSettings(data_dir=folder, port=0)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        service = RealService(dataclasses.replace(chosen, **settings), worker, idle)
        started.append(service)
        return service

    yield start
    for service in started:
        if service.process.poll() is None:
            service.stop()


@pytest.fixture(scope="session")
def real(
    start_service: Callable[..., RealService], tmp_path_factory: pytest.TempPathFactory
) -> RealService:
    """One real service, worker and all, for tests that leave it as it was."""
    return start_service(tmp_path_factory.mktemp("real") / "data")


@pytest.fixture(scope="session")
def until() -> Callable[..., Any]:
    """Wait for something to become true; for long, where the machine is slow and busy."""

    def wait(condition: Callable[[], Any], timeout_s: float = 300) -> Any:
        ends = time.monotonic() + timeout_s
        while not (value := condition()):
            assert time.monotonic() < ends, "it did not come true in time"
            time.sleep(0.02)
        return value

    return wait
