"""`dip bench`: cases, children, figures, table, verdicts, sheet."""

import argparse
import json
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from dip import bench, bench_report, bench_worker, reference
from dip.bench import Case, Measured, read_cases
from dip.config import Settings
from dip.errors import InputError, SettingError
from dip.targets import Target


def options(*arguments):
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return parser.parse_args([str(argument) for argument in arguments])


def pixels_of(path):
    with Image.open(path) as image:
        return np.array(image)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two cases of 64 x 64 px, one of them without a right answer."""
    folder = tmp_path_factory.mktemp("cases")
    rows, columns = np.mgrid[:64, :64]
    photo = np.stack([4 * rows, 4 * columns, 255 - 4 * rows], axis=-1).astype(np.uint8)
    mask = np.zeros((64, 64), dtype=np.uint8)
    mask[28:36, 12:50] = 255
    Image.fromarray(photo).save(folder / "photo.png")
    Image.fromarray(mask).save(folder / "mask.png")
    case = {"image": "photo.png", "mask": "mask.png"}
    cases = {
        "ramp": {
            **case,
            "kind": "text",
            "hole_psnr_db": {"published_unet": 21.5, "telea": 20.0},
            "full_psnr_db": {"dip_paper": 33.25},
        },
        "object": {**case, "truth": False, "kind": "object"},
    }
    (folder / "cases.json").write_text(json.dumps({"about": "made up", "cases": cases}))
    return folder


# --- Cases --------------------------------------------------------------------------------------


def test_cases_are_read_in_order_with_their_published_figures(folder):
    first, second = read_cases(folder)
    assert (first.name, first.truth, first.kind) == ("ramp", True, "text")
    assert first.hole_psnr_db["published_unet"] == 21.5
    assert (second.name, second.truth) == ("object", False)
    assert [case.name for case in read_cases(folder, ["object"])] == ["object"]


def test_an_unknown_case_is_named_with_those_that_exist(folder):
    with pytest.raises(SettingError, match=r"nobody.*ramp, object"):
        read_cases(folder, ["nobody"])


@pytest.mark.parametrize(
    "text", [None, "{", "[]", '{"cases": {"a": {}}}', '{"cases": {"a": {"image": 1}}}']
)
def test_a_folder_without_a_list_of_cases_is_refused(tmp_path, text):
    if text is not None:
        (tmp_path / "cases.json").write_text(text)
    with pytest.raises(InputError, match=r"cases\.json"):
        read_cases(tmp_path)


def test_what_lies_under_the_mask_never_reaches_a_fit(folder, tmp_path):
    truth, unknown = bench.read_case(read_cases(folder)[0])
    photo, mask = bench.write_damaged(truth, unknown, tmp_path)
    written = pixels_of(photo)
    assert not written[unknown].any()
    assert np.array_equal(written[~unknown], truth[~unknown])
    assert np.array_equal(pixels_of(mask) == 255, unknown)


# --- A whole run --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def outcome(folder, tmp_path_factory):
    """One real run: two networks, one case, few iterations."""
    place = tmp_path_factory.mktemp("outcome")
    targets = [
        {"case": "ramp", "network": "unet", "preset": "fast", "metric": "hole_psnr_db"},
        {"case": "ramp", "network": "segnet", "preset": "fast", "metric": "seconds"},
    ]
    targets[0]["at_least"], targets[1]["at_most"] = 90, 500
    (place / "targets.json").write_text(json.dumps(targets))
    arguments = ["--cases", folder, "--case", "ramp", "--network", "both", "--preset", "fast"]
    arguments += ["--iterations", 3, "--threads", 1]
    outputs = ["--json", place / "bench.json", "--sheet", place / "sheet.png"]
    status = bench.run(options(*arguments, *outputs, "--targets", place / "targets.json"))
    return status, json.loads((place / "bench.json").read_text()), pixels_of(place / "sheet.png")


def test_a_run_that_falls_short_of_a_target_is_not_a_failure(outcome):
    assert outcome[0] == 0


def test_every_run_has_all_its_figures(outcome):
    runs = outcome[1]["cases"]["ramp"]["runs"]
    assert [run["network"] for run in runs] == ["unet", "segnet"]
    for run in runs:
        assert (run["preset"], run["seed"], run["iterations"]) == ("fast", 0, 3)
        assert 5 < run["hole_psnr_db"] < run["full_psnr_db"] < 99
        assert 0 < run["full_raw_psnr_db"] < run["full_psnr_db"]
        assert -1 < run["ssim_around"] < 1
        assert run["texture_distance"] > 0
        assert run["seconds"] > run["fit_seconds"] >= 3 * run["seconds_per_iteration"] * 0.99
        assert run["peak_memory_mb"] > 50
        first_s = run["first_preview_seconds"]  # three iterations may show nothing of use
        assert first_s is None or run["first_step_seconds"] < first_s < run["seconds"]


def test_the_classical_methods_and_the_published_figures_stand_beside(outcome):
    case = outcome[1]["cases"]["ramp"]
    assert list(case["references"]) == list(reference.METHODS)
    assert case["references"]["biharmonic"]["hole_psnr_db"] > 40
    assert case["published"]["hole_psnr_db"] == {"published_unet": 21.5, "telea": 20.0}
    assert case["unknown_px"] == 8 * 38


def test_the_circumstances_are_written_down(outcome):
    report = outcome[1]
    assert report["format"] == bench.FORMAT
    assert report["versions"]["torch"]
    assert report["machine"]["cpu"]
    assert report["machine"]["cores"] >= 1
    assert report["settings"]["iterations"] == 3
    assert report["settings"]["seeds"] == [0]


def test_targets_are_judged_in_the_file_and_in_the_table(outcome):
    verdicts = {verdict["network"]: verdict for verdict in outcome[1]["targets"]}
    assert (verdicts["unet"]["passed"], verdicts["segnet"]["passed"]) == (False, True)
    lines = bench_report.table(outcome[1]).splitlines()
    row = next(line for line in lines if line.strip().startswith("U-Net, fast"))
    assert row.endswith("falls short")
    row = next(line for line in lines if line.strip().startswith("SegNet, fast"))
    assert row.endswith("pass")
    assert any(line.startswith("Targets: 1 of 2") for line in lines)


def test_the_table_fits_a_terminal(outcome):
    lines = bench_report.table(outcome[1]).splitlines()
    assert max(map(len, lines[1:])) <= 120
    assert "published U-Net" in "".join(lines)
    assert "the paper" in "".join(lines)


def test_the_sheet_has_a_column_for_each_method_and_a_detail_below(outcome):
    height, width, _ = outcome[2].shape
    assert width > 5 * bench_report.PANEL_PX
    assert height > 2 * bench_report.PANEL_PX


def test_a_case_without_truth_has_no_figures_of_quality_and_says_so(folder):
    case = read_cases(folder)[1]
    truth, unknown = bench.read_case(case)
    measured = Measured(case, {}, truth, unknown, {}, {})
    figures = bench.score(measured, truth, truth / np.float32(255))
    assert set(figures.values()) == {None}
    report = made_up_report({**made_up_run(), **figures})
    report["cases"]["face"]["truth"] = False
    assert "not the right answer: look at the sheet" in bench_report.table(report)


def test_every_case_has_a_row_of_the_sheet(folder):
    case = read_cases(folder)[1]
    truth, unknown = bench.read_case(case)
    row = bench_report.draw_row(
        Measured(case, made_up_case(), truth, unknown, {}, {("unet", "balanced", 0): truth})
    )
    assert bench_report.draw_sheet([row, row]).shape[0] > 2 * row.height


# --- Children -----------------------------------------------------------------------------------


def test_the_raw_output_covers_every_region(tmp_path):
    photo = np.tile(np.arange(64, dtype=np.uint8)[:, None], (1, 600))
    unknown = np.zeros(photo.shape, dtype=bool)
    unknown[30:34, 20:40] = unknown[30:34, 560:580] = True
    paths = bench.write_damaged(photo, unknown, tmp_path)
    settings = {"preset": "fast", "iterations": 2, "threads": 1}
    report = bench_worker.restore(*paths, tmp_path, settings)
    raw = np.load(tmp_path / bench_worker.RECONSTRUCTION)
    assert (report["regions"], report["iterations"]) == (2, 4)
    assert raw.shape == (64, 600, 1)
    fitted = (raw[..., 0] != photo / np.float32(255)).any(axis=0)
    assert fitted[20:40].all()
    assert fitted[560:580].all()
    assert not fitted[250:350].any()


@pytest.fixture
def measured(folder):
    case = read_cases(folder)[0]
    truth, unknown = bench.read_case(case)
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
    run = bench.measure_run(measured, Settings(), tmp_path / "photo.png", tmp_path / "mask.png")
    assert message in run["error"]["message"]
    assert message in bench.in_short(run)


def test_ctrl_c_in_a_child_stops_the_parent(measured, tmp_path, monkeypatch):
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 130, "")
    )
    with pytest.raises(KeyboardInterrupt):
        bench.measure_run(measured, Settings(), tmp_path / "photo.png", tmp_path / "mask.png")


def test_the_parents_memory_is_not_counted_as_the_childs():
    held = np.ones(300 * 2**20 // 8)
    program = "from dip.bench_worker import peak_memory_mb; print(peak_memory_mb())"
    child = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert held[-1] == 1
    assert 5 < float(child.stdout) < 150


def test_stopping_keeps_what_was_measured(folder, tmp_path, monkeypatch, capsys):
    def first_case_only(cases, wanted):
        truth, unknown = bench.read_case(cases[0])
        yield Measured(cases[0], made_up_case(), truth, unknown, {}, {})
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "measure", first_case_only)
    path = tmp_path / "bench.json"
    assert bench.run(options("--cases", folder, "--json", path)) == 130
    assert list(json.loads(path.read_text())["cases"]) == ["ramp"]
    assert "ramp" in capsys.readouterr().out


def test_a_method_that_is_missing_is_said_and_skipped(measured, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cv2", None)
    bench.measure_references(measured)
    assert "OpenCV" in measured.figures["references"]["telea"]["skipped"]
    assert measured.figures["references"]["biharmonic"]["hole_psnr_db"] > 40
    assert "[bench]" in capsys.readouterr().err


# --- Verdicts -----------------------------------------------------------------------------------


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


def made_up_case(*runs):
    return {
        "kind": "text",
        "truth": True,
        "height": 480,
        "width": 720,
        "unknown_px": 16000,
        "published": {"hole_psnr_db": {}, "full_psnr_db": {}},
        "references": {
            "telea": {"hole_psnr_db": 28.0, "seconds": 0.1},
            "ns": {"hole_psnr_db": 29.0, "seconds": 0.1},
            "biharmonic": {"skipped": "Too large."},
        },
        "runs": list(runs) or [made_up_run()],
    }


def made_up_report(*runs):
    report = bench.begin_report([Settings(), Settings(seed=1)])
    report["cases"]["face"] = made_up_case(*runs)
    return report


def verdict(report, **bound):
    speaks_of = {"case": "face", "network": "unet", "preset": "balanced", "metric": "hole_psnr_db"}
    target = Target(**{**speaks_of, **bound})
    verdicts = bench_report.judge(report, [target])
    return verdicts[0]["passed"] if verdicts else None


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
def test_a_bound_is_judged_where_it_was_measured_and_nowhere_else(bound, passed):
    assert verdict(made_up_report(), **bound) is passed


def test_one_preset_can_be_a_rival_of_another():
    better = made_up_run(preset="best", hole_psnr_db=31.0)
    report = made_up_report(made_up_run(), better)
    assert verdict(report, preset="best", at_least="balanced") is True
    assert verdict(report, at_least="best") is False


def test_a_rival_preset_must_be_surpassed_and_opencv_only_reached():
    report = made_up_report(made_up_run(), made_up_run(preset="best"))
    assert verdict(report, preset="best", at_least="balanced") is False
    assert verdict(made_up_report(made_up_run(hole_psnr_db=29.0)), at_least="opencv") is True


def test_what_was_not_measured_is_counted_and_what_only_eyes_can_judge_is_asked():
    report = made_up_report()
    report["targets"] = bench_report.judge(
        report,
        [Target(case="face", network="unet", preset="balanced", metric="seconds", at_most=60)],
    )
    report["not_judged"] = 12
    text = bench_report.table(report)
    assert "1 of 1 reached; 12 more speak of what was not measured here" in text
    assert "by eye" not in text
    report["cases"]["vase"] = report["cases"].pop("face")
    assert "no ghost?" in bench_report.table(report)


def test_a_preview_is_of_use_once_it_is_nearer_than_one_flat_colour(measured):
    truth, unknown = measured.truth, measured.unknown
    everywhere = slice(0, 64), slice(0, 64)
    black, good = np.zeros_like(truth), truth.copy()
    good[unknown] //= 2
    good[unknown] += truth[unknown] // 3
    previews = [(101.0, everywhere, black), (102.5, everywhere, good), (104.0, everywhere, truth)]
    assert bench.first_useful_s(measured, previews, 100.0) == 2.5
    assert bench.first_useful_s(measured, previews[:1], 100.0) is None


def test_previews_come_back_with_their_place_and_time(tmp_path):
    photo = np.tile(np.arange(64, dtype=np.uint8)[:, None], (1, 600))
    unknown = np.zeros(photo.shape, dtype=bool)
    unknown[30:34, 560:580] = True
    paths = bench.write_damaged(photo, unknown, tmp_path)
    before = time.time()
    bench_worker.restore(*paths, tmp_path, {"preset": "fast", "iterations": 2, "threads": 1})
    first, second = bench_worker.read_previews(tmp_path)
    assert before < first[0] <= second[0] < time.time()
    assert np.abs(photo[first[1]] - first[2][..., 0].astype(int))[~unknown[first[1]]].mean() > 0
    assert first[1][1].start > 400
    assert first[2].shape[:2] == photo[first[1]].shape


def test_of_several_seeds_the_median_counts_and_the_spread_is_shown():
    runs = [made_up_run(seed=n, hole_psnr_db=p) for n, p in enumerate((30.4, 29.0, 30.1))]
    report = made_up_report(*runs)
    summary = bench_report.summarise(report["cases"]["face"])["unet", "balanced"]
    assert summary["hole_psnr_db"] == 30.1
    assert summary["typical_seed"] == 2
    assert summary["spread_db"] == pytest.approx(1.4)
    target = Target(
        case="face", network="unet", preset="balanced", metric="hole_psnr_db", at_least=30
    )
    report["targets"] = bench_report.judge(report, [target])
    assert "(spread 1.40)" in bench_report.table(report)
    assert max(map(len, bench_report.table(report).splitlines()[1:])) <= 120
    assert verdict(report, at_least=30.0) is True
    row = next(line for line in bench_report.table(report).splitlines() if "U-Net" in line)
    assert "30.10" in row
    assert "1.40" in row


def test_a_run_that_failed_reaches_no_target_and_shows_why():
    failed = {"network": "unet", "preset": "balanced", "seed": 0}
    report = made_up_report({**failed, "error": {"code": "x", "message": "Out of paint."}})
    report["targets"] = bench_report.judge(
        report,
        [Target(case="face", network="unet", preset="balanced", metric="hole_psnr_db", at_least=1)],
    )
    text = bench_report.table(report)
    assert "failed: Out of paint." in text
    assert "falls short" in text
    assert "Targets: 0 of 1 reached" in text


def test_a_case_is_drawn_even_where_a_run_failed(folder):
    case = Case(name="face", image=folder / "photo.png", mask=folder / "mask.png")
    truth, unknown = bench.read_case(case)
    failed = {"network": "unet", "preset": "balanced", "seed": 0, "error": {"message": "No."}}
    measured = Measured(case, made_up_case(failed), truth, unknown, {}, {})
    assert bench_report.draw_row(measured).width > 3 * bench_report.PANEL_PX
