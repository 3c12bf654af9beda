"""`dip compare`: both networks side by side."""

import argparse

import numpy as np
import pytest
from PIL import Image

from dip.commands import compare as figure
from dip.config import Settings
from dip.errors import MaskSizeMismatch
from dip.image_io import read_mask, read_photo
from dip.panels import DAMAGE
from dip.step import Step


@pytest.fixture
def photo(tmp_path):
    rows, columns = np.mgrid[:64, :72]
    pixels = np.stack([4 * rows, 3 * columns, 255 - 4 * rows], axis=-1).astype(np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def mask(tmp_path):
    pixels = np.zeros((64, 72), dtype=np.uint8)
    pixels[30:35, 12:60] = 255
    path = tmp_path / "mask.png"
    Image.fromarray(pixels).save(path)
    return path


def compare(*arguments):
    parser = argparse.ArgumentParser()
    figure.add_arguments(parser)
    words = ["--preset", "fast", "--iterations", 3, "--threads", 1, "--quiet", *arguments]
    return figure.run(parser.parse_args([str(word) for word in words]))


def test_both_networks_are_drawn_and_compared_with_the_truth(photo, mask, tmp_path, capsys):
    drawn = tmp_path / "figure.png"
    assert compare(photo, "--mask", mask, "--truth", photo, "-o", drawn) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == str(drawn)
    assert said[1].startswith("U-Net: hole PSNR")
    assert said[2].startswith("SegNet: hole PSNR")
    with Image.open(drawn) as image:
        assert image.width > 1600
        assert image.height > 1500  # a row of pictures for each network, and curves


def test_without_a_truth_the_figures_are_of_held_out_pixels(photo, mask, tmp_path, capsys):
    assert compare(photo, "--mask", mask, "-o", tmp_path / "figure.png") == 0
    said = capsys.readouterr().out
    assert "hole PSNR" not in said
    assert "3 iterations" in said


def test_a_truth_of_another_size_is_refused_before_any_fit(photo, mask, tmp_path):
    other = tmp_path / "other.png"
    Image.new("RGB", (64, 64)).save(other)
    drawn = tmp_path / "figure.png"
    with pytest.raises(MaskSizeMismatch, match="64"):
        compare(photo, "--mask", mask, "--truth", other, "-o", drawn)
    assert not drawn.exists()


PLAIN = {
    "original": (250, 250, 0),
    "input": (0, 250, 250),
    "output": (0, 250, 0),
    "restored": (0, 0, 250),
}


def plain(name):
    return np.full((64, 72, 3), PLAIN[name], dtype=np.uint8)


def made_up_attempt(network, **more):
    floats = {name: (plain(name) / 255).astype(np.float32) for name in ("input", "output")}
    given = {"input_title": "random input", "seconds": 1.0, "iterations": 3, **floats, **more}
    return figure.Attempt(
        network=network,
        result=plain("restored"),
        loss=[[(1.0, 0.5), (2.0, 0.1)]],
        validation_psnr_db=[],
        **given,
    )


@pytest.mark.parametrize("with_truth", [True, False])
def test_each_row_has_the_four_pictures_of_the_method_and_the_restored_one(with_truth):
    unknown = np.zeros((64, 72), dtype=bool)
    unknown[30:35, 12:60] = True
    truth = plain("original") if with_truth else None
    attempts = [made_up_attempt("unet"), made_up_attempt("segnet")]
    drawn = figure.draw(np.zeros((64, 72, 3), np.uint8), unknown, attempts, truth)
    lefts = []
    for name, colour in {"damaged": DAMAGE, **PLAIN}.items():
        rows, columns = np.nonzero((drawn == colour).all(axis=-1))
        if name == "original" and not with_truth:
            assert len(rows) == 0
            continue
        gaps = np.count_nonzero(np.diff(np.unique(rows)) > 60)
        # Two rows; the damage is apart in each picture and in the enlarged detail below it.
        assert gaps == (3 if name == "damaged" else 1)
        lefts.append((columns.min(), name))
    order = ["original", "damaged", "input", "output", "restored"]
    assert [name for _, name in sorted(lefts)] == order[not with_truth :]


def test_each_fit_has_a_curve_of_its_own():
    steps = [
        Step(
            iteration=iteration, iterations=8, region=region, regions=2, run=run, loss=loss,
            validation_psnr_db=None, note=None, fraction=iteration / 8,
        )
        for iteration, region, run, loss in [
            (1, 0, 0, 0.5), (2, 0, 1, 0.9), (3, 0, 0, 0.4), (4, 0, 1, 0.8),
            (5, 1, 0, 0.6), (6, 1, 0, None), (7, 1, 0, 0.3),
        ]
    ]  # fmt: skip
    recorded = figure.RecordedCurves()
    for step in steps:
        recorded.add(step, step.loss)
    assert recorded.curves == [
        [(1, 0.5), (3, 0.4)],
        [(2, 0.9), (4, 0.8)],
        [(5, 0.6), (7, 0.3)],
    ]


def test_the_curves_of_an_ensemble_fall_without_a_zigzag(photo, mask):
    hole = read_mask(mask)
    hole[12:50, 12:60] = 255
    settings = Settings(preset="fast", iterations=6, threads=2)
    done = figure.attempt(read_photo(photo).pixels, hole, settings, quiet=True)
    assert done.input_title == "input: coordinates"
    assert len(done.loss) >= 2
    for curve in done.loss:
        assert len(curve) == 6
        assert [x for x, _ in curve] == sorted(x for x, _ in curve)
