"""Finding the service, starting it, and trusting only this user's; with real processes."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import service
from service import CannotStart, Service, Settings, destination

from dip import __version__
from server.client import ClientError, Unreachable


def pid_of(data_dir: Path) -> int:
    return int(json.loads((data_dir / "server.json").read_text())["pid"])


def wait_for_end(pid: int) -> None:
    """Wait for the end of a child process, which stays as a zombie."""
    ends = time.monotonic() + 300
    while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < ends
        time.sleep(0.02)


@pytest.fixture
def other_server() -> Iterator[int]:
    """The port of a server of another program."""
    handler = type(
        "Handler",
        (http.server.BaseHTTPRequestHandler,),
        {"do_GET": lambda self: self.send_error(404), "log_message": lambda *_: None},
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_the_service_is_started_found_and_started_again_after_a_crash(
    data_dir: Path, dip_command: tuple[str, ...]
) -> None:
    settings = Settings(command=dip_command, version=__version__)
    with Service(settings).connect() as client:
        assert client.health()["version"] == __version__
    first = pid_of(data_dir)
    assert os.getsid(first) != os.getsid(0)  # it outlives GIMP
    with Service(settings).connect():
        assert pid_of(data_dir) == first
    os.kill(first, signal.SIGKILL)  # its address file stays behind
    wait_for_end(first)
    with pytest.raises(Unreachable):
        Service(settings).running()
    with Service(settings).connect():
        assert pid_of(data_dir) != first


def test_another_server_at_the_announced_address_is_not_trusted(
    data_dir: Path, dip_command: tuple[str, ...], other_server: int
) -> None:
    data_dir.mkdir(mode=0o700)
    (data_dir / "token").write_text("t" * 43)
    (data_dir / "token").chmod(0o600)
    (data_dir / "server.json").write_text(json.dumps({"url": f"http://127.0.0.1:{other_server}"}))
    with Service(Settings(command=dip_command)).connect() as client:
        assert client.health()["service"] == "dip-restore"
        assert not client.url.endswith(str(other_server))


def test_another_port_is_used_if_the_usual_one_is_taken(
    data_dir: Path, dip_command: tuple[str, ...]
) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8777))
            taken.listen()
            ours = True
        except OSError:
            ours = False  # another program has the port, and may end meanwhile
        with Service(Settings(command=dip_command)).connect() as client:
            assert not (ours and client.url.endswith(":8777"))


def test_an_outdated_service_is_replaced_once(data_dir: Path, dip_command: tuple[str, ...]) -> None:
    with Service(Settings(command=dip_command)).connect():
        outdated = pid_of(data_dir)
    newer = Service(Settings(command=dip_command, version="99.0"))
    with newer.connect() as client:
        assert client.health()["version"] == __version__  # as new as the command is
    replaced = pid_of(data_dir)
    assert replaced != outdated
    wait_for_end(outdated)
    with newer.connect():
        assert pid_of(data_dir) == replaced


def test_a_service_elsewhere_that_is_away_is_not_replaced_by_one_here(
    data_dir: Path, dip_command: tuple[str, ...]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    elsewhere = {"url": f"https://127.0.0.1:{port}", "token": "ada.x", "fingerprint": "0" * 64}
    data_dir.mkdir(parents=True, exist_ok=True)
    (data_dir / "connection.json").write_text(json.dumps(elsewhere))
    with pytest.raises(Unreachable, match=str(port)):
        Service(Settings(command=dip_command, version=__version__)).connect()
    assert not (data_dir / "server.json").exists()


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("cluster", [(), ("--cluster", "tcp://127.0.0.1:1")])
def test_the_destination_of_the_photograph_is_named(
    data_dir: Path, dip_command: tuple[str, ...], cluster: tuple[str, ...], elsewhere: bool
) -> None:
    if cluster:
        pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    service_here = Service(Settings(command=dip_command))
    service_here._launch([*dip_command, "serve", "--port", "0", *cluster])
    if elsewhere:
        url = json.loads((data_dir / "server.json").read_text())["url"]
        token = (data_dir / "token").read_text()
        connection = {"url": url, "token": token, "fingerprint": None}
        (data_dir / "connection.json").write_text(json.dumps(connection))
    with service_here.connect() as client:
        text = destination(client)
    assert ("Nothing leaves this computer" in text) == (not cluster and not elsewhere)
    assert ("cluster" in text) == bool(cluster)
    assert ("127.0.0.1" in text) == elsewhere


@pytest.mark.parametrize("variable", ["FLATPAK_ID", "SNAP"])
def test_in_a_sandbox_the_user_is_told_the_command(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "gimp")
    with pytest.raises(CannotStart) as caught:
        Service(Settings(command=("/opt/my tools/dip",))).connect()
    assert caught.value.command == "'/opt/my tools/dip' serve"
    assert "sandbox" in caught.value.message


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ((), "its program dip is missing"),
        (("/gone/dip",), "/gone/dip is missing"),
    ],
)
def test_a_missing_dip_is_named(data_dir: Path, command: tuple[str, ...], reason: str) -> None:
    with pytest.raises(CannotStart, match=reason):
        Service(Settings(command=command)).connect()


def test_a_service_that_ends_at_once_is_quoted(data_dir: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no torch here\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(ClientError, match=r"status 1\): no torch here"):
        Service(Settings(command=(str(broken),))).connect()


def test_a_service_that_never_gets_ready_is_ended(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "START_TIMEOUT_S", 0.5)
    idle = tmp_path / "idle"
    idle.write_text("#!/bin/sh\nexec sleep 60\n")
    idle.chmod(0o755)
    with pytest.raises(ClientError, match="was not ready within"):
        Service(Settings(command=(str(idle),))).connect()


def test_the_service_does_not_inherit_gimps_own_variables() -> None:
    kept = {"PATH": "/bin", "HOME": "/root", "DIP_DATA_DIR": "/data", "LANG": "C"}
    dropped = dict.fromkeys(
        (
            "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "GI_TYPELIB_PATH", "GIO_MODULE_DIR",
            "GTK_PATH", "GDK_PIXBUF_MODULE_FILE", "GEGL_PATH", "BABL_PATH", "XDG_DATA_DIRS",
        ),
        "x",
    )  # fmt: skip
    assert service.clean_environment({**kept, **dropped}) == kept


def test_settings_are_read_beside_the_plug_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Settings.beside(tmp_path) == Settings()
    (tmp_path / "settings.json").write_text('{"command": ["/a/dip"], "version": "1.2"}')
    assert Settings.beside(tmp_path) == Settings(command=("/a/dip",), version="1.2")


def test_a_dip_on_the_search_path_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dip").write_text("#!/bin/sh\n")
    (tmp_path / "dip").chmod(0o755)
    (tmp_path / "settings.json").write_text('{"command": null, "version": "1.2"}')
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Settings.beside(tmp_path).command == (str(tmp_path / "dip"),)
