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


def of(**given: Any) -> dict[str, Any]:
    usual = {
        "mode": "rgb", "precision": "u8-non-linear", "alpha": False, "profile": None,
        "source": "selection", "output": "new-layer", "iterations": 10,
    }  # fmt: skip
    return {**usual, **given}


def everything_with_everything(meeting: int) -> list[dict[str, Any]]:
    """Fitted for a moment only: nothing but the damage may change.

    Of the 150 combinations so many that any two, or three, values meet in one of them.
    """
    possible = [
        of(
            precision=precision, mode=mode, alpha=alpha, profile=profile, source=source,
            output=output, iterations=1,
        )
        for precision, mode, alpha, profile, source, output in itertools.product(
            ("u8-non-linear", "u16-non-linear", "u32-non-linear", "half-linear", "float-linear"),
            ("rgb", "gray"),
            (False, True),
            (None, "adobe"),
            ("selection", "transparency", "layer-mask"),
            OUTPUTS,
        )
        if not (mode == "gray" and profile) and (alpha or source != "transparency")
    ]  # fmt: skip

    def combinations(case: dict[str, Any]) -> set[tuple[Any, ...]]:
        return set(itertools.combinations(case.items(), meeting))

    missing = set().union(*map(combinations, possible))
    chosen = []
    while missing:
        best = max(possible, key=lambda case: len(combinations(case) & missing))
        missing -= combinations(best)
        chosen.append(best)
    return chosen


def fitted_for_longer() -> list[dict[str, Any]]:
    """Long enough for the colours to be right: each value of each kind at least once."""
    precision = [
        of(precision=precision, mode=mode, alpha=bool(number % 3), output=OUTPUTS[number % 2])
        for number, (precision, mode) in enumerate(itertools.product(PRECISIONS, ("rgb", "gray")))
    ]
    source = [
        of(alpha=True, precision=precision, source=source, output=output)
        for precision, source, output in itertools.product(
            ("u8-non-linear", "float-linear"), ("transparency", "layer-mask"), OUTPUTS
        )
    ]
    profile = [
        of(profile="adobe", precision=precision, output=output)
        for precision, output in itertools.product(
            ("u8-non-linear", "u16-linear", "float-linear"), OUTPUTS
        )
    ]
    feather = [
        of(feather=8, precision=precision, output=output, mode=mode, iterations=80)
        for precision, (output, mode) in itertools.product(
            ("u8-non-linear", "float-linear"), zip(OUTPUTS, ("rgb", "gray"), strict=True)
        )
    ]
    network = [of(network="segnet", iterations=80), of(network="both", precision="u16-non-linear")]
    return [*precision, *source, *profile, *feather, *network]


def test_nothing_but_the_damage_changes_in_any_kind_of_image(gimp: Any, exhaustive: bool) -> None:
    restore_each(gimp, everything_with_everything(3 if exhaustive else 2))


def test_the_colours_are_right_in_every_kind_of_image(gimp: Any, exhaustive: bool) -> None:
    """A fifth of the cases, another one in each version; or all of them."""
    cases, first = fitted_for_longer(), 2 * (gimp.version == "3.2")
    restore_each(gimp, cases if exhaustive else cases[first::5])


def restore_each(gimp: Any, cases: list[dict[str, Any]]) -> None:
    found = gimp.batch("matrix", cases=cases)
    assert found["wrong"] == {}
    assert found["done"] == len(cases)


@pytest.mark.parametrize("case", ["offsets", "partly_outside", "only_some_of_the_damage"])
def test_geometry(gimp: Any, case: str) -> None:
    assert gimp.batch(case) == []


def test_the_damage_is_grown_and_the_selection_is_not(gimp: Any) -> None:
    assert gimp.batch("growing") == [44, 18, [36, 26], True, 1]


def test_both_networks_give_two_layers_of_which_one_shows(gimp: Any) -> None:
    assert gimp.batch("both_networks") == [
        ["U-Net restoration of photo", True],
        ["SegNet restoration of photo", False],
        ["photo", True],
    ]


def test_a_result_stays_in_its_layers_group(gimp: Any) -> None:
    assert gimp.batch("in_a_group") == ["U-Net restoration of photo", "photo"]


def test_large_holes_get_as_much_texture_as_is_asked_for(gimp: Any) -> None:
    assert gimp.batch("textures") == [True, False]


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
    assert set(answers) == set(SAID)
    for name, answer in answers.items():
        assert not answer["fine"], name
        assert answer["same"], name
        assert SAID[name] in answer["said"], f"{name}: {answer['said']}"


def test_what_changes_while_the_fit_runs_is_noticed(gimp: Any) -> None:
    plug_in = str(gimp.config / "plug-ins" / "dip_restore")
    answers = gimp.batch("changed_meanwhile", plug_in=plug_in)
    refused = {
        "delete_layer": "The layer was deleted meanwhile",
        "scale": "was changed meanwhile",
        "convert": "was changed meanwhile",
        "gray": "was changed meanwhile",
    }
    for output in ("new-layer", "in-place"):
        for change, said in refused.items():
            answer = answers[f"{change} {output}"]
            assert said in answer["said"], f"{change} {output}: {answer}"
            assert answer["same"], change
    assert "closed meanwhile" in answers["closed"]["said"]
    # Painting elsewhere, or locking, is no obstacle to a new layer; in place it would be lost.
    assert "painted on meanwhile" in answers["paint in-place"]["said"]
    assert answers["paint in-place"]["same"]
    assert "are locked" in answers["lock in-place"]["said"]
    assert answers["lock in-place"]["same"]
    for change, at in (("paint", [39, 29]), ("lock", [39, 29]), ("nothing", [39, 29])):
        assert answers[f"{change} new-layer"] == {
            "said": "", "same": False, "layers": 2, "at": at,
        }  # fmt: skip
    # A layer that was moved takes its result along.
    assert answers["move new-layer"]["at"] == [46, 34]
    assert answers["move in-place"]["said"] == ""
    assert answers["nothing in-place"]["said"] == ""
