"""Find Damage without windows: what is selected in each kind of image, and the messages."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.newest_gimp
def test_the_damage_is_selected_and_nothing_else_changes(gimp: Any, exhaustive: bool) -> None:
    answers = gimp.batch("found_damage", all_kinds=exhaustive)
    assert len(answers) == (4 if exhaustive else 2)
    for name, answer in answers.items():
        assert answer["message"] == "", name
        assert answer["found"] == [True] * 4, name
        assert answer["same"], name
        assert answer["channels"] == 0, name
        added = name == "gray u8"
        assert answer["kept"] == added, name
        assert 36 <= answer["pixels"] - 600 * added < 600, name


MESSAGES = {
    "nothing found": "No damage was found",
    "no kind": "No damage was found",
    "too small": "20",
    "several layers": "2 layers are chosen",
}


@pytest.mark.newest_gimp
def test_refusals_name_the_reason_and_leave_the_selection(gimp: Any) -> None:
    answers = gimp.batch("finding_refused")
    assert set(answers) == set(MESSAGES)
    for name, answer in answers.items():
        assert not answer["succeeded"], name
        assert answer["same"], name
        assert MESSAGES[name] in answer["message"], f"{name}: {answer['message']}"


@pytest.mark.newest_gimp
def test_changes_during_the_search_are_noticed(gimp: Any) -> None:
    plug_in = str(gimp.config / "plug-ins" / "dip_restore")
    answers = gimp.batch("changed_while_searching", plug_in=plug_in)
    # A layer that was moved takes its marks along.
    assert answers.pop("move") == {"message": "", "box": [47, 35, 48, 36]}
    messages = {
        "paint": "was changed while",
        "scale": "was changed while",
        "delete_layer": "The layer was deleted meanwhile",
        "close": "The image was closed meanwhile",
        "move_away": "lies outside the image",
        "too much": "12% of the photograph would be selected",
    }
    assert set(answers) == set(messages)
    for name, answer in answers.items():
        assert messages[name] in answer["message"], name
        assert answer["box"] == [], name
