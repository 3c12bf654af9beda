"""The classical methods that restorations are compared with."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest

from dip.bench import reference
from dip.bench.metrics import psnr_db
from dip.bench.reference import METHODS, ReferenceUnavailable, biharmonic, run_all, telea

needs_opencv = pytest.mark.skipif(not find_spec("cv2"), reason="OpenCV is not installed")


@pytest.fixture
def smooth():
    rows, columns = np.mgrid[:48, :64]
    red = 128 + 80 * np.sin(rows / 15) * np.cos(columns / 20)
    return np.stack([red, 255 - red, red / 2], axis=-1).astype(np.uint8)


@pytest.fixture
def scratch():
    unknown = np.zeros((48, 64), dtype=bool)
    unknown[20:24, 8:56] = True
    return unknown


@needs_opencv
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("channels", [None, 3], ids=["gray", "colour"])
def test_a_scratch_in_a_smooth_picture_is_filled_well(smooth, scratch, method, channels):
    truth = smooth if channels else smooth[..., 0]
    damaged = truth.copy()
    damaged[scratch] = 255
    filled = method(damaged, scratch)
    assert filled.shape == truth.shape
    assert filled.dtype == np.uint8
    assert np.array_equal(filled[~scratch], truth[~scratch])
    assert psnr_db(filled, truth, scratch) > 30


@needs_opencv
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_unknown_pixels_are_ignored(smooth, scratch, method):
    white, black = smooth.copy(), smooth.copy()
    white[scratch], black[scratch] = 255, 0
    assert np.array_equal(method(white, scratch), method(black, scratch))


def test_biharmonic_continues_a_gradient_best(scratch):
    truth = np.tile(np.arange(48, dtype=np.uint8)[:, None] * 4, (1, 64))
    assert psnr_db(biharmonic(truth, scratch), truth, scratch) > 45


def test_a_missing_opencv_names_the_extra(smooth, scratch, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ReferenceUnavailable, match=r"\[bench\]"):
        telea(smooth, scratch)


def test_a_hole_too_large_for_biharmonic_is_skipped_with_its_size(smooth, scratch, monkeypatch):
    monkeypatch.setattr(reference, "LARGEST_BIHARMONIC_HOLE_PX", 100)
    with pytest.raises(ReferenceUnavailable, match="192 px"):
        biharmonic(smooth, scratch)


def test_many_small_holes_do_not_count_as_a_large_one(smooth, monkeypatch):
    monkeypatch.setattr(reference, "LARGEST_BIHARMONIC_HOLE_PX", 100)
    dots = np.zeros((48, 64), dtype=bool)
    dots[2:-2:3, 2:-2:3] = True
    assert dots.sum() > 100
    assert psnr_db(biharmonic(smooth, dots), smooth, dots) > 35


def test_an_unavailable_method_does_not_stop_the_others(smooth, scratch, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    results = dict(run_all(smooth, scratch))
    assert list(results) == ["telea", "ns", "biharmonic"]
    assert isinstance(results["telea"], ReferenceUnavailable)
    assert results["biharmonic"].shape == smooth.shape
