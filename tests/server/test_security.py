"""Doors that stay shut: what went wrong elsewhere, tried here, over real connections."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

import server
from dip.errors import SettingError
from server.app import create_app
from server.door import cookie_name
from server.errors import ServiceError, ServiceFailure
from server.security import PUBLIC, Gate, Knock, check_folder, read_or_make_token
from server.settings import ServerSettings, is_loopback

TOKEN = "t" * 43
CREDENTIALS = f"Authorization: Bearer {TOKEN}\r\n".encode()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def get(path: str, host: str | None = "localhost", more: bytes = CREDENTIALS) -> bytes:
    named = b"" if host is None else f"Host: {host}\r\n".encode()
    return f"GET {path} HTTP/1.1\r\n".encode() + named + more + b"Connection: close\r\n\r\n"


def post(path: str, body_headers: bytes, body: bytes = b"", more: bytes = CREDENTIALS) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n".encode()
    return head + more + body_headers + b"Connection: close\r\n\r\n" + body


# --- DNS rebinding -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:8777", 200),
        ("[::1]:1", 200),
        ("attacker.example", 403),
        ("attacker.example:8777", 403),
        ("127.0.0.1.attacker.example", 403),
        ("localhost.attacker.example", 403),
        ("localhost@attacker.example", 403),
        ("localhost.", 403),
        ("0.0.0.0", 403),
        ("", 403),
        (None, 403),
        ("localhost\r\nHost: attacker.example", 403),
    ],
)
def test_only_a_loopback_name_in_host_is_answered(
    served: Any, host: str | None, expected: int
) -> None:
    for path in ("/v1/health", "/", "/v1/jobs"):
        answer = served.exchange(get(path, host))
        assert status(answer) == expected
        assert (b'"host_refused"' in answer) == (expected == 403)


def test_an_old_client_without_host_is_refused_too(served: Any) -> None:
    assert status(served.exchange(b"GET /v1/health HTTP/1.0\r\n\r\n")) == 403


def test_a_configured_name_is_answered(serve: Callable[..., Any]) -> None:
    served = serve(allowed_hosts=("photos.lan",))
    assert status(served.exchange(get("/v1/jobs", "Photos.lan:80"))) == 200
    assert status(served.exchange(get("/v1/jobs", "other.lan"))) == 403


# --- A web page that posts to localhost ----------------------------------------------------------


def test_every_route_but_the_public_ones_needs_the_token(service: Any) -> None:
    app = create_app(service)
    client = app.test_client()
    asked = 0
    for rule in app.url_map.iter_rules():
        path = re.sub("<[^>]+>", "x", rule.rule)
        for method in rule.methods or ():
            if PUBLIC.fullmatch(path) and method in ("GET", "HEAD"):
                continue
            response = client.open(path, method=method, headers={"Host": "localhost"})
            assert response.status_code == 401, (method, path)
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            asked += 1
    assert asked > 20
    public = {"/", "/launch", "/v1/health", "/static/x"}
    assert {each for each in public if PUBLIC.fullmatch(each)} == public
    assert not PUBLIC.fullmatch("/openapi.json")


@pytest.mark.parametrize(
    "headers",
    [
        b"",
        b"Authorization: Bearer wrong\r\n",
        b"Authorization: Bearer\r\n",
        b"Authorization: Basic " + TOKEN.encode() + b"\r\n",
        f"Authorization: Bearer {TOKEN}x\r\n".encode(),
        f"Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer {TOKEN}\r\n".encode(),
        "Authorization: Bearer café\r\n".encode(),
        b"Cookie: dip_session_0=1.1\r\n",
    ],
)
def test_anything_but_the_token_is_refused(served: Any, headers: bytes) -> None:
    answer = served.exchange(get("/v1/jobs", more=headers))
    assert status(answer) == 401
    assert b'"token_required"' in answer


def test_a_token_in_the_address_is_not_looked_at(served: Any) -> None:
    for path in (f"/v1/jobs?token={TOKEN}", f"/v1/jobs?access_token={TOKEN}"):
        assert status(served.exchange(get(path, more=b""))) == 401


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Origin: http://localhost", 200),
        ("Origin: http://attacker.example", 403),
        ("Origin: https://localhost", 403),
        ("Origin: http://localhost:1", 403),
        ("Origin: null", 403),
        ("Sec-Fetch-Site: same-origin", 200),
        ("Sec-Fetch-Site: none", 200),
        ("Sec-Fetch-Site: cross-site", 403),
        ("Sec-Fetch-Site: same-site", 403),
        ("Sec-Fetch-Site: nonsense", 403),
    ],
)
def test_pages_of_other_origins_are_refused_even_with_the_token(
    served: Any, header: str, expected: int
) -> None:
    for path in ("/v1/jobs", "/v1/health"):
        answer = served.exchange(get(path, more=CREDENTIALS + header.encode() + b"\r\n"))
        assert status(answer) == expected


def test_no_answer_ever_allows_another_origin(served: Any) -> None:
    for path, method in itertools.product(
        ("/v1/jobs", "/v1/health", "/"), ("GET", "OPTIONS", "POST")
    ):
        for origin in ("http://attacker.example", f"http://127.0.0.1:{served.port}"):
            preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            for headers in (preflight, {**preflight, **served.headers}):
                response = requests.request(method, served.url + path, headers=headers, timeout=9)
                assert not any(
                    name.lower().startswith("access-control") for name in response.headers
                )
                assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
                assert "default-src 'self'" in response.headers["Content-Security-Policy"]
                assert response.headers["X-Content-Type-Options"] == "nosniff"


# --- Token theft ---------------------------------------------------------------------------------


def test_the_token_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token = read_or_make_token(path)
    assert len(token) == 43
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_or_make_token(path) == token


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604])
def test_a_token_that_others_may_read_is_refused_with_what_to_do(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "token"
    read_or_make_token(path)
    path.chmod(mode)
    with pytest.raises(ServiceFailure, match=f"mode {mode:04o}") as caught:
        read_or_make_token(path)
    assert f"chmod 600 {path}" in caught.value.hint


def test_a_foreign_or_empty_token_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.touch(mode=0o600)
    with pytest.raises(ServiceFailure, match="holds no token"):
        read_or_make_token(path)
    if os.geteuid() == 0:
        os.chown(path, 1, 1)
        with pytest.raises(ServiceFailure, match="another user"):
            read_or_make_token(path)
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(OSError, match="symbolic links"):
        read_or_make_token(link)


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(ServiceFailure, match="Others may write") as caught:
        check_folder(tmp_path)
    assert "chmod 700" in caught.value.hint
    tmp_path.chmod(0o755)
    check_folder(tmp_path)


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append(right)
        return left == right

    monkeypatch.setattr("server.security.hmac.compare_digest", compare)
    knock = Knock(method="GET", path="/v1/jobs", host="localhost", authorization=f"Bearer {TOKEN}")
    Gate(TOKEN).check(knock)
    assert compared == [TOKEN.encode()]


def test_a_launch_code_works_once_and_gives_a_cookie_that_scripts_cannot_read(served: Any) -> None:
    made = requests.post(served.url + "/v1/launch", headers=served.headers, timeout=9)
    link = served.url + made.json()["url"]
    first = requests.get(link, allow_redirects=False, timeout=9)
    assert (first.status_code, first.headers["Location"]) == (303, "/")
    assert re.search("HttpOnly.*SameSite=Strict", first.headers["Set-Cookie"])
    again = requests.get(link, allow_redirects=False, timeout=9)
    assert again.status_code == 401
    assert again.json()["error"]["code"] == "launch_code_spent"
    assert "Set-Cookie" not in again.headers
    cookie = {"Cookie": first.headers["Set-Cookie"].split(";")[0]}
    jobs = served.url + "/v1/jobs"
    assert requests.get(jobs, headers=cookie, timeout=9).status_code == 200
    # Alone it changes nothing: the browser has to say which page asks.
    stop = jobs + "/x/stop"
    assert requests.post(stop, headers=cookie, timeout=9).status_code == 403
    ours = {**cookie, "Origin": served.url}
    assert requests.post(stop, headers=ours, timeout=9).status_code == 404
    ours = {**cookie, "Sec-Fetch-Site": "same-origin"}
    assert requests.post(stop, headers=ours, timeout=9).status_code == 404
    forged = {"Cookie": cookie["Cookie"][:-1] + "0"}
    forged["Cookie"] += "1" if forged == cookie else ""
    assert requests.get(jobs, headers=forged, timeout=9).status_code == 401


def test_launch_codes_and_cookies_grow_old(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(TOKEN)
    code, cookie = gate.launch_code(), gate.trade(gate.launch_code())
    knock = Knock(method="GET", path="/v1/jobs", host="localhost", cookie=cookie)
    gate.check(knock)
    with pytest.raises(ServiceError):
        Gate("u" * 43).check(knock)  # another service's
    now, wall = time.monotonic(), time.time()
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    with pytest.raises(ServiceError, match="not any more"):
        gate.trade(code)
    monkeypatch.setattr(time, "time", lambda: wall + 13 * 3600)
    with pytest.raises(ServiceError, match="no token"):
        gate.check(knock)
    for nonsense in ("", ".", "9999999999", "-1.x", "٣.x", "9" * 40 + ".x"):
        with pytest.raises(ServiceError):
            gate.check(dataclasses.replace(knock, cookie=nonsense))


def test_two_services_on_one_host_have_cookies_of_their_own() -> None:
    assert cookie_name(1) != cookie_name(2)


def test_neither_token_nor_launch_code_is_ever_logged(real: Any) -> None:
    made = requests.post(real.url + "/v1/launch", headers=real.headers, timeout=9).json()
    requests.get(real.url + made["url"], timeout=9)
    requests.get(real.url + f"/v1/nothing?token={real.token}", headers=real.headers, timeout=9)
    requests.get(real.url + f"/v1/jobs/x?code={real.token}", timeout=9)
    logged = str(real.log())
    assert "/launch" in logged
    assert real.token not in logged
    assert made["url"].partition("code=")[2] not in logged


# --- Paths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/v1/jobs/../../etc/passwd",
        "/v1/jobs/..%2f..%2f..%2fetc%2fpasswd",
        "/v1/jobs/%2e%2e/result",
        "/v1/jobs/..%5c..%5cx/result",
        "/v1/jobs/%00/result",
        "/v1/jobs/" + "a" * 5000,
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/%2fetc%2fpasswd",
        "//etc/passwd",
    ],
)
def test_paths_lead_nowhere(served: Any, path: str) -> None:
    answer = served.exchange(get(path))
    assert status(answer) in (404, 400)
    assert b"root:" not in answer
    assert b"import" not in answer


def test_an_id_of_a_client_never_becomes_a_path(served: Any) -> None:
    """Even one that names something real: only what the store knows is opened."""
    secret = served.service.blobs.folder / "secret"
    secret.mkdir()
    (secret / "result.unet.1").write_bytes(b"secret")
    for kind in ("", "/result", "/preview", "/events"):
        assert status(served.exchange(get("/v1/jobs/secret" + kind))) == 404
    assert status(served.exchange(get("/v1/jobs/secret").replace(b"GET", b"DELETE", 1))) == 404
    assert secret.exists()


# --- Bombs ---------------------------------------------------------------------------------------


def png_bomb() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(10**7))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def tiff_of_a_billion_pixels() -> bytes:
    tags = {256: 50_000, 257: 20_000, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 20_000, 279: 1}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("data", [png_bomb(), tiff_of_a_billion_pixels()], ids=["png", "tiff"])
def test_a_bomb_costs_one_job_and_no_memory(real: Any, until: Any, data: bytes) -> None:
    until(lambda: real.workers())
    worker = real.workers()[0]
    with real.client() as client:
        until(lambda: client.health()["worker"] == "idle")
        before = worker.memory_info().rss
        job = client.submit(data)
        for _ in client.events(job["id"]):
            pass
        job = client.job(job["id"])
        assert (job["state"], job["error"]["code"]) == ("failed", "image_too_large")
        client.delete(job["id"])
    assert [each.pid for each in real.workers()] == [worker.pid]
    assert worker.memory_info().rss - before < 100 * 2**20


def test_nothing_that_decodes_or_computes_is_loaded_where_requests_are_taken(real: Any) -> None:
    requests.get(real.url + "/openapi.json", headers=real.headers, timeout=9)
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


def test_the_body_of_a_stranger_reaches_neither_disk_nor_memory(
    served: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    monkeypatch.setattr(
        "waitress.buffers.TempfileBasedBuffer.newfile", lambda self: written.append(1)
    )
    size = 30 * 2**20
    headers = FORM + f"Content-Length: {size}\r\n".encode()
    for credentials, expected in ((b"", 401), (CREDENTIALS + b"Origin: http://x\r\n", 403)):
        answer = served.exchange(post("/v1/jobs", headers, bytes(size), credentials))
        assert status(answer) == expected, answer[:200]
        assert b'"error"' in answer
    assert written == []


def test_a_stranger_that_waits_for_leave_to_send_is_refused_at_once(served: Any) -> None:
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
    began = time.monotonic()
    answer = served.exchange(post("/v1/jobs", headers, body))
    assert status(answer) == 413
    assert b'"too_many_parts"' in answer
    assert time.monotonic() - began < 5


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
    assert b"waitress" not in answer


# --- Slow clients --------------------------------------------------------------------------------


def test_slow_headers_and_bodies_are_cut_off_and_nobody_waits_for_them(
    serve: Callable[..., Any], until: Any
) -> None:
    served = serve(header_timeout_s=1.0, body_grace_s=1.0, max_streams=1)
    slow = [served.connect() for _ in range(60)]
    for number, connection in enumerate(slow):
        if number % 2:
            connection.sendall(b"GET /v1/jobs HTTP/1.1\r\nHost: local")
        else:
            connection.sendall(post("/v1/jobs", FORM + b"Content-Length: 100000\r\n", b"--"))
        connection.setblocking(False)
    open_ones, ends = set(slow), time.monotonic() + 10
    while open_ones and time.monotonic() < ends:
        began = time.monotonic()
        assert requests.get(served.url + "/v1/health", timeout=9).status_code == 200
        assert time.monotonic() - began < 1
        for connection in list(open_ones):
            try:
                connection.send(b"x")  # a byte now and then
                if connection.recv(1000) == b"":
                    open_ones.discard(connection)
            except BlockingIOError:
                pass
            except OSError:
                open_ones.discard(connection)
        time.sleep(0.1)
    for connection in slow:
        connection.close()
    assert not open_ones


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
    until(a_place_is_free, timeout_s=10)
    connection.close()


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
        assert until(lambda: served.service.streams.acquire(blocking=False), timeout_s=5)
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
    until(lambda: store.get(job.id).state.value == "cancelled", timeout_s=5)
    assert not (served.service.blobs.folder / job.id).exists()


# --- Injection -----------------------------------------------------------------------------------


def test_headers_cannot_be_injected(served: Any, image_file: bytes) -> None:
    evil = (
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="a\r\nSet-Cookie: x=1"\r\n'
    )
    body = evil + b"Content-Type: image/png\r\nX-Evil: 1\r\n\r\n" + image_file + b"\r\n--b--\r\n"
    headers = (
        FORM + f"Content-Length: {len(body)}\r\nIdempotency-Key: a%0d%0aX-Evil: 1\r\n".encode()
    )
    answers = [served.exchange(post("/v1/jobs", headers, body))]
    for path in ("/v1/jobs/%0d%0aX-Evil:%201", "/launch?code=%0d%0aX-Evil:%201"):
        answers.append(served.exchange(get(path)))
    for answer in answers:
        assert status(answer) in (202, 401, 404, 422)
        head = answer.partition(b"\r\n\r\n")[0].lower()
        assert b"x-evil" not in head
        assert b"set-cookie" not in head


def test_a_request_cannot_be_hidden_in_another(served: Any) -> None:
    """Content-Length against Transfer-Encoding: what is left over is never run."""
    hidden = get("/v1/capabilities")
    both = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
    answer = served.exchange(post("/v1/launch", both, b"0\r\n\r\n" + hidden))
    assert answer.count(b"HTTP/1.1 ") == 1


# --- Addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("localhost", True), ("::1", True),
        ("[::1]", True), ("0.0.0.0", False), ("::", False), ("192.168.1.5", False),
        ("photos.lan", False), ("", False),
    ],
)  # fmt: skip
def test_another_address_needs_a_clear_word(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback
    if not loopback:
        with pytest.raises(SettingError, match="other machines") as caught:
            ServerSettings(host=host)
        assert "--expose" in caught.value.hint
        assert "encrypted" in caught.value.hint
        ServerSettings(host=host, expose=True)


def test_the_real_service_listens_on_loopback_only(real: Any) -> None:
    listening = [
        each.laddr.ip
        for each in psutil.Process(real.process.pid).net_connections()
        if each.status == "LISTEN"
    ]
    assert listening == ["127.0.0.1"]


def test_what_lies_in_the_folder_is_for_its_owner_only(real: Any, image_file: bytes) -> None:
    folder = real.settings.data_dir
    with real.client() as client:
        client.delete(client.submit(image_file)["id"])
    for path in (folder, *folder.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_dip_serve_refuses_a_token_that_others_may_read(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t" * 43)
    (tmp_path / "token").chmod(0o644)
    code = (
        "import sys; from pathlib import Path; from server.serve import serve;"
        "from server.settings import ServerSettings;"
        f"serve(ServerSettings(data_dir=Path({str(tmp_path)!r}), port=0))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, cwd=Path.cwd()
    )
    assert answer.returncode == 1
    assert f"chmod 600 {tmp_path / 'token'}" in answer.stderr
