"""`dip bench` as a whole: workers, figures, table, verdicts, sheet."""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from PIL import Image

from dip.bench.cases import read_case
from dip.bench.measure import Measured
from dip.bench.reference import METHODS
from dip.bench.report import PANEL_PX, table
from dip.commands import bench as command

pytestmark = pytest.mark.xdist_group("bench")  # they share a costly fixture


def options(*arguments):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([str(argument) for argument in arguments])


def pixels_of(path):
    with Image.open(path) as image:
        return np.array(image)


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
    status = command.run(options(*arguments, *outputs, "--targets", place / "targets.json"))
    return status, json.loads((place / "bench.json").read_text()), pixels_of(place / "sheet.png")


def test_a_run_below_a_target_is_not_a_failure(outcome):
    assert outcome[0] == 0


def test_each_run_has_all_its_figures(outcome):
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
        first_s = run["first_preview_seconds"]  # three iterations may have no useful preview
        assert first_s is None or run["first_step_seconds"] < first_s < run["seconds"]


def test_classical_methods_and_published_figures_are_in_the_report(outcome):
    case = outcome[1]["cases"]["ramp"]
    assert list(case["references"]) == list(METHODS)
    assert case["references"]["biharmonic"]["hole_psnr_db"] > 40
    assert case["published"]["hole_psnr_db"] == {"published_unet": 21.5, "telea": 20.0}
    assert case["unknown_px"] == 8 * 38


def test_versions_machine_and_settings_are_in_the_report(outcome):
    report = outcome[1]
    assert report["format"] == command.FORMAT
    assert report["versions"]["torch"]
    assert report["machine"]["cpu"]
    assert report["machine"]["cores"] >= 1
    assert report["settings"]["iterations"] == 3
    assert report["settings"]["seeds"] == [0]


def test_targets_are_judged_in_the_file_and_in_the_table(outcome):
    verdicts = {verdict["network"]: verdict for verdict in outcome[1]["targets"]}
    assert (verdicts["unet"]["passed"], verdicts["segnet"]["passed"]) == (False, True)
    lines = table(outcome[1]).splitlines()
    row = next(line for line in lines if line.strip().startswith("U-Net, fast"))
    assert row.endswith("falls short")
    row = next(line for line in lines if line.strip().startswith("SegNet, fast"))
    assert row.endswith("pass")
    assert any(line.startswith("Targets: 1 of 2") for line in lines)


def test_the_table_fits_a_terminal(outcome):
    lines = table(outcome[1]).splitlines()
    assert max(map(len, lines[1:])) <= 120
    assert "published U-Net" in "".join(lines)
    assert "the paper" in "".join(lines)


def test_the_sheet_has_a_column_for_each_method_and_a_detail_below(outcome):
    height, width, _ = outcome[2].shape
    assert width > 5 * PANEL_PX
    assert height > 2 * PANEL_PX


def test_stopping_keeps_the_measured_cases(folder, outcome, tmp_path, monkeypatch, capsys):
    def first_case_only(cases, *_):
        truth, unknown = read_case(cases[0])
        yield Measured(cases[0], outcome[1]["cases"]["ramp"], truth, unknown, {}, {})
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "measure", first_case_only)
    path = tmp_path / "bench.json"
    assert command.run(options("--cases", folder, "--json", path)) == 130
    assert list(json.loads(path.read_text())["cases"]) == ["ramp"]
    assert "ramp" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name",
    ["SIGTERM", pytest.param("SIGHUP", marks=pytest.mark.exhaustive), "SIGKILL", "Ctrl-C"],
)
def test_the_worker_ends_with_a_benchmark_that_is_killed(folder, name):
    command = [sys.executable, "-m", "dip", "bench", "--cases", folder, "--case", "ramp"]
    options = ["--preset", "fast", "--iterations", "100000", "--threads", "1"]
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.DEVNULL, start_new_session=True
    ) as bench:
        try:
            worker = find_worker(psutil.Process(bench.pid))
            if name == "Ctrl-C":  # a terminal sends it to the benchmark and its worker alike
                number = signal.SIGINT
                os.killpg(bench.pid, number)
            else:
                number = getattr(signal, name)
                bench.send_signal(number)
            worker.wait(60)
            expected = -number if name == "SIGKILL" else 128 + number
            assert bench.wait(60) == expected
        finally:
            bench.kill()


def find_worker(bench):
    """Wait until a benchmark has started its worker."""
    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        for child in bench.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if "dip.bench.worker" in child.cmdline():
                    return child
        time.sleep(0.05)
    raise AssertionError("the benchmark has started no worker")
