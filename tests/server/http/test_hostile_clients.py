"""Hostile and broken clients against a real service: each gets an answer, at a small cost."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from flask.testing import FlaskClient
from hostile_requests import CHUNKED, MULTIPART, Hostile, HostileRequests
from image_headers import png_claiming
from raw_requests import get, post, status

from server.http.connection import LINGER_S

pytestmark = pytest.mark.xdist_group("hostile_clients")  # they share a costly fixture

MIB = 2**20
MOST_BYTES = 4 * MIB
SHORT = {"header_timeout_s": 2.0, "body_grace_s": 2.0, "max_body_bytes": MOST_BYTES}
BOMB = png_claiming(40_000, 40_000, data=bytes(10**6))


@pytest.fixture(scope="module")
def attacked(start_service: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("attacked") / "data"
    return start_service(folder, worker=False, max_queued=10**6, **SHORT)


def check(request: Hostile, answer: bytes, *, closes: bool = False) -> None:
    seen = status(answer)
    about = f"{request.kind}: {seen} instead of {sorted(request.expected)}: {request.head[:200]!r}"
    assert seen in request.expected, about
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Traceback" not in answer
    assert answer.count(b"HTTP/1.1 ") == 1, about
    if closes:
        assert b"connection: close" in head.lower(), about
    if seen >= 400:
        error = json.loads(body)["error"]
        assert all(error[name] for name in ("code", "message", "hint")), about
        assert b"connection: close" in head.lower(), about


@pytest.mark.slow
def test_every_hostile_request_gets_its_answer(
    attacked: Any, image_file: bytes, exhaustive: bool
) -> None:
    """One of each kind and more; for two minutes with --exhaustive."""
    generator = HostileRequests(
        26,
        attacked.token,
        image_file,
        BOMB,
        flood_bytes=(60 if exhaustive else 3) * MIB,
        most_bytes=MOST_BYTES,
        slow_s=4.0,
    )
    ends = time.monotonic() + (120 if exhaustive else 0)
    tried: Counter[str] = Counter()
    with ThreadPoolExecutor(8) as clients:
        while sum(tried.values()) < 3 * len(generator.kinds) or time.monotonic() < ends:
            batch = list(islice(generator, len(generator.kinds)))
            answers = clients.map(lambda request: request.send(attacked.port), batch)
            for request, answer in zip(batch, answers, strict=True):
                check(request, answer)
                tried[request.kind] += 1
    assert len(tried) == len(generator.kinds)
    print(f"{sum(tried.values())} hostile requests")
    assert requests.get(attacked.url + "/v1/health", timeout=60).status_code == 200
    assert not [line for line in attacked.log() if "traceback" in line]
    assert list(attacked.settings.incoming_dir.iterdir()) == []


@pytest.mark.parametrize("more", [b"", b"Upgrade: websocket\r\n"])
def test_an_answer_that_ends_the_connection_ends_at_once(attacked: Any, more: bytes) -> None:
    """Not only after the time for which a refused body is discarded."""
    request = Hostile(kind="plain", head=get("/v1/health", more=more), expected=frozenset({200}))
    refused = Hostile(kind="refused", head=get("/v1/jobs", more=b""), expected=frozenset({401}))
    for each in (request, refused):
        began = time.monotonic()
        check(each, each.send(attacked.port), closes=True)
        assert time.monotonic() - began < LINGER_S


def test_a_refusal_leaves_a_short_line_in_the_log(attacked: Any) -> None:
    name = "long-name" * 3000
    for path in (f"/v1/{name}", f"/static/{'0' * 16}/{name}"):
        head = get(path, more=b"")
        refused = Hostile(kind="long path", head=head, expected=frozenset({401, 404}))
        check(refused, refused.send(attacked.port))
    lines = [line["message"] for line in attacked.log() if "long-name" in line["message"]]
    assert len(lines) >= 2
    assert max(map(len, lines)) < 400


@pytest.mark.parametrize("repeated", ["image", "mask", "seed"])
@pytest.mark.parametrize("as_file", [True, False])
def test_two_parts_of_one_name_are_refused_by_name(
    http: FlaskClient, image_file: bytes, repeated: str, as_file: bool
) -> None:
    def file() -> tuple[io.BytesIO, str]:
        return io.BytesIO(image_file), "f"

    data: dict[str, list[Any]] = {"image": [file()], "mask": [file()], "seed": ["1"]}
    data[repeated].append(file() if as_file else "1")
    response = http.post("/v1/jobs", data=data)
    assert response.status_code == 422
    message = response.get_json()["error"]["message"]
    assert message == f"The form has two parts of the name '{repeated}'."


def test_a_name_that_is_not_in_utf_8_is_refused_as_that(served: Any, image_file: bytes) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="\xfc.png"\r\n\r\n'
    body = head + image_file + b"\r\n--b--\r\n"
    headers = f"{MULTIPART}\r\nContent-Length: {len(body)}\r\n".encode()
    answer = served.exchange(post("/v1/jobs", headers, body))
    assert status(answer) == 422
    assert b"is not encoded in UTF-8" in answer


FLOODS = [
    Hostile(
        kind="flood",
        head=post("/v1/jobs", f"{MULTIPART}\r\n{CHUNKED}\r\n".encode(), more=b""),
        flood=flood,
        flood_bytes=60 * MIB,
        expected=frozenset({401}),
    )
    for flood in (b"1", b"1\r\nx\r\n", b"1;" + b"x" * 1000 + b"\r\nx\r\n")
]
"""Endless chunk-size lines, tiny chunks and chunk extensions, without a token."""


def test_a_refused_request_costs_next_to_nothing(attacked: Any) -> None:
    """Whatever its body: less than 10 ms of processor time and 100 kB."""
    for flood in FLOODS:
        check(flood, flood.send(attacked.port))  # the first has costs of its own
    service = psutil.Process(attacked.process.pid)
    before, size, peak, times = service.cpu_times(), service.memory_info().rss, 0, 0
    for flood in FLOODS * 10:
        check(flood, flood.send(attacked.port))
        peak, times = max(peak, service.memory_info().rss), times + 1
    after = service.cpu_times()
    spent_ms = 1000 * (after.user + after.system - before.user - before.system) / times
    print(f"{spent_ms:.1f} ms and {(peak - size) / 1000:.0f} kB in all for each of {times}")
    assert spent_ms < 10
    assert peak - size < times * 100_000


def test_the_service_answers_while_it_is_attacked(attacked: Any) -> None:
    ended = threading.Event()

    def attack(flood: Hostile) -> None:
        while not ended.is_set():
            check(flood, flood.send(attacked.port))

    attackers = [threading.Thread(target=attack, args=[each]) for each in (FLOODS * 7)[:20]]
    for attacker in attackers:
        attacker.start()
    waits = []
    try:
        with requests.Session() as session:
            for _ in range(50):
                began = time.monotonic()
                assert session.get(attacked.url + "/v1/health", timeout=60).status_code == 200
                waits.append(time.monotonic() - began)
    finally:
        ended.set()
        for attacker in attackers:
            attacker.join()
    waits.sort()
    print(f"health: median {1000 * waits[25]:.0f} ms, slowest {1000 * waits[-1]:.0f} ms")
    assert waits[25] < 1.0  # seconds, for busy machines; the attackers run here, too


def test_many_idle_connections_hold_little(attacked: Any) -> None:
    service = psutil.Process(attacked.process.pid)
    size = service.memory_info().rss
    head = b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 10_000
    held = []
    for _ in range(100):
        connection = socket.create_connection(("127.0.0.1", attacked.port), timeout=60)
        connection.sendall(head)
        held.append(connection)
    assert requests.get(attacked.url + "/v1/health", timeout=60).status_code == 200
    assert service.memory_info().rss - size < 100 * 100_000
    for connection in held:
        assert status(connection.recv(1000)) == 408
        connection.close()


def test_the_paths_that_take_files_are_those_that_may_have_large_bodies(served: Any) -> None:
    from server.http.admission import UPLOAD_PATHS

    spec = requests.get(served.url + "/openapi.json", headers=served.headers, timeout=60).json()
    uploads = {
        path
        for path, operations in spec["paths"].items()
        for operation in operations.values()
        if "multipart/form-data" in operation.get("requestBody", {}).get("content", {})
    }
    assert uploads == UPLOAD_PATHS
    assert Path(served.service.settings.incoming_dir).is_dir()
