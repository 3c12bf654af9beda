"""`dip demo`: its damage and its output."""

import argparse
import re
import sys

import numpy as np
import pytest
from PIL import Image

from dip.commands import demo


@pytest.fixture(scope="module")
def truth():
    return demo.astronaut()


@pytest.fixture(scope="module")
def damage(truth):
    return demo.draw_damage(truth)


def test_the_mask_covers_all_damage(truth, damage):
    changed = (damage.photo != truth).any(axis=-1)
    assert changed.any()
    assert not (changed & ~damage.unknown).any()
    assert set(np.unique(damage.mask)) == {0, 255}


def test_the_damage_is_visible_but_leaves_most_of_the_photo(damage):
    assert 0.02 < damage.share < 0.12


def test_the_same_seed_draws_the_same_damage_and_another_does_not(truth, damage):
    small = truth[:200, :200]
    first, again = demo.draw_damage(small, seed=1), demo.draw_damage(small, seed=1)
    assert np.array_equal(first.photo, again.photo)
    assert np.array_equal(first.unknown, again.unknown)
    assert not np.array_equal(first.unknown, demo.draw_damage(small, seed=2).unknown)


def test_scratches_have_soft_edges(truth, damage):
    part = (damage.photo != truth).any(axis=-1)
    full = np.abs(damage.photo.astype(int) - truth).max(axis=-1)
    assert len(np.unique(full[part])) > 50


def test_the_demo_writes_four_pictures_and_prints_the_quality(truth, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "astronaut", lambda: truth[40:200, 130:290].copy())
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    folder = tmp_path / "new" / "demo"
    words = ["-o", str(folder), "--preset", "fast", "--iterations", "3", "--threads", "1"]
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert demo.run(parser.parse_args([*words, "--quiet"])) == 0

    pictures = {}
    for name in demo.NAMES:
        with Image.open(folder / name) as image:
            pictures[name] = np.array(image)
    known = pictures["mask.png"] == 0
    assert np.array_equal(pictures["restored.png"][known], pictures["damaged.png"][known])
    assert pictures["before_after.png"].shape[1] > 1400
    said = capsys.readouterr()
    assert str(folder / "restored.png") in said.out
    assert "dB" in said.out
    assert re.search(r"without texture: [0-9.]+ dB \(others: .*biharmonic", said.out)
    assert said.err.count("OpenCV is not installed") == 1
    assert "it/s" not in said.err
