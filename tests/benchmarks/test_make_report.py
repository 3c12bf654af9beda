"""The report: measurements are kept, and the README has the same figures."""

import json
import subprocess

import make_report
import pytest
import report_text
import visibility_report
from made_up_cases import made_up_case
from make_report import HERE, README, Plan, condense, gather, plans
from report_text import BEGIN, END, put_into, readme_table

FIGURES = HERE / "figures.json"


def made_up_run(network="unet", preset="balanced", seed=0, psnr_db=30.04):
    return {
        "network": network,
        "preset": preset,
        "seed": seed,
        "device": "cpu",
        "threads": 2,
        "hole_psnr_db": psnr_db,
        "full_psnr_db": 40.0,
        "smooth_psnr_db": 31.0,
        "full_raw_psnr_db": 35.0,
        "ssim_around": 0.9,
        "texture_distance": 0.5,
        "first_preview_seconds": 2.5,
        "seconds": 41.6,
        "fit_seconds": 35.0,
        "seconds_per_iteration": 0.2,
        "iterations": 225,
        "peak_memory_mb": 900.0,
    }


def made_up_figures(**changed):
    runs = [made_up_run(), made_up_run(seed=1, psnr_db=30.10), made_up_run(seed=2, psnr_db=31.0)]
    face = condense(made_up_case(*runs))
    vase = condense(made_up_case({**made_up_run(), "hole_psnr_db": None}, truth=False))
    verdict = {
        "case": "face_text",
        "network": "unet",
        "preset": "balanced",
        "metric": "hole_psnr_db",
        "at_least": 36.0,
        "at_most": None,
        "bound": 36.0,
        "reached": 30.1,
        "spread": 0.96,
        "passed": False,
    }
    return {
        "made_at": "2030-01-02T03:04:05+0000",
        "versions": {"dip": "1.2", "torch": "2.13"},
        "machine": {"cpu": "an abacus", "cores": 2},
        "options": [],
        "seeds": [0, 1, 2],
        "sets": {"research": {"face_text": face, "vase": vase}, "own": {"grass_text": face}},
        "targets": [verdict],
        "not_judged": 5,
        "growth": {"series": {}},
        **changed,
    }


# --- The README ---------------------------------------------------------------------------------


def test_the_table_of_the_readme_holds_the_figures_of_the_file():
    lines = readme_table(made_up_figures()).splitlines()
    assert lines[-1] == "| writing over a face | 30.1 (smooth 31.0), in 42 s | – | 29.1 | – |"
    assert "2 cores of an abacus" in lines[0]
    assert not any("vase" in line for line in lines)


def test_without_further_cases_the_readme_has_the_projects_own():
    figures = made_up_figures()
    del figures["sets"]["research"]
    assert "| grass, text | 30.1 (smooth 31.0), in 42 s |" in readme_table(figures)


def test_only_the_text_between_the_marks_is_replaced():
    before = f"# Title\n\n{BEGIN}\nold\n{END}\n\nmore\n"
    once = put_into(before, made_up_figures())
    assert once.startswith(f"# Title\n\n{BEGIN}\n")
    assert once.endswith(f"\n{END}\n\nmore\n")
    assert "old" not in once
    assert put_into(once, made_up_figures()) == once


@pytest.mark.parametrize("readme", ["nothing", f"{END} {BEGIN}", BEGIN])
def test_a_readme_without_marks_is_refused(readme):
    with pytest.raises(ValueError, match="figures: begin"):
        put_into(readme, made_up_figures())


@pytest.mark.skipif(not FIGURES.exists(), reason="the report has not been made yet")
def test_the_readme_and_the_report_have_the_measured_figures():
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    readme = README.read_text(encoding="utf-8")
    assert put_into(readme, figures) == readme
    written = (HERE / "REPORT.md").read_text(encoding="utf-8")
    assert report_text.report(figures, make_report.PICTURES) == written
    assert not figures["options"], "these are the figures of a trial run"


def test_the_readme_has_its_marks():
    assert put_into(README.read_text(encoding="utf-8"), made_up_figures())


# --- The report ---------------------------------------------------------------------------------


def test_the_report_names_each_target_with_its_mark():
    text = report_text.report(made_up_figures(), make_report.PICTURES)
    assert "| **falls short** | face_text | U-Net, balanced | hole PSNR | 30.10 | 0.96 |" in text
    assert "0 of 1 reached; 5 were not measured." in text
    assert "| by eye | vase |" in text
    assert "Not the real thing" not in text


def test_the_report_marks_figures_of_a_trial_run():
    figures = made_up_figures(options=["--iterations", "3"])
    assert "**Not the real thing**: measured with `--iterations 3`" in report_text.report(
        figures, make_report.PICTURES
    )


def test_a_failed_run_is_in_the_report():
    failed = {"network": "unet", "preset": "best", "seed": 0, "error": {"message": "No paint."}}
    figures = made_up_figures(sets={"own": {"grass_text": condense(made_up_case(failed))}})
    text = report_text.report(figures, make_report.PICTURES)
    assert "| grass_text | U-Net, best | failed or skipped |" in text


# --- Measuring ----------------------------------------------------------------------------------


def test_a_measurement_is_not_repeated(tmp_path, monkeypatch):
    calls = []

    def bench(command, **_):
        calls.append(command)
        path = command[command.index("--json") + 1]
        name = command[command.index("--case") + 1]
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"cases": {name: made_up_case(made_up_run())}}, file)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", bench)
    first, *_, other = plans([0, 1])
    for _ in range(2):
        make_report.measure(tmp_path, ["a", "b"], first, tmp_path / "own", [])
    assert len(calls) == 2
    make_report.measure(tmp_path, ["a"], other, tmp_path / "own", [])
    make_report.measure(tmp_path, ["a"], first, tmp_path / "own", ["--iterations", "3"])
    assert len(calls) == 4


def test_all_but_the_slowest_runs_are_measured_with_each_seed():
    every = plans([3, 5])
    assert len({plan.file("face") for plan in every}) == len(every) == 5
    seeds = {"fast": [3, 5], "balanced": [3, 5], "best": [3]}
    for preset, wanted in seeds.items():
        assert [plan.seed for plan in every if plan.preset == preset] == wanted
    assert [plan.seed for plan in every if plan.network == "both"] == [3]


def test_a_stopped_bench_stops_the_report(tmp_path, monkeypatch):
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 130)
    )
    plan = Plan(preset="fast", network="unet", seed=0)
    with pytest.raises(SystemExit) as stopped:
        make_report.measure(tmp_path, ["a"], plan, tmp_path, [])
    assert stopped.value.code == 130


def test_the_runs_of_all_presets_are_combined(tmp_path):
    wanted = [Plan(preset=preset, network="unet", seed=0) for preset in ("balanced", "best")]
    for plan in wanted:
        case = made_up_case(made_up_run(preset=plan.preset))
        (tmp_path / plan.file("face")).write_text(json.dumps({"cases": {"face": case}}))
    later = Plan(preset="balanced", network="unet", seed=1)  # not measured yet
    cases = gather(tmp_path, ["face", "vase"], [*wanted, later])
    assert list(cases) == ["face"]
    assert list(condense(cases["face"])["runs"]) == ["unet balanced", "unet best"]


# --- Fidelity and visibility --------------------------------------------------------------------


def test_each_method_has_a_line_and_a_point():
    methods = {
        "truth": {"cases": 7, "hole_psnr_db": 99.0, "detail": [1, 1, 1], "auc": 0.61},
        "dip": {"cases": 7, "hole_psnr_db": 25.5, "detail": [0.98, 0.97, 0.92], "auc": 0.64},
        "OpenCV Telea": {"cases": 7, "hole_psnr_db": 25.3, "detail": [0.4, 0.4, 0.7], "auc": 0.99},
    }
    figures = made_up_figures(visibility={"preset": "fast", "methods": methods})
    text = report_text.report(figures, make_report.PICTURES)
    assert "| dip | 7 | 25.50 | 0.98 / 0.97 / 0.92 | 0.640 |" in text
    assert "| truth | 7 | – | 1.00 / 1.00 / 1.00 | 0.610 |" in text
    colours = visibility_report.draw(figures["visibility"]).getcolors(1 << 16)
    drawn = {colour for _, colour in colours}
    assert {visibility_report.OWN_COLOUR, visibility_report.COLOUR} <= drawn
