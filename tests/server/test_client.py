"""The client: requests that it repeats, servers that it trusts, packages that it needs."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from server import client as client_module
from server.client import (
    Client,
    Form,
    JobFailed,
    Refused,
    Unreachable,
    UntrustedServer,
)
from server.client.messages import event_from

TINY: dict[str, Any] = {"preset": "fast", "iterations": 2}


# --- Alone ---------------------------------------------------------------------------------------


def test_a_copy_of_the_folder_works_with_requests_only(tmp_path: Path) -> None:
    """Another program has a copy: it loads no module of this project, and nothing heavy."""
    shutil.copytree(Path(client_module.__file__).parent, tmp_path / "copied")
    code = (
        "import sys, copied; copied.Client('http://127.0.0.1:9', 't').close(); "
        "print([m for m in sys.modules if m.split('.')[0] in "
        "('dip', 'server', 'numpy', 'torch', 'flask', 'PIL', 'pyvips')])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, "HOME/.local/state/dip-restore"),
        ("linux", {"XDG_STATE_HOME": "/elsewhere"}, "HOME/.local/state/dip-restore"),
        ("darwin", {}, "HOME/Library/Application Support/dip-restore"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/dip-restore"),
        ("linux", {"DIP_DATA_DIR": "/mine"}, "/mine"),
    ],
)
def test_the_data_folder_is_the_same_inside_a_sandbox(
    monkeypatch: pytest.MonkeyPatch, platform: str, environment: dict[str, str], expected: str
) -> None:
    for name in ("DIP_DATA_DIR", "XDG_STATE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: Path("HOME"))
    assert client_module.default_data_dir() == Path(expected)


def test_a_form_is_sent_as_it_lies_in_memory() -> None:
    pixels = bytearray(3 << 20)
    form = Form({"seed": 3})
    form.add_file("image", pixels)
    pieces = list(form)
    assert sum(map(len, pieces)) == len(form)
    assert any(piece.obj is pixels for piece in pieces)
    assert b"".join(pieces) == b"".join(form)  # a second try sends the same


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (b": heartbeat", None),
        (b"retry: 500", None),
        (b'id: 4\nevent: done\ndata: {"a": 1}', (4, "done", {"a": 1})),
        (b'id:4\nevent:done\ndata:{"a": 1}', (4, "done", {"a": 1})),
    ],
)
def test_events_are_parsed(block: bytes, expected: Any) -> None:
    event = event_from(block)
    assert (event and (event.id, event.kind, event.data)) == expected


def test_without_a_service_it_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="dip serve"):
        Client.find(tmp_path)
    with (
        Client("http://127.0.0.1:9", "t", retry_timeout_s=0.2) as client,
        pytest.raises(Unreachable, match="does not answer"),
    ):
        client.jobs()


# --- Untrusted servers ---------------------------------------------------------------------------


class Impostor(http.server.BaseHTTPRequestHandler):
    answer: ClassVar[dict[str, Any]] = {}
    seen: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.seen.append(str(self.headers))
        body = json.dumps(self.answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def impostor() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Impostor)
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({}, "Another program answers"),
        ({"service": "dip-restore", "api": 2}, "has API version 2"),
        ({"service": "dip-restore", "api": 1}, "does not know this token"),
        ({"service": "dip-restore", "api": 1, "proof": "0" * 64}, "does not know this token"),
    ],
)
def test_an_untrusted_server_never_sees_the_token(
    impostor: str, answer: dict[str, Any], message: str
) -> None:
    Impostor.answer, Impostor.seen = answer, []
    with Client(impostor, "secret-token") as client, pytest.raises(UntrustedServer, match=message):
        client.submit(b"pixels")
    assert Impostor.seen
    assert not any("secret-token" in headers for headers in Impostor.seen)


# --- With a real service -------------------------------------------------------------------------


@pytest.fixture
def client(real: Any) -> Iterator[Client]:
    with real.client() as client:
        yield client


def test_the_whole_way_from_file_to_file(
    client: Client, tmp_path: Path, image_file: bytes, mask_file: bytes, photo: Any, mask: Any
) -> None:
    from dip.image_io import read_photo

    (tmp_path / "photo.png").write_bytes(image_file)
    (tmp_path / "mask.png").write_bytes(mask_file)
    job = client.submit(tmp_path / "photo.png", tmp_path / "mask.png", **TINY)
    events = list(client.events(job["id"]))
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert events[-1].kind == "done"
    assert {"progress", "preview"} <= {event.kind for event in events}
    picture = client.result(job["id"])
    picture.save(tmp_path / "restored.png")
    restored = read_photo(tmp_path / "restored.png").pixels
    assert (restored[mask == 0] == photo[mask == 0]).all()
    assert (picture.about["width"], picture.about["samples"]) == (64, "uint8")
    assert client.preview(job["id"]).media_type == "image/jpeg"
    assert client.capabilities()["devices"][0] == "cpu"
    assert client.job(job["id"]) in client.jobs("done")
    client.delete(job["id"])
    with pytest.raises(Refused, match="no job of this id"):
        client.job(job["id"])


def test_an_unknown_parameter_is_named(client: Client, image_file: bytes) -> None:
    with pytest.raises(Refused, match="colour: Unknown field"):
        client.submit(image_file, colour="red", **TINY)


def test_a_proxy_variable_is_ignored(real: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with real.client(retry_timeout_s=1) as client:
        assert client.jobs() is not None


def test_a_submission_that_is_repeated_is_one_job(client: Client, image_file: bytes) -> None:
    first = client.submit(image_file, key="once", **TINY)
    assert client.submit(image_file, key="once", **TINY)["id"] == first["id"]
    client.delete(first["id"])


def test_waiting_for_a_failed_job_raises_its_reason(client: Client, image_file: bytes) -> None:
    job = client.submit(image_file, **TINY)
    with pytest.raises(JobFailed, match="no transparency") as caught:
        client.wait(job["id"])
    assert caught.value.code == "mask_empty"
    assert caught.value.hint


def test_a_job_can_be_stopped_and_keeps_the_best_so_far(
    client: Client, image_file: bytes, mask_file: bytes
) -> None:
    job = client.submit(image_file, mask_file, preset="fast", iterations=100_000)
    for event in client.events(job["id"]):
        if event.kind == "preview":
            asked = time.monotonic()
            client.stop(job["id"])
            break
    done = client.wait(job["id"])
    assert time.monotonic() - asked < 60
    assert done["state"] == "done"
    assert 0 <= done["results"][0]["iterations"] < 1000
    assert client.result(job["id"]).data


@pytest.mark.slow
def test_a_job_whose_client_vanishes_is_cancelled_and_one_that_is_watched_goes_on(
    start_service: Callable[..., Any], tmp_path: Path, until: Callable[..., Any],
    image_file: bytes, mask_file: bytes,
) -> None:  # fmt: skip
    """GIMP's Cancel kills the plug-in, which cannot cancel its job."""
    service = start_service(tmp_path / "data", idle=True)
    code = """
import sys
from pathlib import Path
from server.client import Client
client = Client.find(Path(sys.argv[1]))
files = [Path(name).read_bytes() for name in sys.argv[2:]]
job = client.submit(*files, preset="fast", iterations=100000, lease_s=10)
print(job["id"], flush=True)
for event in client.events(job["id"]):
    pass
"""
    (tmp_path / "image").write_bytes(image_file)
    (tmp_path / "mask").write_bytes(mask_file)
    holder = subprocess.Popen(
        [sys.executable, "-c", code, *(str(tmp_path / n) for n in ("data", "image", "mask"))],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(client_module.__file__).parents[2])},
        text=True,
    )
    assert holder.stdout is not None
    job_id = holder.stdout.readline().strip()
    with service.client() as client:
        until(lambda: client.job(job_id)["preview"])
        time.sleep(12)  # more than one lease
        assert client.job(job_id)["state"] == "running"
        holder.kill()
        holder.wait()
        holder.stdout.close()
        until(lambda: client.job(job_id)["state"] == "cancelled")
        assert client.job(job_id)["error"]["code"] == "lease_expired"
    assert service.stop() == 0


@pytest.mark.slow
def test_a_restart_in_the_middle_is_not_noticed(
    start_service: Callable[..., Any], tmp_path: Path, image_file: bytes, mask_file: bytes
) -> None:
    """Server killed, back at another port: no event twice, none lost, and the result is there."""
    service = start_service(tmp_path / "data")
    client = service.client()
    job = client.submit(image_file, mask_file, preset="fast", iterations=6)
    seen, killed = [], False
    for event in client.events(job["id"]):
        seen.append(event)
        if event.kind == "preview" and not killed:
            killed = True
            service.kill()
            service.start()
    assert [event.id for event in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].kind == "done"
    assert client.job(job["id"])["attempts"] == 2
    assert client.result(job["id"]).data
    client.close()
    service.stop()
