"""A unit for systemd or launchd: what it says, and what a system that refuses it says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dip.errors import SettingError
from server import service_unit
from server.errors import AlreadyRunning, ServiceFailure


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
    running = start_service(tmp_path / "data")

    def call(command: tuple[str, ...], **more: Any) -> subprocess.CompletedProcess[str]:
        called.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", call)
    assert service_unit.run(running.settings, install=True) == 0
    running.reap()
    assert running.process.returncode == 0
    assert "the service that ran has stopped" in capsys.readouterr().out
    unit = tmp_path / "systemd" / "user" / "dip-restore.service"
    assert f'"--data-dir" "{tmp_path / "data"}"' in unit.read_text()
    assert called[-1] == ("systemctl", "--user", "enable", "--now", "dip-restore")
    assert service_unit.run(running.settings, install=False) == 0
    assert not unit.exists()
    assert "removed" in capsys.readouterr().out


def test_a_system_that_refuses_a_unit_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    def call(command: tuple[str, ...], **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "no bus\n")

    monkeypatch.setattr(subprocess, "run", call)
    with pytest.raises(ServiceFailure, match="no bus"):
        service_unit._call(("systemctl",), must_work=True)
    service_unit._call(("systemctl",), must_work=False)
