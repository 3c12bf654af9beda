"""The options of the plug-in, read without GIMP, agree with the engine and the service."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from apiflask.validators import Range

from dip.config import DEVICES, NETWORKS, RANGES, Settings
from dip.presets import PRESETS
from gimp_plugin.install import engine_options
from server.http.schemas import SubmitIn
from server.jobs.parameters import BOTH

PLUG_IN = Path(__file__).resolve().parents[2] / "gimp_plugin" / "dip_restore" / "dip_restore.py"


class _Untranslated(ast.NodeTransformer):
    """Replaces each call of gettext by its text."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        return node.args[0] if ast.unparse(node.func) == "_" else node


def constant(name: str) -> Any:
    """A constant of a module that only GIMP's Python can import."""
    for node in ast.parse(PLUG_IN.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(each) for each in node.targets] == [name]:
            return ast.literal_eval(_Untranslated().visit(node.value))
    raise AssertionError(f"the plug-in has no {name}")


@pytest.mark.parametrize("name", RANGES)
def test_engine_service_and_plug_in_have_the_same_range(name: str) -> None:
    low, high = RANGES[name]
    Settings(**{name: low})
    Settings(**{name: high})
    (validator,) = SubmitIn().fields[name].validators
    assert isinstance(validator, Range)
    assert (validator.min, validator.max) == (low, high)
    assert engine_options()["ranges"][name] == (low, high)
    numbers = {setting for setting, *_ in constant("NUMBERS").values()}
    assert {*numbers, "texture", "time_s"} == set(RANGES)


def test_the_defaults_are_the_engines() -> None:
    defaults = engine_options()["defaults"]
    assert Settings(**defaults) == Settings()


@pytest.mark.parametrize(
    ("name", "values"),
    [("network", [*NETWORKS, BOTH]), ("preset", [*PRESETS]), ("device", [*DEVICES])],
)
def test_the_choices_are_the_services(name: str, values: list[str]) -> None:
    assert list(constant("CHOICES")[name][2]) == values
