"""Find Damage without windows: what is selected in each kind of image, and the messages."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.newest_gimp
def test_the_damage_is_selected_and_nothing_else_changes(gimp: Any) -> None:
    answers = gimp.batch("found_damage")
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
