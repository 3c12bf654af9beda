"""The service behind TLS: real connections, real certificates, clients that misbehave."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from dip.cluster.options import ClusterSettings
from dip.errors import SettingError
from server.client import Client, UntrustedServer, fingerprint_of
from server.errors import ServiceFailure
from server.http.auth import cookie_name
from server.http.tls import context_from
from server.http.users import Users
from server.settings import ServerSettings

pytestmark = pytest.mark.xdist_group("tls")  # they share a costly fixture

MakeCertificate = Callable[..., tuple[Path, Path]]
LARGE = b"\x89PNG\r\n\x1a\n" + random.Random(0).randbytes(20_000_000)
"""More bytes than all buffers on the way hold; their content does not matter."""


@pytest.fixture(scope="module")
def pair(
    make_certificate: MakeCertificate, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def secure(
    start_service: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
    pair: tuple[Path, Path],
) -> Iterator[Any]:
    """A real service at https://."""
    folder = tmp_path_factory.mktemp("secure") / "data"
    more = {"output_stall_s": 1.0, "worker": False}
    service = start_service(folder, certificate=pair[0], key=pair[1], **more)
    yield service
    assert service.stop() == 0


def connect(service: Any, pair: tuple[Path, Path]) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(pair[0]))
    plain = socket.create_connection(("127.0.0.1", service.port), timeout=60)
    return context.wrap_socket(plain, server_hostname="localhost")


def test_a_client_that_finds_the_service_knows_its_certificate(
    secure: Any, image_file: bytes
) -> None:
    assert secure.url.startswith("https://")
    with secure.client() as client:
        assert client.health()["status"] == "ok"
        job = client.submit(image_file)
        events = client.events(job["id"])
        assert next(events).kind == "progress"
        client.delete(job["id"])
        assert list(events)[-1].kind == "error"


def test_another_certificate_is_not_trusted(
    secure: Any, make_certificate: MakeCertificate, tmp_path: Path
) -> None:
    other, _ = make_certificate(tmp_path, "other")
    for fingerprint in (fingerprint_of(other), None):  # nor does any authority vouch for it
        with (
            Client(secure.url, secure.token, retry_timeout_s=1, fingerprint=fingerprint) as client,
            pytest.raises(UntrustedServer, match="certificate"),
        ):
            client.jobs()


def test_large_bodies_and_answers_pass_unharmed(secure: Any, pair: tuple[Path, Path]) -> None:
    with secure.client() as client:
        job = client.submit(LARGE)
        answer = requests.get(
            f"https://localhost:{secure.port}/v1/jobs/{job['id']}/input",
            headers=secure.headers,
            verify=str(pair[0]),
            timeout=60,
        )
        assert answer.content == LARGE
        client.delete(job["id"])


def test_the_page_is_entered_over_https_only(secure: Any, pair: tuple[Path, Path]) -> None:
    base, verify = f"https://localhost:{secure.port}", str(pair[0])
    with secure.client() as client:
        link = client.launch().replace("127.0.0.1", "localhost")
    first = requests.get(link, allow_redirects=False, verify=verify, timeout=60)
    assert "Secure" in first.headers["Set-Cookie"]
    cookie = {"Cookie": first.headers["Set-Cookie"].split(";")[0]}
    assert cookie["Cookie"].startswith(cookie_name(secure.port))
    for origin, expected in ((base, 404), (base.replace("https", "http"), 403)):
        answer = requests.post(
            f"{base}/v1/jobs/x/stop",
            headers={**cookie, "Origin": origin},
            verify=verify,
            timeout=60,
        )
        assert answer.status_code == expected


def test_who_speaks_no_tls_learns_nothing(secure: Any, pair: tuple[Path, Path]) -> None:
    with socket.create_connection(("127.0.0.1", secure.port), timeout=60) as plain:
        plain.sendall(b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while data := plain.recv(65536):
                answer += data
    assert b"HTTP" not in answer
    old = ssl.create_default_context(cafile=str(pair[0]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # deprecated protocols
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", secure.port), timeout=60) as plain,
        pytest.raises((ssl.SSLError, ConnectionResetError)),
    ):
        old.wrap_socket(plain, server_hostname="localhost")


def test_a_silent_or_unreading_client_is_disconnected_and_harms_no_other(
    secure: Any, pair: tuple[Path, Path], until: Callable[..., Any]
) -> None:
    silent = socket.create_connection(("127.0.0.1", secure.port), timeout=60)
    began = time.monotonic()
    with connect(secure, pair) as deaf, secure.client() as client:
        job = client.submit(LARGE)  # of which nothing is read
        asked = f"GET /v1/jobs/{job['id']}/input HTTP/1.1\r\nHost: localhost\r\n"
        deaf.sendall(f"{asked}Authorization: Bearer {secure.token}\r\n\r\n".encode())
        assert client.health()["status"] == "ok"
        time.sleep(5)
        got = 0
        with contextlib.suppress(ssl.SSLError, OSError):
            while data := deaf.recv(65536):
                got += len(data)
        assert got < len(LARGE)
        client.delete(job["id"])
    with contextlib.suppress(ConnectionResetError):
        assert silent.recv(1) == b""
    assert time.monotonic() - began < 300
    silent.close()


# --- Refusals ------------------------------------------------------------------------------------


def test_a_certificate_without_its_key_is_refused(
    make_certificate: MakeCertificate, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(SettingError, match="belong together"):
        ServerSettings(certificate=pair[0])
    with pytest.raises(SettingError, match=r"nowhere\.key"):
        ServerSettings(certificate=pair[0], key=tmp_path / "nowhere.key")
    _, other = make_certificate(tmp_path, "other")
    for key in (other, pair[0]):
        with pytest.raises(ServiceFailure, match="cannot be used"):
            context_from(pair[0], key)


def test_with_a_certificate_other_machines_may_come_in(
    start_service: Callable[..., Any], tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    folder, where = tmp_path / "data", {"host": "0.0.0.0", "worker": False}
    service = start_service(folder, **where, certificate=pair[0], key=pair[1])
    token = Users(service.settings.users_file).add("ada")
    url = f"https://127.0.0.1:{service.port}"
    with Client(url, token, fingerprint=fingerprint_of(pair[0])) as client:
        assert client.jobs() == []
    assert service.stop() == 0


def test_a_workgroups_service_asks_for_tls_and_for_tokens(
    start_service: Callable[..., Any], tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    cluster = ClusterSettings(address="tcp://127.0.0.1:1")
    for more in ({}, {"expose": True}):
        with pytest.raises(SettingError, match="nothing is encrypted"):
            ServerSettings(host="0.0.0.0", cluster=cluster, **more)
    given: dict[str, Any] = {"host": "0.0.0.0", "cluster": cluster}
    with pytest.raises(AssertionError, match="no user has a token"):
        start_service(tmp_path / "data", **given, certificate=pair[0], key=pair[1])


# --- From elsewhere ------------------------------------------------------------------------------


def test_a_user_connects_and_every_client_goes_there(
    secure: Any, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    token = Users(secure.settings.users_file).add("grace")
    folder = tmp_path / "mine"

    def dip(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "dip", *words, "--data-dir", str(folder)],
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
        )

    certificate = ("--certificate", str(pair[0]))
    assert dip("connect", secure.url, given=token).returncode == 9  # no authority signed it
    assert dip("connect", secure.url, *certificate, given="grace.x").returncode == 9
    plain = secure.url.replace("https", "http")
    assert "not encrypted" in dip("connect", plain, *certificate, given=token).stderr
    assert list(folder.glob("connection.json")) == []
    done = dip("connect", secure.url, *certificate, given=f"{token}\n")
    assert done.returncode == 0, done.stderr
    assert (folder / "connection.json").stat().st_mode & 0o077 == 0
    with Client.find(folder) as client:
        assert client.url == secure.url
        assert client.jobs() == []
    assert "no jobs" in dip("jobs").stderr
    assert dip("disconnect").returncode == 0
    assert dip("jobs").returncode == 9


@pytest.mark.parametrize("shakes_hands", [False, True])
def test_a_connection_holds_little(
    secure: Any, pair: tuple[Path, Path], shakes_hands: bool
) -> None:
    """Less than 100 kB, before anything is known of the client."""

    def connections(count: int) -> list[socket.socket]:
        if shakes_hands:
            return [connect(secure, pair) for _ in range(count)]
        address = ("127.0.0.1", secure.port)
        return [socket.create_connection(address, timeout=60) for _ in range(count)]

    service = psutil.Process(secure.process.pid)
    size, held = service.memory_info().rss, connections(100)
    with secure.client() as client:
        assert client.health()["status"] == "ok"
    grown = service.memory_info().rss - size
    for each in held:
        each.close()
    print(f"{grown / 100_000:.0f} kB for each connection")
    assert grown < 100 * 100_000


def test_a_client_that_ends_within_its_request_leaves_no_fault_in_the_log(
    secure: Any, pair: tuple[Path, Path]
) -> None:
    for _ in range(20):
        with connect(secure, pair) as connection:
            connection.sendall(
                b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
            )
            connection.shutdown(socket.SHUT_WR)  # without the end of TLS
            with contextlib.suppress(OSError):
                while connection.recv(1000):
                    pass
    assert not [line for line in secure.log() if "traceback" in line]
