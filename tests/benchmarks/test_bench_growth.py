"""Growth of cost: points, resuming, findings, plots."""

import json

import bench_growth
import growth_photos
import numpy as np
import pytest
from bench_growth import SIZES, Point, Series, series
from growth_photos import scratches
from growth_report import draw_all, findings, table
from PIL import Image

from dip.presets import max_pixels
from dip.regions.region import plan_regions


def made_up_point(**figures):
    return {
        "megapixels": 1.0,
        "damaged_kpx": 1.5,
        "bits": 8,
        "regions": 1,
        "fitted": 1,
        "seconds": 12.0,
        "seconds_but_files": 10.0,
        "planning_s": 0.5,
        "cpu_s": 18.0,
        "peak_memory_mb": 800.0,
        **figures,
    }


def made_up_report(name, *points):
    known = series(quick=False)[name]
    each = {"title": known.title, "x": known.x, "promise": known.promise, "points": list(points)}
    return {"series": {name: each}}


# --- Photos and damage --------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "size"), [(1, SIZES[1]), (5, SIZES[6]), (50, SIZES[24])])
def test_each_scratch_is_a_separate_region(count, size):
    """A single one in halves, which two cores share."""
    regions = plan_regions(scratches(size, count=count), max_pixels=max_pixels("balanced"))
    assert len(regions) == (2 if count == 1 else count)


def test_the_one_scratch_has_the_same_surroundings_in_every_photo():
    small, large = (
        growth_photos.photo(size, "png")[:448, :640] for size in ((640, 448), (900, 700))
    )
    # The noise differs: it is drawn row by row.
    assert np.abs(small.astype(int) - large).mean() < 6
    masks = [scratches(size, count=1) for size in ((640, 448), (900, 700))]
    assert np.array_equal(masks[0], masks[1][:448, :640])
    assert masks[0].sum() == masks[1].sum()


def test_16_bit_photos_use_all_bits():
    pixels = growth_photos.photo((64, 48), "tif")
    assert pixels.dtype == np.uint16
    assert len(np.unique(pixels % 257)) > 100


def test_only_the_named_figure_grows():
    for name, each in series(quick=False).items():
        if name != "image":
            assert len({point.size for point in each.points}) == 1
    sizes = [point.size for point in series(quick=False)["image"].points]
    assert [round(width * height / 1e6) for width, height in sizes] == [1, 6, 24, 101]


# --- Measuring ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_point_is_measured_once_and_kept(tmp_path, monkeypatch):
    point = Point(size=(320, 256), damage=lambda size: scratches(size, count=1))
    wanted = {
        "image": Series(title="One", x="megapixels", x_label="MP", points=[point], promise="flat")
    }
    path = tmp_path / "growth.json"
    options = ["--preset", "fast", "--iterations", "1", "--threads", "1"]
    now = bench_growth.circumstances(options, quick=True)
    bench_growth.run(path, wanted, bench_growth.begin(path, now), options)
    (figures,) = json.loads(path.read_text())["series"]["image"]["points"]
    assert figures["regions"] > 5  # the scratch is cut into patches
    assert 0 < figures["fitted"] <= figures["regions"]
    assert figures["iterations"] == 1
    parts = figures["reading_s"] + figures["planning_s"] + figures["writing_s"]
    assert 0 < parts < figures["seconds"]
    assert figures["seconds_but_files"] < figures["seconds"]
    assert 100 < figures["peak_memory_mb"] < 4000
    assert figures["cpu_s"] > 0.5

    def never(*_):
        raise AssertionError("it was measured again")

    monkeypatch.setattr(bench_growth, "measure", never)
    bench_growth.run(path, wanted, bench_growth.begin(path, now), options)


def test_other_settings_start_again(tmp_path, capsys):
    path = tmp_path / "growth.json"
    now = bench_growth.circumstances(["--preset", "fast"], quick=True)
    report = {**bench_growth.begin(path, now), "series": {"image": {"points": [1]}}}
    path.write_text(json.dumps(report))
    assert bench_growth.begin(path, now)["series"]
    other = bench_growth.circumstances(["--preset", "best"], quick=True)
    assert bench_growth.begin(path, other)["series"] == {}
    assert "measuring starts again" in capsys.readouterr().err


# --- Judgement ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "last", "time", "memory"),
    [
        ("image", {"megapixels": 100.0, "seconds_but_files": 12.0}, True, True),
        ("image", {"megapixels": 100.0, "seconds_but_files": 13.0}, False, True),
        ("image", {"megapixels": 100.0, "peak_memory_mb": 1100.0}, True, False),
        ("writing", {"damaged_kpx": 15.0, "seconds_but_files": 100.0}, True, True),
        ("writing", {"damaged_kpx": 15.0, "seconds_but_files": 120.0}, False, True),
        ("hole", {"damaged_kpx": 15.0, "peak_memory_mb": 9000.0}, True, False),
        ("regions", {"regions": 10, "seconds_but_files": 100.0}, True, True),
        ("regions", {"regions": 10, "peak_memory_mb": 2000.0}, True, False),
    ],
)
def test_time_and_memory_are_judged_by_the_first_point_and_the_last(name, last, time, memory):
    report = made_up_report(name, made_up_point(), made_up_point(**last))
    found = list(findings(report))
    assert [finding["passed"] for finding in found] == [time, memory]
    assert all(finding["says"].startswith(report["series"][name]["title"]) for finding in found)


@pytest.mark.parametrize(("peak_mb", "passed"), [(3990.0, True), (4010.0, False)])
def test_the_largest_photos_must_stay_below_the_limit_of_memory(peak_mb, passed):
    report = made_up_report("limit", made_up_point(), made_up_point(peak_memory_mb=peak_mb))
    (finding,) = findings(report)
    assert finding["passed"] is passed


def test_one_point_gives_no_finding():
    assert not list(findings(made_up_report("image", made_up_point())))


def test_each_point_has_a_row_and_each_series_a_plot(tmp_path):
    report = made_up_report("image", made_up_point(), made_up_point(megapixels=6.0))
    assert len(table(report).splitlines()) == 2 + 2
    (path,) = draw_all(report, series(quick=False), tmp_path)
    with Image.open(path) as plot:
        assert plot.width > 700
