"""`dip compare`: both networks side by side."""

import argparse

import numpy as np
import pytest
from PIL import Image

from dip.commands import compare as figure
from dip.errors import MaskSizeMismatch


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
        assert image.height > 800


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
