"""The report: table, verdicts, sheet."""

import numpy as np
import pytest
from made_up_cases import made_up_case

from dip.bench.cases import Case, read_case, read_cases
from dip.bench.measure import Measured, score
from dip.bench.report import PANEL_PX, draw_row, draw_sheet, judge, summarise, table
from dip.bench.targets import Target
from dip.commands.bench import begin_report
from dip.config import Settings


def made_up_run(**figures):
    return {
        "network": "unet",
        "preset": "balanced",
        "seed": 0,
        "device": "cpu",
        "threads": 2,
        "hole_psnr_db": 30.0,
        "full_psnr_db": 40.0,
        "full_raw_psnr_db": None,
        "ssim_around": 0.9,
        "texture_distance": 0.5,
        "seconds": 50.0,
        "first_preview_seconds": 2.5,
        "fit_seconds": 45.0,
        "seconds_per_iteration": 0.2,
        "iterations": 225,
        "peak_memory_mb": 900.0,
        **figures,
    }


def made_up_report(*runs):
    report = begin_report([Settings(), Settings(seed=1)])
    report["cases"]["face"] = made_up_case(*(runs or [made_up_run()]))
    return report


def verdict(report, **bound):
    speaks_of = {"case": "face", "network": "unet", "preset": "balanced", "metric": "hole_psnr_db"}
    target = Target(**{**speaks_of, **bound})
    verdicts = judge(report, [target])
    return verdicts[0]["passed"] if verdicts else None


def test_the_table_marks_a_case_without_truth(folder):
    case = read_cases(folder)[1]
    truth, unknown = read_case(case)
    measured = Measured(case, {}, truth, unknown, {}, {})
    figures = score(measured, truth, truth / np.float32(255))
    assert set(figures.values()) == {None}
    report = made_up_report({**made_up_run(), **figures})
    report["cases"]["face"]["truth"] = False
    assert "no correct result: look at the sheet" in table(report)


def test_each_case_has_a_row_of_the_sheet(folder):
    case = read_cases(folder)[1]
    truth, unknown = read_case(case)
    row = draw_row(
        Measured(
            case, made_up_case(made_up_run()), truth, unknown, {}, {("unet", "balanced", 0): truth}
        )
    )
    assert draw_sheet([row, row]).shape[0] > 2 * row.height


@pytest.mark.parametrize(
    ("bound", "passed"),
    [
        ({"at_least": 30.0}, True),
        ({"at_least": 30.01}, False),
        ({"at_least": "opencv"}, True),
        ({"at_least": "biharmonic"}, None),
        ({"at_least": "fast"}, None),
        ({"metric": "seconds", "at_most": 60}, True),
        ({"metric": "seconds", "at_most": 49}, False),
        ({"metric": "seconds", "at_most": 49, "device": "cuda"}, None),
        ({"metric": "full_raw_psnr_db", "at_least": 20}, False),
        ({"preset": "best", "at_least": 20}, None),
        ({"case": "landscape", "at_least": 20}, None),
    ],
)
def test_a_target_is_judged_only_for_its_own_run(bound, passed):
    assert verdict(made_up_report(), **bound) is passed


def test_one_preset_can_be_a_rival_of_another():
    better = made_up_run(preset="best", hole_psnr_db=31.0)
    report = made_up_report(made_up_run(), better)
    assert verdict(report, preset="best", at_least="balanced") is True
    assert verdict(report, at_least="best") is False


def test_a_rival_preset_must_be_exceeded_and_opencv_reached():
    report = made_up_report(made_up_run(), made_up_run(preset="best"))
    assert verdict(report, preset="best", at_least="balanced") is False
    assert verdict(made_up_report(made_up_run(hole_psnr_db=29.06)), at_least="opencv") is True


def test_the_table_counts_unmeasured_targets_and_asks_for_judgement_by_eye():
    report = made_up_report()
    report["targets"] = judge(
        report,
        [Target(case="face", network="unet", preset="balanced", metric="seconds", at_most=60)],
    )
    report["not_judged"] = 12
    text = table(report)
    assert "1 of 1 reached; 12 more are for runs that were not measured here" in text
    assert "by eye" not in text
    report["cases"]["vase"] = report["cases"].pop("face")
    assert "no ghost?" in table(report)


def test_several_seeds_give_the_median_and_the_spread():
    runs = [made_up_run(seed=n, hole_psnr_db=p) for n, p in enumerate((30.4, 29.0, 30.1))]
    report = made_up_report(*runs)
    summary = summarise(report["cases"]["face"])["unet", "balanced"]
    assert summary["hole_psnr_db"] == 30.1
    assert summary["typical_seed"] == 2
    assert summary["spread_db"] == pytest.approx(1.4)
    target = Target(
        case="face", network="unet", preset="balanced", metric="hole_psnr_db", at_least=30
    )
    report["targets"] = judge(report, [target])
    assert "(spread 1.40)" in table(report)
    assert max(map(len, table(report).splitlines()[1:])) <= 120
    assert verdict(report, at_least=30.0) is True
    row = next(line for line in table(report).splitlines() if "U-Net" in line)
    assert "30.10" in row
    assert "1.40" in row


def test_a_failed_run_reaches_no_target_and_shows_its_error():
    failed = {"network": "unet", "preset": "balanced", "seed": 0}
    report = made_up_report({**failed, "error": {"code": "x", "message": "Out of paint."}})
    report["targets"] = judge(
        report,
        [Target(case="face", network="unet", preset="balanced", metric="hole_psnr_db", at_least=1)],
    )
    text = table(report)
    assert "failed: Out of paint." in text
    assert "falls short" in text
    assert "Targets: 0 of 1 reached" in text


def test_a_case_with_a_failed_run_is_drawn(folder):
    case = Case(name="face", image=folder / "photo.png", mask=folder / "mask.png")
    truth, unknown = read_case(case)
    failed = {"network": "unet", "preset": "balanced", "seed": 0, "error": {"message": "No."}}
    measured = Measured(case, made_up_case(failed), truth, unknown, {}, {})
    assert draw_row(measured).width > 3 * PANEL_PX


def test_the_visibility_of_each_method_has_a_line():
    report = made_up_report()
    report["targets"], report["not_judged"] = [], 0
    one = {"cases": 7, "hole_psnr_db": 25.5, "detail": [0.98, 0.97, 0.92], "auc": 0.64}
    report["visibility"] = {"U-Net, balanced": one, "gmic": {**one, "auc": None}}
    lines = [line.split() for line in table(report).splitlines()]
    assert ["U-Net,", "balanced", "7", "25.50", "0.98/0.97/0.92", "0.640"] in lines
    assert ["gmic", "7", "25.50", "0.98/0.97/0.92", "–"] in lines
