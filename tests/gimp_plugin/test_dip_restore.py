"""What the plug-in says of the engine, read without GIMP, against the engine itself."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from dip.config import Settings

PLUG_IN = Path(__file__).resolve().parents[2] / "gimp_plugin" / "dip_restore" / "dip_restore.py"


def constant(name: str) -> Any:
    """A constant of the plug-in's page, which only GIMP's Python can import."""
    for node in ast.parse(PLUG_IN.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(each) for each in node.targets] == [name]:
            return ast.literal_eval(node.value)
    raise AssertionError(f"the plug-in has no {name}")


def test_the_usual_texture_is_the_engines_own() -> None:
    assert constant("USUAL_TEXTURE") == Settings().texture
