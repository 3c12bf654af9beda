"""The README files: short, and every file, command and option that they name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dip.cli import build_parser

ROOT = Path(__file__).parents[1]
READMES = sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("*/README.md"))
NAMES = [str(path.relative_to(ROOT)) for path in READMES]


def test_the_first_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files_and_headings(name: str) -> None:
    path = ROOT / name
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", path.read_text(encoding="utf-8")):
        file, _, anchor = target.partition("#")
        linked = path.parent / file if file else path
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {
                re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings
            }


@pytest.mark.parametrize("name", NAMES)
def test_files_that_are_named_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for named in re.findall(r"\b((?:dip|server|gimp_plugin|tests)/[\w/]+\.(?:py|md|sh|jpg))", text):
        assert (ROOT / named).exists(), named


@pytest.mark.parametrize("name", NAMES)
def test_commands_and_options_that_are_named_exist(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    for command, rest in re.findall(r"(?:\.venv/bin/|`)dip ([a-z]+)([^`\n#]*)", text):
        with pytest.raises(SystemExit):
            build_parser().parse_args([command, "--help"])
        known = capsys.readouterr().out
        if command == "gimp":
            continue  # its options belong to sub-commands
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in known, f"dip {command} {option}"
