"""The process of one measured restoration."""

import subprocess
import sys
import time

import numpy as np
import pytest

from dip.bench import worker
from dip.bench.cases import write_damaged


@pytest.mark.usefixtures("regions_only")
def test_the_raw_output_covers_each_region(tmp_path):
    photo = np.tile(np.arange(64, dtype=np.uint8)[:, None], (1, 600))
    unknown = np.zeros(photo.shape, dtype=bool)
    unknown[8:56:3, 20:60] = unknown[8:56:3, 540:580] = True
    paths = write_damaged(photo, unknown, tmp_path)
    settings = {"preset": "fast", "iterations": 2, "threads": 1}
    report = worker.restore(*paths, tmp_path, settings)
    raw = np.load(tmp_path / worker.RECONSTRUCTION)
    assert (report["regions"], report["iterations"]) == (2, 4)
    assert raw.shape == (64, 600, 1)
    fitted = (raw[..., 0] != photo / np.float32(255)).any(axis=0)
    assert fitted[20:40].all()
    assert fitted[560:580].all()
    assert not fitted[250:350].any()


def test_previews_have_their_box_and_time(tmp_path):
    photo = np.tile(np.arange(64, dtype=np.uint8)[:, None], (1, 600))
    unknown = np.zeros(photo.shape, dtype=bool)
    unknown[30:34, 560:580] = True
    paths = write_damaged(photo, unknown, tmp_path)
    before = time.time()
    worker.restore(*paths, tmp_path, {"preset": "fast", "iterations": 2, "threads": 1})
    first, *_, last = worker.read_previews(tmp_path)  # before the first step, and after it
    assert before < first[0] < last[0] < time.time()
    np.testing.assert_array_equal(
        first[2][..., 0][~unknown[first[1]]], photo[first[1]][~unknown[first[1]]]
    )
    assert first[1][1].start > 400
    assert first[2].shape[:2] == photo[first[1]].shape


def test_the_peak_memory_excludes_the_parents():
    held = np.ones(300 * 2**20 // 8)
    program = "from dip.bench.worker import peak_memory_mb; print(peak_memory_mb())"
    child = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert held[-1] == 1
    assert 5 < float(child.stdout) < 150
