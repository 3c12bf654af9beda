"""Without windows: results for each kind of image, and the messages of refusals."""

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
    """Cases with a fit of one iteration: only the damage may change.

    They are chosen from all 150 combinations so that any `meeting` values meet in one of them.
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
    """Cases with a fit that is long enough for the right colours; each value at least once."""
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
    """Any two values meet in the newest GIMP; in an older one each occurs at least once."""
    meeting = 2 if gimp.version == "3.2" else 1
    restore_each(gimp, everything_with_everything(3 if exhaustive else meeting))


@pytest.mark.newest_gimp
def test_the_colours_are_right_in_every_kind_of_image(gimp: Any, exhaustive: bool) -> None:
    """A fifth of the cases in the newest GIMP; or all of them in each."""
    cases = fitted_for_longer()
    restore_each(gimp, cases if exhaustive else cases[2::5])


def restore_each(gimp: Any, cases: list[dict[str, Any]]) -> None:
    found = gimp.batch("matrix", cases=cases)
    assert found["wrong"] == {}
    assert found["done"] == len(cases)


@pytest.mark.parametrize(
    "case", ["offsets", "partly_outside", "only_some_of_the_damage", "outside_the_canvas"]
)
def test_geometry(gimp: Any, case: str) -> None:
    assert gimp.batch(case) == []


@pytest.mark.newest_gimp
def test_growing_the_damage_leaves_the_selection(gimp: Any) -> None:
    assert gimp.batch("growing") == [44, 18, [36, 26], True, 1]


@pytest.mark.newest_gimp
def test_the_damage_grows_over_its_rim(gimp: Any) -> None:
    assert gimp.batch("growing_over_its_rim") == []


@pytest.mark.newest_gimp
def test_both_networks_give_two_layers_and_one_is_visible(gimp: Any) -> None:
    assert gimp.batch("both_networks") == [
        ["U-Net restoration of photo", True],
        ["SegNet restoration of photo", False],
        ["photo", True],
    ]


def test_a_result_stays_in_its_layers_group(gimp: Any) -> None:
    assert gimp.batch("in_a_group") == ["U-Net restoration of photo", "photo"]


@pytest.mark.newest_gimp
def test_texture_changes_large_holes(gimp: Any) -> None:
    assert gimp.batch("textures") == [True, False]


@pytest.mark.newest_gimp
def test_the_same_seed_gives_the_same_result(gimp: Any) -> None:
    assert gimp.batch("same_seed_same_result") == [True, False]


def test_run_with_last_values(gimp: Any) -> None:
    gimp.remember(preset="fast", iterations=2)
    assert gimp.batch("with_last_values") == [True, "success", 2]


def test_a_locked_photograph_takes_a_new_layer(gimp: Any) -> None:
    assert gimp.batch("locked_photo_new_layer") == 2


def test_an_indexed_image_is_converted_if_allowed(gimp: Any) -> None:
    assert gimp.batch("indexed_allowed") == ["rgb", 1]


MESSAGES = {
    "nothing selected": "Select the damage with any",
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
    "text": "is a layer of text",
    "indexed": "This image is indexed",
    "floating selection": "Anchor it first",
    "tiny": "12",
}


def test_refusals_name_the_reason_and_change_nothing(gimp: Any) -> None:
    answers = gimp.batch("bad_situations")
    assert set(answers) == set(MESSAGES)
    for name, answer in answers.items():
        assert not answer["succeeded"], name
        assert answer["same"], name
        assert MESSAGES[name] in answer["message"], f"{name}: {answer['message']}"


def test_the_dialog_reads_the_damage_once_and_notices_changes(gimp: Any) -> None:
    """Reads of pixels, and whether the damage is that of a fresh look; growing reads a scratch."""
    plug_in = str(gimp.config / "plug-ins" / "dip_restore")
    assert gimp.batch("damage_for_a_dialog", plug_in=plug_in) == {
        "opened": [1, True],
        "another quality": [0, True],
        "grown": [1, True],
        "not grown again": [0, True],
        "grown again": [0, True],
        "focus": [0, True],
        "another selection": [0, True],
        "another selection, grown": [1, True],
    }


def test_the_window_says_that_it_is_finishing(gimp: Any) -> None:
    plug_in = str(gimp.config / "plug-ins" / "dip_restore")
    assert gimp.batch("words_of_progress", plug_in=plug_in) == [
        "Restoring: 40%, 30 s left",
        "Finishing: 40%",
    ]


def test_changes_during_the_fit_are_noticed(gimp: Any) -> None:
    plug_in = str(gimp.config / "plug-ins" / "dip_restore")
    answers = gimp.batch("changed_meanwhile", plug_in=plug_in)
    refused = {
        "delete_layer": "The layer was deleted meanwhile",
        "scale": "was changed meanwhile",
        "convert": "was changed meanwhile",
        "gray": "was changed meanwhile",
    }
    for output in ("new-layer", "in-place"):
        for change, message in refused.items():
            answer = answers[f"{change} {output}"]
            assert message in answer["message"], f"{change} {output}: {answer}"
            assert answer["same"], change
    assert "closed meanwhile" in answers["closed"]["message"]
    # Painting elsewhere, or locking, is no obstacle to a new layer; in place it would be lost.
    assert "painted on meanwhile" in answers["paint in-place"]["message"]
    assert answers["paint in-place"]["same"]
    assert "are locked" in answers["lock in-place"]["message"]
    assert answers["lock in-place"]["same"]
    for change, at in (("paint", [39, 29]), ("lock", [39, 29]), ("nothing", [39, 29])):
        assert answers[f"{change} new-layer"] == {
            "message": "", "same": False, "layers": 2, "at": at,
        }  # fmt: skip
    # A layer that was moved takes its result along.
    assert answers["move new-layer"]["at"] == [46, 34]
    assert answers["move in-place"]["message"] == ""
    assert answers["nothing in-place"]["message"] == ""
