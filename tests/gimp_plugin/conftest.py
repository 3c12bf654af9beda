"""Makes the plug-in's modules importable as GIMP's Python imports them: by their own names."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

import server.client
from dip import notes
from dip.regions import rules

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.append(str(ROOT / "gimp_plugin" / "dip_restore"))
sys.modules["dip_client"] = server.client
sys.modules["dip_rules"] = rules
sys.modules["dip_notes"] = notes
import service  # noqa: E402  # found on the path above

DIP = ("/usr/bin/env", f"PYTHONPATH={ROOT}", "OMP_WAIT_POLICY=PASSIVE", sys.executable, "-m", "dip")
"""Starts `dip` in an environment without PYTHONPATH."""


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests of one service run in one process."""
    for item in items:
        if HERE in item.path.parents and "shared_service" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("shared_service"))


@pytest.fixture
def dip_command() -> tuple[str, ...]:
    return DIP


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder for a service; services that use it are ended after the test."""
    folder = tmp_path / "service"
    monkeypatch.setenv("DIP_DATA_DIR", str(folder))
    for name in ("FLATPAK_ID", "SNAP"):
        monkeypatch.delenv(name, raising=False)
    yield folder
    end_services(folder)


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[service.Service]:
    """A service for all tests of a file, started as the plug-in starts it."""
    folder = tmp_path_factory.mktemp("session") / "service"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIP_DATA_DIR", str(folder))
        yield service.Service(service.Settings(command=DIP))
    end_services(folder)


def end_services(folder: Path) -> None:
    """End each process that has a data folder in its environment."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get("DIP_DATA_DIR") == str(folder):
                process.kill()
                process.wait(300)
    service._started[:] = [started for started in service._started if started.poll() is None]
