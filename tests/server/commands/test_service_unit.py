"""The unit for systemd or launchd: its content, its options, and errors of the system."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dip.cli import build_parser
from dip.errors import SettingError
from server.commands import service_unit
from server.commands.arguments import serve_options_from, serve_settings_from
from server.commands.serve import run_serve
from server.errors import AlreadyRunning, ServiceFailure
from server.settings import ServerSettings


def test_the_systemd_unit_starts_this_very_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    unit = service_unit.unit_for("linux", ["/a b/python", "-m", "dip", "100%", "$x"])
    assert unit.path == tmp_path / "systemd" / "user" / "dip-restore.service"
    text = unit.content.decode()
    assert 'ExecStart="/a b/python" "-m" "dip" "100%%" "$$x"' in text
    assert "OOMPolicy=continue" in text
    assert "KillMode=mixed" in text
    refused = {str(kind.exit_status) for kind in (SettingError, ServiceFailure, AlreadyRunning)}
    assert f"RestartPreventExitStatus={' '.join(sorted(refused, key=int))}\n" in text


def test_the_launchd_agent_is_a_property_list() -> None:
    import plistlib

    unit = service_unit.unit_for("darwin", ["/a b/python", "-m", "dip", "serve"])
    assert plistlib.loads(unit.content)["ProgramArguments"][0] == "/a b/python"
    assert unit.path.suffix == ".plist"


def test_another_system_is_told_what_to_run() -> None:
    with pytest.raises(ServiceFailure) as caught:
        service_unit.unit_for("win32", ["python", "-m", "dip", "serve"])
    assert "python -m dip serve" in caught.value.hint


def test_a_unit_is_installed_in_the_place_of_a_running_service_and_removed(
    start_service: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    called: list[tuple[str, ...]] = []
    running = start_service(tmp_path / "data", worker=False)

    def call(command: tuple[str, ...], **more: Any) -> subprocess.CompletedProcess[str]:
        called.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", call)
    service_unit.install(running.settings, [f"--data-dir={tmp_path / 'data'}"])
    running.reap()
    assert running.process.returncode == 0
    assert "the running service has stopped" in capsys.readouterr().out
    unit = tmp_path / "systemd" / "user" / "dip-restore.service"
    assert f'"--data-dir={tmp_path / "data"}"' in unit.read_text()
    assert called[-1] == ("systemctl", "--user", "enable", "--now", "dip-restore")
    service_unit.uninstall()
    assert not unit.exists()
    assert "removed" in capsys.readouterr().out


def parse(*words: str) -> argparse.Namespace:
    return build_parser().parse_args(["serve", *words])


@pytest.fixture
def pem_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files for every option that names one, in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DIP_DATA_DIR", raising=False)
    for name in ("own.pem", "own.key", "ca.pem"):
        (tmp_path / name).touch()


OPTIONS = (
    "--port 8790",
    "--port 0 --host ::1",
    "--host 0.0.0.0 --expose --allowed-host gpu.lan --allowed-host 10.0.0.7",
    "--host 0.0.0.0 --certificate own.pem --key ./own.key",
    "--keep-days 0 --keep-gb 0.5 --idle-minutes 1e3",
    "--cluster tcp://127.0.0.1:8786 --resources GPU=1 --resources big=0.125",
    "--cluster tls://gpu.lan:8786 --tls-ca ca.pem --tls-cert own.pem --tls-key own.key",
    "--data-dir 'a folder, 100 % $HOME'",
    "",
)


def test_the_table_of_options_has_all_of_them() -> None:
    """So that an option that is new is tried below, too."""
    once = {"help", "open", "install_service", "uninstall_service"}
    words = shlex.split(" ".join(OPTIONS))
    tried = {word[2:].replace("-", "_") for word in words if word.startswith("--")}
    assert tried == vars(parse()).keys() - once - {"run", "command"}


@pytest.mark.parametrize("given", OPTIONS)
def test_an_installed_service_has_the_options_that_were_given(
    given: str, pem_files: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = serve_settings_from(parse(*shlex.split(given)))
    words = serve_options_from(parse(*shlex.split(given), "--install-service"))
    cluster = asked.cluster and replace(
        asked.cluster,
        **{
            name: path and path.absolute()
            for name in ("ca", "certificate", "key")
            for path in [getattr(asked.cluster, name)]
        },
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert serve_settings_from(parse(*words)) == replace(asked, cluster=cluster)


def test_what_is_as_usual_is_not_repeated(pem_files: None) -> None:
    assert serve_options_from(parse("--install-service", "--host", "127.0.0.1")) == []


def test_a_data_folder_of_the_environment_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIP_DATA_DIR", str(tmp_path / "mine"))
    assert serve_options_from(parse("--install-service")) == [f"--data-dir={tmp_path / 'mine'}"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_reads_the_words_as_they_were_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    words = ["--data-dir=/a 'b' \"c\" \\d; 100 % $HOME ${HOME}\ne", "--host=::1"]
    unit = service_unit.unit_for("linux", [sys.executable, "-m", "dip", "serve", *words])
    path = tmp_path / "dip-restore.service"
    path.write_bytes(unit.content)
    monkeypatch.undo()
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(path)],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert str(path) not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--host 0.0.0.0", "Other machines can reach"),
        ("--certificate own.pem", "belong together"),
        (
            "--host 0.0.0.0 --certificate own.pem --key own.key --cluster tcp://127.0.0.1:8786",
            "no user has a token",
        ),
        ("--open", "do not go together"),
    ],
)
def test_what_would_not_start_is_not_installed(
    given: str,
    message: str,
    pem_files: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    args = parse("--data-dir", str(tmp_path / "data"), "--install-service", *given.split())
    with pytest.raises((SettingError, ServiceFailure), match=message):
        run_serve(args)
    assert not (tmp_path / "systemd").exists()


def test_another_installation_replaces_one_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[tuple[str, ...]] = []
    unit = tmp_path / "systemd" / "user" / "dip-restore.service"

    def call(command: tuple[str, ...], **more: Any) -> subprocess.CompletedProcess[str]:
        called.append((*command[2:], "port" if "port" in unit.read_text() else "no port"))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(subprocess, "run", call)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    settings = ServerSettings(data_dir=tmp_path / "data")
    service_unit.install(settings, [])
    called.clear()
    service_unit.install(settings, ["--port=1"])
    assert called == [
        ("disable", "--now", "dip-restore", "no port"),
        ("daemon-reload", "port"),
        ("enable", "--now", "dip-restore", "port"),
    ]


def test_a_system_that_refuses_a_unit_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    def call(command: tuple[str, ...], **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "no bus\n")

    monkeypatch.setattr(subprocess, "run", call)
    with pytest.raises(ServiceFailure, match="no bus"):
        service_unit._call(("systemctl",), must_work=True)
    service_unit._call(("systemctl",), must_work=False)
