"""Measuring a case: children that fail, methods that are missing, previews."""

import subprocess
import sys

import numpy as np
import pytest

from dip.bench.cases import read_case, read_cases
from dip.bench.measure import Measured, first_useful_s, in_short, measure_references, measure_run
from dip.config import Settings


@pytest.fixture
def measured(folder):
    case = read_cases(folder)[0]
    truth, unknown = read_case(case)
    return Measured(case, {"references": {}, "runs": []}, truth, unknown, {}, {})


@pytest.mark.parametrize(
    ("stdout", "status", "message"),
    [
        ('{"error": {"code": "not_enough_memory", "message": "Full.", "hint": ""}}\n', 7, "Full."),
        ("", -9, "status -9"),
        ("no JSON\n", 1, "status 1"),
    ],
)
def test_a_child_that_fails_leaves_its_reason(
    measured, tmp_path, monkeypatch, stdout, status, message
):
    def end(command, **_):
        return subprocess.CompletedProcess(command, status, stdout)

    monkeypatch.setattr(subprocess, "run", end)
    run = measure_run(measured, Settings(), tmp_path / "photo.png", tmp_path / "mask.png")
    assert message in run["error"]["message"]
    assert message in in_short(run)


def test_ctrl_c_in_a_child_stops_the_parent(measured, tmp_path, monkeypatch):
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 130, "")
    )
    with pytest.raises(KeyboardInterrupt):
        measure_run(measured, Settings(), tmp_path / "photo.png", tmp_path / "mask.png")


def test_a_method_that_is_missing_is_said_and_skipped(measured, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cv2", None)
    measure_references(measured)
    assert "OpenCV" in measured.figures["references"]["telea"]["skipped"]
    assert measured.figures["references"]["biharmonic"]["hole_psnr_db"] > 40
    assert "[bench]" in capsys.readouterr().err


def test_a_preview_is_of_use_once_it_is_nearer_than_one_flat_colour(measured):
    truth, unknown = measured.truth, measured.unknown
    everywhere = slice(0, 64), slice(0, 64)
    black, good = np.zeros_like(truth), truth.copy()
    good[unknown] //= 2
    good[unknown] += truth[unknown] // 3
    previews = [(101.0, everywhere, black), (102.5, everywhere, good), (104.0, everywhere, truth)]
    assert first_useful_s(measured, previews, 100.0) == 2.5
    assert first_useful_s(measured, previews[:1], 100.0) is None
