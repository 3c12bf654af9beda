"""Installing the plug-in into the folders where GIMP looks for it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dip import __version__
from dip.cli import main
from dip.errors import OutputError
from gimp_plugin import install
from gimp_plugin.install import Gimp

posix = pytest.mark.skipif(sys.platform == "win32", reason="bits of a file mode")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("XDG_CONFIG_HOME", "GIMP3_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(install, "installed_gimps", list)
    return tmp_path


SYSTEM, FLATPAK, SNAP = (
    ".config/GIMP", ".var/app/org.gimp.GIMP/config/GIMP", "snap/gimp/current/.config/GIMP"
)  # fmt: skip


@pytest.mark.parametrize(
    ("there", "gimps", "expected", "note"),
    [
        ([], [], [], None),
        ([f"{SYSTEM}/3.0"], [], [f"{SYSTEM}/3.0"], None),
        (
            [f"{SYSTEM}/3.0", f"{FLATPAK}/3.2", f"{SNAP}/3.0", f"{SYSTEM}/2.10"],
            [],
            [f"{SYSTEM}/3.0", f"{FLATPAK}/3.2", f"{SNAP}/3.0"],
            None,
        ),
        ([], [Gimp("3.0")], [f"{SYSTEM}/3.0"], None),
        ([], [Gimp("3.2", "flatpak")], [f"{FLATPAK}/3.2"], None),
        ([], [Gimp("3.0", "snap")], [f"{SNAP}/3.0"], None),
        ([f"{SYSTEM}/3.2"], [Gimp("3.2", "flatpak")], [f"{SYSTEM}/3.2"], None),
        # A GIMP that finds its own folder takes over nothing from an older version.
        ([f"{SYSTEM}/3.0"], [Gimp("3.2")], [f"{SYSTEM}/3.0"], "takes the plug-in over from 3.0"),
        ([f"{SYSTEM}/2.10"], [Gimp("3.0")], [], "was never started"),
        ([], [Gimp("2.10")], [], "too old"),
    ],
)
def test_the_folders_for_the_plug_in(
    home: Path, there: list[str], gimps: list[Gimp], expected: list[str], note: str | None
) -> None:
    for name in there:
        (home / name).mkdir(parents=True)
    folders, notes = install.choose_folders(home, gimps)
    assert folders == [home / name for name in expected]
    assert [note in each for each in notes] == ([] if note is None else [True])


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("darwin", {}, "Library/Application Support/GIMP"),
        ("win32", {}, "AppData/Roaming/GIMP"),
        ("win32", {"APPDATA": "/roaming"}, "/roaming/GIMP"),
        ("linux", {"XDG_CONFIG_HOME": "/xdg"}, "/xdg/GIMP"),
    ],
)
def test_each_system_has_its_own_folder(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    environment: dict[str, str],
    expected: str,
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert install.roots(home, environment)["system"] == [home / expected]


def test_the_folder_in_gimp3_directory_is_used(home: Path) -> None:
    assert install.config_folders(home, {"GIMP3_DIRECTORY": "/mine"}) == [Path("/mine")]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("GNU Image Manipulation Program version 3.0.4\n", "3.0"),
        ("Name  Version  Rev\ngimp  2.10.38  504\n", "2.10"),
        ("", None),
    ],
)
def test_versions_are_read_from_the_output_of_programs(said: str, expected: str | None) -> None:
    assert install._version_from(said) == expected


@posix
def test_the_installed_folder_is_complete(tmp_path: Path) -> None:
    """It works with a Python that has no packages, in another folder."""
    folder = install.install(tmp_path / "3.0", ["/opt/dip"])
    assert folder == tmp_path / "3.0" / "plug-ins" / "dip_restore"
    script = folder / "dip_restore.py"
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/usr/bin/env python3\n")
    assert not [path for path in folder.rglob("*") if path.suffix in (".so", ".pyd", ".pyc")]
    assert list(folder.rglob("*dist-info*/**/LICENSE*"))  # the licences of the packages
    code = (
        "import sys; sys.path[:0] = ['vendor', '.']\n"
        "import masks, service, session, requests\n"
        "from pathlib import Path\n"
        "print(service.Settings.beside(Path('.')), requests.__file__)\n"
        "assert not {'numpy', 'torch', 'dip', 'server'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-B", "-c", code],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"Settings(command=('/opt/dip',), version='{__version__}')" in done.stdout
    assert "vendor" in done.stdout


def test_installing_again_replaces_the_folder(tmp_path: Path) -> None:
    folder = install.install(tmp_path, ["/old/dip"])
    (folder / "left_over.py").touch()
    install.install(tmp_path, ["/new/dip"])
    assert not (folder / "left_over.py").exists()
    assert "/new/dip" in (folder / "settings.json").read_text()
    assert [path.name for path in folder.parent.iterdir()] == ["dip_restore"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "plug-ins").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        install.install(tmp_path, None)


@posix
def test_the_zip_unpacks_into_a_folder_of_the_right_name(tmp_path: Path) -> None:
    install.pack(tmp_path / "plug_in.zip")
    with zipfile.ZipFile(tmp_path / "plug_in.zip") as archive:
        names = archive.namelist()
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
        archive.extractall(tmp_path / "plug-ins")
    assert {name.split("/")[0] for name in names} == {"dip_restore"}
    assert "dip_restore/vendor/requests/__init__.py" in names
    assert modes["dip_restore/dip_restore.py"] & 0o111
    assert '"command": null' in (tmp_path / "plug-ins/dip_restore/settings.json").read_text()


# --- The command line ----------------------------------------------------------------------------


def test_install_and_uninstall(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / SYSTEM / "3.0").mkdir(parents=True)
    folder = home / SYSTEM / "3.0" / "plug-ins" / "dip_restore"
    assert main(["gimp", "install"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{folder}\n"
    assert "Filters > Restore > Deep Image Prior" in said.err
    assert (folder / "dip_restore.py").exists()
    assert main(["gimp", "uninstall"]) == 0
    assert not folder.exists()
    assert main(["gimp", "uninstall"]) == 0
    assert "installed in no GIMP" in capsys.readouterr().err


@pytest.mark.parametrize("named", ["elsewhere/3.0", "elsewhere/3.0/plug-ins"])
def test_a_folder_can_be_named(home: Path, capsys: pytest.CaptureFixture[str], named: str) -> None:
    assert main(["gimp", "install", "--gimp-dir", str(home / named)]) == 0
    assert (home / "elsewhere/3.0/plug-ins/dip_restore/dip_restore.py").exists()
    assert main(["gimp", "uninstall", "--gimp-dir", str(home / named)]) == 0
    assert not (home / "elsewhere/3.0/plug-ins/dip_restore").exists()


def test_a_missing_gimp_is_no_failure(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gimp", "install"]) == 0
    assert "No GIMP 3 was found" in capsys.readouterr().err


def test_packing_is_one_command(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "plug_in.zip"
    assert main(["gimp", "zip", "-o", str(output)]) == 0
    assert zipfile.is_zipfile(output)
    assert main(["gimp", "zip", "-o", str(tmp_path / "no" / "where.zip")]) == 5
    assert "cannot be written" in capsys.readouterr().err


def test_the_command_that_starts_dip_is_an_absolute_path() -> None:
    assert Path(install.dip_command()[0]).is_absolute()
