"""Style, types and shell scripts, checked by the tools for that."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = Path(sysconfig.get_path("scripts"))
SCRIPTS = ("install.sh", "tests/run.sh", ".ci/run", "tests/gimp/*.sh", "tests/browser/*.sh")


def check(tool: str, *arguments: str) -> None:
    if not (TOOLS / tool).exists():
        pytest.skip(f"{tool} is not installed")
    done = subprocess.run(
        [TOOLS / tool, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_python_files_keep_the_rules() -> None:
    check("ruff", "check", "--no-cache", ".")


def test_python_files_are_formatted() -> None:
    check("ruff", "format", "--no-cache", "--check", ".")


@pytest.mark.slow
def test_types_fit() -> None:
    check("mypy")


def test_shell_scripts_keep_the_rules() -> None:
    check("shellcheck", *(str(path) for each in SCRIPTS for path in sorted(ROOT.glob(each))))
