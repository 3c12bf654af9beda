"""Child processes find the packages from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dip.machine.child_process import CHECKOUT, child_environment


def test_a_child_finds_dip_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    asked = subprocess.run(
        [sys.executable, "-S", "-c", "import dip; print(dip.__file__)"],
        cwd=tmp_path,
        env=child_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(asked.stdout.strip()).parent == CHECKOUT / "dip"


def test_the_environment_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    monkeypatch.setenv("DIP_TEST_WORD", "kept")
    environment = child_environment()
    assert environment["PYTHONPATH"].split(os.pathsep) == [str(CHECKOUT), "elsewhere"]
    assert environment["DIP_TEST_WORD"] == "kept"


def test_an_empty_path_adds_no_current_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert child_environment()["PYTHONPATH"] == str(CHECKOUT)
