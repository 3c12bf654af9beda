"""Without windows: what comes out, for every kind of image, and what is said where nothing can."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

PRECISIONS = (
    "u8-non-linear", "u8-linear", "u8-perceptual", "u16-non-linear", "u16-linear",
    "u32-non-linear", "half-non-linear", "half-linear", "float-non-linear", "float-linear",
    "double-non-linear",
)  # fmt: skip
OUTPUTS = ("new-layer", "in-place")


def cases() -> dict[str, list[dict[str, Any]]]:
    """Each precision, mode and alpha; in them, every source and kind of result; then the rest."""

    def of(**given: Any) -> dict[str, Any]:
        usual = {
            "mode": "rgb", "precision": "u8-non-linear", "alpha": False, "profile": None,
            "source": "selection", "output": "new-layer",
        }  # fmt: skip
        return {**usual, **given}

    precision = [
        of(precision=precision, mode=mode, alpha=alpha, output=OUTPUTS[number % 2])
        for number, (precision, (mode, alpha)) in enumerate(
            itertools.product(
                PRECISIONS, (("rgb", False), ("rgb", True), ("gray", False), ("gray", True))
            )
        )
    ]
    source = [
        of(precision=precision, mode=mode, alpha=True, source=source, output=output)
        for precision, mode, source, output in itertools.product(
            ("u8-non-linear", "u16-non-linear", "float-linear"),
            ("rgb", "gray"),
            ("transparency", "layer-mask"),
            OUTPUTS,
        )
    ]
    other = [
        of(profile="adobe", precision=precision, output=output, alpha=alpha)
        for precision, output, alpha in itertools.product(
            ("u8-non-linear", "u16-non-linear", "float-linear"), OUTPUTS, (False, True)
        )
    ]
    other += [
        of(feather=8, precision=precision, output=output, mode=mode)
        for precision, output, mode in itertools.product(
            ("u8-non-linear", "float-linear"), OUTPUTS, ("rgb", "gray")
        )
    ]
    other += [of(source="layer-mask", output=output) for output in OUTPUTS]
    other += [of(network="segnet", output=output) for output in OUTPUTS]
    other.append(of(network="both", precision="u16-non-linear"))
    return {"precision": precision, "source": source, "other": other}


@pytest.mark.parametrize("group", list(cases()))
def test_every_kind_of_image_is_restored_and_nothing_else_changes(gimp: Any, group: str) -> None:
    found = gimp.batch("matrix", cases=cases()[group], timeout_s=500)
    assert found["wrong"] == {}
    assert found["done"] == len(cases()[group])


@pytest.mark.parametrize("case", ["offsets", "partly_outside", "only_some_of_the_damage"])
def test_geometry(gimp: Any, case: str) -> None:
    assert gimp.batch(case) == []


def test_the_damage_is_grown_and_the_selection_is_not(gimp: Any) -> None:
    assert gimp.batch("growing") == [44, 18, [36, 26], True, 1]


def test_both_networks_give_two_layers_of_which_one_shows(gimp: Any) -> None:
    assert gimp.batch("both_networks") == [
        ["photo restored (U-Net)", True],
        ["photo restored (SegNet)", False],
        ["photo", True],
    ]


def test_a_result_stays_in_its_layers_group(gimp: Any) -> None:
    assert gimp.batch("in_a_group") == ["photo restored (U-Net)", "photo"]


def test_the_same_seed_gives_the_same_result(gimp: Any) -> None:
    assert gimp.batch("same_seed_same_result") == [True, False]


def test_run_with_last_values(gimp: Any) -> None:
    assert gimp.batch("with_last_values") == [True, "success", 2]


def test_a_locked_photograph_takes_a_new_layer(gimp: Any) -> None:
    assert gimp.batch("locked_photo_new_layer") == 2


def test_an_indexed_image_is_converted_where_that_is_allowed(gimp: Any) -> None:
    assert gimp.batch("indexed_allowed") == ["rgb", 1]


SAID = {
    "nothing selected": "Select the damage first",
    "nothing transparent": "Nothing in this layer is transparent",
    "no alpha channel": "has no transparency",
    "no layer mask": "has no layer mask",
    "selection outside the layer": "lies outside the layer",
    "layer outside the image": "lies outside the image",
    "all selected": "Leave some of the photograph",
    "several layers": "2 layers are chosen",
    "group": "is a group of layers",
    "layer mask": "The layer mask is chosen",
    "channel": "A channel is chosen",
    "locked": "are locked",
    "alpha locked": "The transparency of",
    "text": "is a text layer",
    "indexed": "This image is indexed",
    "floating selection": "Anchor it first",
    "tiny": "12",
}


def test_what_cannot_be_done_is_said_and_changes_nothing(gimp: Any) -> None:
    answers = gimp.batch("bad_situations")
    assert {name for name in SAID if name not in answers} <= {"text"}  # where there are no fonts
    for name, answer in answers.items():
        assert not answer["fine"], name
        assert answer["same"], name
        assert SAID[name] in answer["said"], f"{name}: {answer['said']}"
