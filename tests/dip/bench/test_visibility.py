"""How visible fills are: detail beside the truth's, and a classifier."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from dip.bench.visibility import Visibility, auc, detail, look


def grainy(seed):
    grain = gaussian_filter(np.random.default_rng(seed).normal(0, 20, (120, 140, 3)), (0.7, 0.7, 0))
    return np.clip(np.rint(128 + grain), 0, 255).astype(np.uint8)


@pytest.fixture
def unknown():
    rows, columns = np.mgrid[:120, :140]
    return (abs(rows - columns) < 4) | (abs(columns - 100) < 3)


def filled(truth, unknown, with_grain, seed=1000):
    other = grainy(seed) if with_grain else np.full_like(truth, 128)
    return np.where(unknown[:, :, None], other, truth)


def test_a_smooth_fill_has_no_detail_and_another_grain_as_much_as_the_truth(unknown):
    truth = grainy(0)
    assert detail(truth, truth, unknown) == pytest.approx([1, 1, 1])
    assert detail(filled(truth, unknown, True), truth, unknown) == pytest.approx([1, 1, 1], abs=0.2)
    assert detail(filled(truth, unknown, False), truth, unknown).max() < 0.6


def test_gray_pictures_are_measured_as_well(unknown):
    truth = grainy(0)[:, :, 0]
    assert detail(truth // 2, truth, unknown) == pytest.approx([0.5, 0.5, 0.5], abs=0.02)


def test_a_classifier_tells_smooth_fills_and_no_others(unknown):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    truths = [grainy(seed) for seed in range(6)]
    visibility = Visibility()
    for seed, truth in enumerate(truths, start=100):
        visibility.add("grain", filled(truth, unknown, True, seed), truth, unknown)
        visibility.add("smooth", filled(truth, unknown, False), truth, unknown)
    summary = visibility.summary()
    assert summary["smooth"]["auc"] > 0.95
    assert summary["grain"]["auc"] < summary["smooth"]["auc"] - 0.15
    assert summary["smooth"]["cases"] == 6
    assert summary["smooth"]["hole_psnr_db"] > summary["grain"]["hole_psnr_db"] + 2


def test_fewer_than_six_cases_give_no_verdict(unknown):
    assert auc([look(grainy(0), unknown)] * 5) is None
