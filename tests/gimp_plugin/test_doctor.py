"""The check finds each cause of a missing menu entry, and names the remedy."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dip.cli import build_parser
from dip.commands import doctor as checks
from gimp_plugin import doctor, install
from gimp_plugin.install import Gimp

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="bits of a file mode")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a GIMP 3.0 with a working plug-in."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("XDG_CONFIG_HOME", "GIMP3_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    config = tmp_path / ".config" / "GIMP" / "3.0"
    install.install(config, [sys.executable, "-m", "dip"])
    found(monkeypatch, Gimp("3.0"))
    return config


def found(monkeypatch: pytest.MonkeyPatch, *gimps: Gimp) -> None:
    monkeypatch.setattr(doctor, "installed_gimps", lambda: list(gimps))


def test_a_working_plug_in_is_ok(config: Path) -> None:
    finding = doctor.check_gimp()
    assert finding.status == "ok"
    assert "Filters > Restore > Deep Image Prior" in finding.seen


def lose_the_bit(folder: Path) -> None:
    (folder / "dip_restore.py").chmod(0o644)


def lose_the_first_line(folder: Path) -> None:
    script = folder / "dip_restore.py"
    script.write_text(script.read_text().partition("\n")[2])


def nest(folder: Path) -> None:
    shutil.move(folder, folder.with_name("moved"))
    shutil.copytree(folder.with_name("moved"), folder / "dip_restore")
    shutil.rmtree(folder.with_name("moved"))


def rename(folder: Path) -> None:
    folder.rename(folder.with_name("dip-restore"))


def lay_loose(folder: Path) -> None:
    shutil.move(folder / "dip_restore.py", folder.parent)
    shutil.rmtree(folder)


def break_an_import(folder: Path) -> None:
    shutil.rmtree(folder / "vendor" / "urllib3")


def be_another_version(folder: Path) -> None:
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps({**settings, "version": "0.0.1"}))


def lose_dip(folder: Path) -> None:
    (folder / "settings.json").write_text('{"command": ["/gone/dip"], "version": "0.1.0"}')


def lose_the_settings(folder: Path) -> None:
    (folder / "settings.json").unlink()


@pytest.mark.parametrize(
    ("harm", "seen", "advice"),
    [
        (shutil.rmtree, "the plug-in is not in", "dip gimp install"),
        (lose_the_bit, "is not executable", "chmod +x"),
        (lose_the_first_line, "has lost its first line", "dip gimp install"),
        (nest, "where GIMP does not look", "Remove it"),
        (rename, "where GIMP does not look", "Remove it"),
        (lay_loose, "where GIMP does not look", "Remove it"),
        (break_an_import, "urllib3", "dip gimp install"),
        (be_another_version, "is version 0.0.1", "dip gimp install"),
        (lose_dip, "/gone/dip, which is missing", "dip gimp install"),
        (lose_the_settings, "cannot be read", "dip gimp install"),
    ],
)
def test_each_fault_is_found(
    config: Path, harm: Callable[[Path], None], seen: str, advice: str
) -> None:
    harm(config / "plug-ins" / "dip_restore")
    finding = doctor.check_gimp()
    assert finding.status == "warn"
    assert seen in finding.seen
    assert advice in finding.advice


def test_a_gimp_of_another_version_that_was_started_has_its_own_folder(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(monkeypatch, Gimp("3.2"))
    assert "takes the plug-in over from 3.0" in doctor.check_gimp().seen
    (config.parent / "3.2").mkdir()
    finding = doctor.check_gimp()
    assert finding.status == "warn"
    assert "3.2" in finding.seen


def test_a_sandboxed_gimp_without_the_plug_in_is_named(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(monkeypatch, Gimp("3.2", "flatpak"))
    finding = doctor.check_gimp()
    assert finding.status == "warn"
    assert "flatpak" in finding.seen


@pytest.mark.parametrize(("gimps", "status"), [((), "ok"), ((Gimp("2.10"),), "warn")])
def test_a_machine_without_gimp_3_is_named(
    config: Path, monkeypatch: pytest.MonkeyPatch, gimps: tuple[Gimp, ...], status: str
) -> None:
    shutil.rmtree(config.parent)
    found(monkeypatch, *gimps)
    finding = doctor.check_gimp()
    assert finding.status == status
    assert "GIMP 3" in finding.seen


def test_dip_doctor_includes_the_check() -> None:
    build_parser()
    assert "gimp" in checks.CHECKS
