"""Measuring a case: workers that fail, missing methods, previews."""

import sys

import numpy as np
import pytest

from dip.bench import measure as module
from dip.bench.cases import read_case, read_cases
from dip.bench.measure import (
    Measured,
    first_useful_s,
    measure_references,
    measure_run,
    read_others,
    summary_line,
)
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
def test_the_error_of_a_failed_worker_is_kept(
    measured, tmp_path, monkeypatch, stdout, status, message
):
    monkeypatch.setattr(module, "_run_worker", lambda *_: (status, stdout))
    run = measure_run(measured, Settings(), tmp_path / "photo.png", tmp_path / "mask.png")
    assert message in run["error"]["message"]
    assert message in summary_line(run)


def test_ctrl_c_in_a_worker_stops_the_benchmark(measured, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_run_worker", lambda *_: (130, ""))
    with pytest.raises(KeyboardInterrupt):
        measure_run(measured, Settings(), tmp_path / "photo.png", tmp_path / "mask.png")


def test_a_missing_method_is_reported_and_skipped(measured, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cv2", None)
    measure_references(measured)
    assert "OpenCV" in measured.figures["references"]["telea"]["skipped"]
    assert measured.figures["references"]["biharmonic"]["hole_psnr_db"] > 40
    assert "[bench]" in capsys.readouterr().err


def test_a_preview_is_useful_once_it_is_nearer_than_the_mean_colour(measured):
    truth, unknown = measured.truth, measured.unknown
    everywhere = slice(0, 64), slice(0, 64)
    black, good = np.zeros_like(truth), truth.copy()
    good[unknown] //= 2
    good[unknown] += truth[unknown] // 3
    previews = [(101.0, everywhere, black), (102.5, everywhere, good), (104.0, everywhere, truth)]
    assert first_useful_s(measured, previews, 100.0) == 2.5
    assert first_useful_s(measured, previews[:1], 100.0) is None


def test_results_of_other_programs_are_measured(measured, tmp_path):
    from PIL import Image

    Image.fromarray(measured.truth).save(tmp_path / "resynth.png")
    read_others(measured, tmp_path)
    assert measured.figures["references"]["resynth"]["hole_psnr_db"] == 99.0
    assert np.array_equal(measured.references["resynth"], measured.truth)
