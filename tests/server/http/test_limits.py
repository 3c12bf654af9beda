"""Nothing is unbounded: bombs, endless bodies, thousands of parts, slow clients and absent ones."""

from __future__ import annotations

import re
import select
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from image_headers import png_claiming
from raw_requests import CREDENTIALS, get, post, status

import server
from server.client import Refused
from server.errors import ServiceError

# --- Bombs ---------------------------------------------------------------------------------------


PNG_BOMB = png_claiming(40_000, 40_000, data=bytes(10**7))


def tiff_of_a_billion_pixels() -> bytes:
    tags = {256: 50_000, 257: 20_000, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 20_000, 279: 1}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/detections"])
@pytest.mark.parametrize("kind", ["png", "tiff", "deep", "mask"])
def test_a_bomb_costs_one_job_and_no_memory(
    real: Any, until: Any, deep_bomb: Path, image_file: bytes, path: str, kind: str
) -> None:
    """`deep` is allowed by its pixels, not by its bytes; `mask` is the same as a mask."""
    files = {"image": {"png": PNG_BOMB, "tiff": tiff_of_a_billion_pixels()}.get(kind)}
    if kind in ("deep", "mask"):
        files["image"] = deep_bomb.read_bytes()
    if kind == "mask":
        if path == "/v1/detections":
            pytest.skip("a detection has no mask")
        files = {"image": image_file, "mask": deep_bomb.read_bytes()}
    until(lambda: real.workers())
    worker = real.workers()[0]
    with real.client() as client:
        until(lambda: client.health()["worker"] == "idle")
        before = worker.memory_info().rss
        answer = requests.post(real.url + path, headers=real.headers, files=files, timeout=60)
        job = answer.json()
        assert answer.status_code == 202
        for _ in client.events(job["id"]):
            pass
        ended = requests.get(real.url + job["url"], headers=real.headers, timeout=60).json()
        assert (ended["state"], ended["error"]["code"]) == ("failed", "image_too_large")
        if path == "/v1/detections":
            with pytest.raises(Refused) as refused:
                client.levels(job["id"], quick=True)
            assert refused.value.code == "image_too_large"
        client.delete(job["id"])
    assert [each.pid for each in real.workers()] == [worker.pid]
    assert worker.memory_info().rss - before < 100 * 2**20


def test_nothing_that_decodes_or_computes_is_loaded_where_requests_are_taken(real: Any) -> None:
    requests.get(real.url + "/openapi.json", headers=real.headers, timeout=60)
    loaded = " ".join(each.path for each in psutil.Process(real.process.pid).memory_maps())
    assert "python" in loaded
    for library in ("torch", "vips", "numpy", "PIL", "scipy"):
        assert library not in loaded.replace("pytest", "")


def test_no_pickles() -> None:
    for path in Path(server.__file__).parent.rglob("*.py"):
        assert not re.search(
            r"\b(pickle|marshal|shelve|torch\.load|eval|exec)\b\(?", path.read_text()
        )


# --- Unbounded requests --------------------------------------------------------------------------


def multipart(parts: int, size: int = 1) -> bytes:
    one = b'--b\r\nContent-Disposition: form-data; name="x%d"\r\n\r\n' + b"y" * size + b"\r\n"
    return b"".join(one % number for number in range(parts)) + b"--b--\r\n"


FORM = b"Content-Type: multipart/form-data; boundary=b\r\n"


def test_an_oversized_body_is_refused_before_it_is_sent(served: Any) -> None:
    request = post("/v1/jobs", FORM + b"Content-Length: 99999999999\r\n")
    answer = served.exchange(request)
    assert status(answer) == 413
    assert b'"body_too_large"' in answer


def test_an_endless_body_is_cut_off(serve: Callable[..., Any]) -> None:
    served = serve(max_body_bytes=2**20)
    with served.connect() as connection:
        connection.sendall(post("/v1/jobs", FORM + b"Transfer-Encoding: chunked\r\n"))
        sent = 0
        try:
            while sent < 50 * 2**20:
                connection.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")
                sent += 0x10000
        except OSError:
            pass
    assert sent < 20 * 2**20
    assert list(served.service.settings.incoming_dir.iterdir()) == []


def test_an_unauthenticated_body_reaches_neither_disk_nor_memory(
    served: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    monkeypatch.setattr(
        tempfile.SpooledTemporaryFile, "write", lambda self, data: written.append(len(data))
    )
    size = 30 * 2**20
    headers = FORM + f"Content-Length: {size}\r\n".encode()
    for credentials, expected in ((b"", 401), (CREDENTIALS + b"Origin: http://x\r\n", 403)):
        answer = served.exchange(post("/v1/jobs", headers, bytes(size), credentials))
        assert status(answer) == expected, answer[:200]
        assert b'"error"' in answer
    assert written == []


def test_an_unauthenticated_client_that_expects_100_continue_is_refused_at_once(
    served: Any,
) -> None:
    headers = FORM + b"Content-Length: 1000000\r\nExpect: 100-continue\r\n"
    answer = served.exchange(post("/v1/jobs", headers, more=b""))
    assert status(answer) == 401
    assert b"100 Continue" not in answer
    with served.connect() as connection:
        connection.sendall(post("/v1/jobs", headers))
        assert status(connection.recv(1000)) == 100


@pytest.mark.parametrize(("parts", "size"), [(5000, 1), (30, 300_000)])
def test_thousands_of_form_parts_are_refused(served: Any, parts: int, size: int) -> None:
    body = multipart(parts, size)
    headers = FORM + f"Content-Length: {len(body)}\r\n".encode()
    answer = served.exchange(post("/v1/jobs", headers, body))
    assert status(answer) == 413
    assert b'"too_many_parts"' in answer


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (b"Content-Type: application/json\r\nContent-Length: 2\r\n", 415),
        (b"Content-Type: text/plain\r\nContent-Length: 2\r\n", 415),
        (b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 2\r\n", 415),
        (b"Content-Type: multipart/form-data\r\nContent-Length: 2\r\n", 422),
        (b"Content-Type: multipart/form-data; boundary=\xff\r\nContent-Length: 2\r\n", 422),
        (FORM + b"Content-Length: 2\r\n", 422),
        (FORM + b"Content-Length: -2\r\n", 400),
        (FORM + b"Content-Length: 2x\r\n", 400),
        (FORM + b"Transfer-Encoding: gzip\r\n", 501),
        (FORM + b"X: " + b"y" * 40_000 + b"\r\n", 431),
        (b"Bad Header\r\n", 400),
    ],
)
def test_malformed_requests_get_the_one_error_body(
    served: Any, headers: bytes, expected: int
) -> None:
    answer = served.exchange(post("/v1/jobs", headers, b"{}"))
    assert status(answer) == expected, answer
    assert b'{"error":' in answer.replace(b'{"error": ', b'{"error":')
    assert b"Traceback" not in answer
    assert b"h11" not in answer


# --- Slow clients --------------------------------------------------------------------------------


def test_slow_headers_and_bodies_are_cut_off_and_nobody_waits_for_them(
    serve: Callable[..., Any], until: Any
) -> None:
    served = serve(header_timeout_s=3.0, body_grace_s=3.0, max_streams=1)
    slow = [served.connect() for _ in range(60)]
    for number, connection in enumerate(slow):
        if number % 2:
            connection.sendall(b"GET /v1/jobs HTTP/1.1\r\nHost: local")
        else:
            connection.sendall(post("/v1/jobs", FORM + b"Content-Length: 100000\r\n", b"--"))
        connection.setblocking(False)
    open_ones, ends = set(slow), time.monotonic() + 300
    beside_slow_ones = []
    while open_ones and time.monotonic() < ends:
        assert requests.get(served.url + "/v1/health", timeout=60).status_code == 200
        for connection in list(open_ones):
            try:
                connection.send(b"x")  # a byte now and then
                if connection.recv(1000) == b"":
                    open_ones.discard(connection)
            except BlockingIOError:
                pass
            except OSError:
                open_ones.discard(connection)
        beside_slow_ones.append(len(open_ones))
        time.sleep(0.1)
    for connection in slow:
        connection.close()
    assert not open_ones
    assert beside_slow_ones[0] > 0  # the first answer did not wait for their end


def test_one_connection_too_many_is_told_so(
    served: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.http.http_server.MAX_CONNECTIONS", 2)
    held = []
    for _ in range(2):  # both have shown the token
        session = requests.Session()
        session.headers.update(served.headers)
        assert session.get(served.url + "/v1/jobs", timeout=60).status_code == 200
        held.append(session)
    answer = served.exchange(get("/v1/health"))
    assert status(answer) == 503
    assert b'"too_many_streams"' in answer
    for session in held:
        assert session.get(served.url + "/v1/health", timeout=60).status_code == 200
        session.close()
    until(lambda: status(served.exchange(get("/v1/health"))) == 200)


def test_connections_without_a_token_keep_nobody_out(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.http.http_server.MAX_CONNECTIONS", 5)
    with requests.Session() as known:
        known.headers.update(served.headers)
        assert known.get(served.url + "/v1/jobs", timeout=60).status_code == 200
        crowd = [served.connect() for _ in range(20)]
        for number, each in enumerate(crowd):
            if number % 2:
                each.sendall(b"GET /v1/jobs HTTP/1.1\r\nHost: local")
        for _ in range(5):
            assert status(served.exchange(get("/v1/jobs"))) == 200
        assert known.get(served.url + "/v1/jobs", timeout=60).status_code == 200
        assert crowd[0].recv(100) == b""  # the oldest has given its place to a newer one
        for each in crowd:
            each.close()


def test_a_stream_that_is_never_read_gives_its_place_back(
    serve: Callable[..., Any], until: Any, image_file: bytes
) -> None:
    served = serve(output_stall_s=1.0, max_streams=1)
    job = requests.post(
        served.url + "/v1/jobs", headers=served.headers, files={"image": image_file}, timeout=9
    ).json()
    claimed = served.service.store.claim()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", served.port))
    connection.sendall(get(job["events_url"]))

    def a_place_is_free() -> bool:
        if served.service.streams.acquire(blocking=False):
            served.service.streams.release()
            return True
        return False

    until(lambda: not a_place_is_free())
    for _ in range(150):
        served.service.store.note_progress(claimed, {"note": "x" * 100_000}, steps=1, notes=[])
    until(a_place_is_free)
    connection.close()


def test_pictures_that_take_long_leave_threads_for_short_requests(
    serve: Callable[..., Any], until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, ended, in_work = serve(max_streams=2), threading.Event(), []

    def wait(*given: Any, **more: Any) -> Any:
        in_work.append(given)
        ended.wait(300)
        raise ServiceError("image_unreadable", "The end of the test.")

    monkeypatch.setattr("server.http.routes.displays.make_display", wait)
    clients = [served.connect() for _ in range(40)]
    for client in clients:
        client.sendall(get("/v1/example"))
    try:
        until(lambda: len(in_work) == 2)
        assert requests.get(served.url + "/v1/health", timeout=60).status_code == 200
        refused = [client.recv(100) for client in clients if select.select([client], [], [], 1)[0]]
        assert {status(answer) for answer in refused} == {503}
        assert len(refused) == len(clients) - 2
    finally:
        ended.set()
    answers = [client.recv(100) for client in clients]
    assert [status(each) for each in answers if each.startswith(b"HTTP")].count(415) == 2
    for client in clients:
        client.close()


def test_a_client_that_goes_away_gives_its_place_back(
    serve: Callable[..., Any], until: Any, image_file: bytes
) -> None:
    served = serve(max_streams=1)
    job = requests.post(
        served.url + "/v1/jobs", headers=served.headers, files={"image": image_file}, timeout=9
    ).json()
    for _ in range(3):
        with served.connect() as connection:
            connection.sendall(get(job["events_url"]))
            assert status(connection.recv(100)) == 200
        assert until(lambda: served.service.streams.acquire(blocking=False))
        served.service.streams.release()


def test_a_client_of_the_one_call_that_goes_away_takes_its_job_along(
    served: Any, until: Any, image_file: bytes
) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="i"\r\n\r\n'
        + image_file
        + b"\r\n--b--\r\n"
    )
    headers = FORM + f"Content-Length: {len(body)}\r\n".encode()
    store = served.service.store
    with served.connect() as connection:
        connection.sendall(
            post("/v1/restore", headers, body).replace(b"Connection: close\r\n", b"")
        )
        job = until(lambda: store.jobs())[0]
        assert job.state.value == "queued"
    until(lambda: store.get(job.id).state.value == "cancelled")
    until(lambda: not (served.service.files.folder / job.id).exists())
