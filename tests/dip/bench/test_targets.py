"""The table of targets, and tables in files."""

import json

import pytest

from dip.bench.targets import TARGETS, Target, read_targets
from dip.errors import SettingError

GOOD = {
    "case": "face",
    "network": "unet",
    "preset": "fast",
    "metric": "hole_psnr_db",
    "at_least": 30,
}


def test_each_target_of_the_table_is_unique():
    keys = [(t.case, t.network, t.preset, t.metric, t.device) for t in TARGETS]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("case", "psnr_db"),
    [
        ("face_square", 30.5),
        ("face_text", 36.0),
        ("landscape_square", 18.5),
        ("landscape_text", 18.5),
        ("kate", 32.0),
        ("library", 14.5),
    ],
)
def test_the_default_preset_must_reach_these_within_a_minute(case, psnr_db):
    own = [t for t in TARGETS if (t.case, t.network, t.preset) == (case, "unet", "balanced")]
    assert {t.at_least for t in own if t.metric == "hole_psnr_db"} == {psnr_db}
    assert {t.at_most for t in own if t.metric == "seconds" and t.device == "cpu"} == {60}


def test_each_case_has_its_limits_of_time():
    cases = {target.case for target in TARGETS}
    assert len(cases) == 9
    for case in cases:
        own = [t for t in TARGETS if (t.case, t.network) == (case, "unet")]
        bounds = {(t.preset, t.metric): t.at_most for t in own if t.device != "cuda"}
        assert bounds["balanced", "first_preview_seconds"] == 3
        assert bounds["balanced", "seconds"] in (60, 300)
        assert (bounds["fast", "seconds"], bounds["best", "seconds"]) == (15, 600)
        rivals = {t.preset: t.at_least for t in own if isinstance(t.at_least, str)}
        assert rivals == {"fast": "opencv", "best": "balanced"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"network": "vgg"}, "vgg"),
        ({"preset": "slow"}, "slow"),
        ({"metric": "beauty"}, "beauty"),
        ({"device": "abacus"}, "abacus"),
        ({"at_least": "everyone"}, "everyone"),
        ({"at_least": None}, "face"),
        ({"at_most": 3}, "face"),
    ],
)
def test_an_invalid_target_is_refused_by_name(change, named):
    with pytest.raises(SettingError, match=named):
        Target(**{**GOOD, **change})


def test_a_table_in_a_file_is_read(tmp_path):
    path = tmp_path / "targets.json"
    path.write_text(json.dumps([GOOD, {**GOOD, "at_least": "opencv"}]))
    assert read_targets(path) == (Target(**GOOD), Target(**{**GOOD, "at_least": "opencv"}))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "not a list"),
        ('{"case": 1}', "not a list"),
        ("[1]", "not a list"),
        ("[{}]", "not a list"),
        (json.dumps([{**GOOD, "speed": 1}]), "speed"),
    ],
)
def test_a_broken_table_is_refused_with_its_name(tmp_path, text, named):
    path = tmp_path / "targets.json"
    path.write_text(text)
    with pytest.raises(SettingError, match=named) as caught:
        read_targets(path)
    assert "targets.json" in caught.value.message


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(SettingError, match="nowhere"):
        read_targets(tmp_path / "nowhere.json")
