"""Notes: English sentences with codes, so that clients can say them in other languages."""

from __future__ import annotations

import ast
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import dip
import server
from dip.notes import TEXTS, Note, joined, to_json

SOURCES = [
    path for package in (dip, server) for path in Path(package.__file__).parent.rglob("*.py")
]


def test_a_note_is_an_english_sentence_that_knows_its_code_and_values() -> None:
    note = Note("rim_damaged", pixels=np.int64(12_345), px=3)
    assert note.startswith("the rim of the mask still holds damage (12,345 pixels")
    assert note.to_json() == {
        "code": "rim_damaged", "values": {"pixels": 12345, "px": 3}, "message": str(note),
    }  # fmt: skip


def test_notes_hold_other_notes_and_names_from_files() -> None:
    note = Note("losses", format="PNG", things=[Note("iptc"), "TIFF a\x1b[31mb\nc"])
    assert note == "a PNG file cannot hold the IPTC data, TIFF a[31mbc"
    things = note.to_json()["values"]["things"]
    assert things == [{"code": "iptc", "values": {}, "message": "the IPTC data"}, "TIFF a[31mbc"]


def test_a_loss_that_is_no_number_is_valid_json() -> None:
    note = Note("diverged", iteration=7, loss=float("nan"), rate=0.125)
    assert json.loads(json.dumps(note.to_json(), allow_nan=False))["values"]["loss"] == "nan"
    assert "(loss nan); went back and goes on at 0.125 times" in note


def test_several_notes_of_one_moment_are_one() -> None:
    run, over = Note("run", run=1, runs=2), Note("time_over")
    assert joined([]) is None
    assert joined([over]) is over
    assert joined([run, over]) == f"{run}; {over}"


def test_notes_survive_another_process_and_are_told_once() -> None:
    note = Note("losses", format="PNG", things=[Note("iptc")])
    again = pickle.loads(pickle.dumps(note))
    assert to_json([note, again]) == [note.to_json()]


def _calls() -> set[str]:
    """The codes of all notes that the engine and the service make."""
    codes = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Note":
                codes |= {
                    each.value
                    for each in ast.walk(node.args[0])
                    if isinstance(each, ast.Constant) and isinstance(each.value, str)
                } or {ast.unparse(node.args[0])}
    return codes


def test_every_note_has_a_text_and_every_text_is_said() -> None:
    chosen = {"enlarged_copied", "enlarged_smooth", "spots_keep_first", "spots_keep_last"}
    assert _calls() - {"code"} | chosen == TEXTS.keys()


def _appended_texts(path: Path) -> list[str]:
    """Texts without a code where notes are collected."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("notes.append"):
            found += [ast.unparse(each) for each in node.args if isinstance(each, ast.JoinedStr)]
            found += [repr(each.value) for each in node.args if isinstance(each, ast.Constant)]
        if isinstance(node, ast.keyword) and node.arg in ("note", "notes"):
            value = node.value
            if isinstance(value, ast.JoinedStr) or (
                isinstance(value, ast.Constant) and isinstance(value.value, str)
            ):
                found.append(ast.unparse(value))
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.as_posix())
def test_no_note_is_a_text_without_a_code(path: Path) -> None:
    assert _appended_texts(path) == []
