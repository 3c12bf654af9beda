"""Child processes find the packages from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dip.errors import ProcessDied
from dip.machine.child_process import CHECKOUT, ChildProcess, child_environment
from dip.machine.memory import OutOfMemoryKills


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


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signal")
@pytest.mark.parametrize("recorded", [False, True])
def test_a_killed_child_ran_out_of_memory_only_where_the_system_says_so(
    tmp_path: Path, recorded: bool
) -> None:
    record = tmp_path / "proc" / "vmstat"
    record.parent.mkdir()
    record.write_text("oom_kill 3\n")
    child = ChildProcess("dip.batch.fit_worker")
    child._kills = OutOfMemoryKills(tmp_path)
    record.write_text(f"oom_kill {3 + recorded}\n")
    child.kill()
    with pytest.raises(ProcessDied) as caught:
        child.receive(60)
    assert ("for lack of memory" in caught.value.message) == recorded
    assert ("--max-memory-mb" in caught.value.hint) == recorded
    child.close()


def test_the_environment_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    monkeypatch.setenv("DIP_TEST_WORD", "kept")
    environment = child_environment()
    assert environment["PYTHONPATH"].split(os.pathsep) == [str(CHECKOUT), "elsewhere"]
    assert environment["DIP_TEST_WORD"] == "kept"


def test_an_empty_path_adds_no_current_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert child_environment()["PYTHONPATH"] == str(CHECKOUT)
