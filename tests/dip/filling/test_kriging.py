"""Residuals extrapolated by kriging, with the statistics of the residual itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from dip.filling.kriging import FINE, ROUGH, krige, krige_image
from dip.filling.membrane import membrane

Array = npt.NDArray[np.float32]
SHAPE = (96, 150)


@pytest.fixture
def known() -> npt.NDArray[np.bool_]:
    """Writing, as thin strokes: (96, 150) bool."""
    known = np.ones(SHAPE, dtype=bool)
    known[40:46, 10:140] = False
    known[20:70, 60:66] = False
    return known


def smooth_field(seed: int, channels: int = 3) -> Array:
    noise = np.random.default_rng(seed).normal(size=(*SHAPE, channels))
    field = ndimage.gaussian_filter(noise, (4, 4, 0))
    return np.asarray(field / field.std() * 0.05, dtype=np.float32)


def left_over(residual: Array, known: npt.NDArray[np.bool_]) -> float:
    """Fraction of the unknown residual's power that kriging leaves."""
    error = (krige(residual, known) - residual)[~known]
    return float(np.square(error).mean() / np.square(residual[~known]).mean())


def test_a_smooth_residual_continues(known: npt.NDArray[np.bool_]) -> None:
    assert left_over(smooth_field(0), known) < 0.1


def test_noise_adds_almost_nothing(known: npt.NDArray[np.bool_]) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, (*SHAPE, 3)).astype(np.float32)
    added = krige(noise, known)[~known]
    assert np.square(added).mean() < 0.05 * np.square(noise).mean()


def test_stripes_continue_as_stripes(known: npt.NDArray[np.bool_]) -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    stripes = (0.05 * np.sin((x + y) / 1.5))[:, :, None].astype(np.float32)
    assert left_over(stripes, known) < 0.3


def test_a_rough_solution_is_nearly_as_good(known: npt.NDArray[np.bool_]) -> None:
    residual = smooth_field(0)
    fine, rough = (
        np.square((krige(residual, known, **how) - residual)[~known]).mean()
        for how in ({}, {"window": ROUGH})
    )
    assert rough < 1.2 * fine


def test_known_pixels_come_back_as_they_were(known: npt.NDArray[np.bool_]) -> None:
    residual = smooth_field(1)
    np.testing.assert_array_equal(krige(residual, known)[known], residual[known])


def test_windows_without_needed_pixels_are_skipped(known: npt.NDArray[np.bool_]) -> None:
    residual, needed = smooth_field(1), np.zeros_like(known)
    needed[42, 20] = True
    some, complete = krige(residual, known, needed=needed), krige(residual, known)
    np.testing.assert_array_equal(some[:64, :64], complete[:64, :64])
    assert not some[:, 64:][~known[:, 64:]].any()
    assert complete[:, 64:][~known[:, 64:]].any()


def test_overlapping_windows_leave_no_step_between_them() -> None:
    """Stripes end at the middle: windows on one side continue them, on the other side not."""
    rows, columns = np.mgrid[:96, :128]
    noise = np.random.default_rng(4).normal(0, 0.3, rows.shape)
    residual = np.where(columns < 64, np.sin(rows), noise).astype(np.float32)[:, :, None]
    known = np.ones(rows.shape, dtype=bool)
    known[40:56, 20:108] = False
    apart, faded = (
        krige(residual, known, window=replace(FINE, margin_px=24, overlap_px=overlap_px))
        for overlap_px in (0, 16)
    )
    step, smaller = (np.abs(each[40:56, 64] - each[40:56, 63]).max() for each in (apart, faded))
    assert smaller < step / 2
    np.testing.assert_array_equal(faded[known], residual[known])


def test_unknown_samples_are_ignored(known: npt.NDArray[np.bool_]) -> None:
    one = smooth_field(2)
    other = one.copy()
    other[~known] = np.nan
    np.testing.assert_array_equal(krige(one, known), krige(other, known))


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_any_number_of_channels(channels: int, known: npt.NDArray[np.bool_]) -> None:
    assert krige(smooth_field(3, channels), known).shape == (*SHAPE, channels)


def test_a_zero_residual_and_an_unknown_image_add_nothing(known: npt.NDArray[np.bool_]) -> None:
    zero = np.zeros((*SHAPE, 3), dtype=np.float32)
    np.testing.assert_array_equal(krige(zero, known), zero)
    np.testing.assert_array_equal(krige(smooth_field(4), np.zeros(SHAPE, dtype=bool)), zero)


def test_a_window_of_few_known_pixels_is_stable() -> None:
    known = np.zeros((20, 20), dtype=bool)
    known[:, :4] = True
    residual = np.full((20, 20, 3), 0.1, dtype=np.float32)
    assert np.abs(krige(residual, known)).max() < 0.2


def test_kriging_fills_half_of_an_image_better_than_a_membrane() -> None:
    y, x = np.mgrid[:96, :96]
    image = np.stack([0.5 + 0.3 * np.sin(x / 2 + y / 5), 0.5 + 0.3 * np.cos(y / 3)], -1)
    image = image.astype(np.float32)
    known = np.random.default_rng(0).random((96, 96)) < 0.5
    errors = [
        np.square(fill(image, known) - image)[~known].mean() for fill in (krige_image, membrane)
    ]
    assert errors[0] < 0.1 * errors[1]
    np.testing.assert_array_equal(krige_image(image, known)[known], image[known])


@pytest.mark.parametrize("width", [160, 12], ids=["all along the edge", "a corner"])
def test_the_margin_of_a_print_is_continued_beyond_it(width: int) -> None:
    """The border of the print, far from the damage, draws no waves into the margin."""
    generator = np.random.default_rng(0)
    image = np.full((120, 160, 3), 0.92, dtype=np.float32)
    image[20:-20, 25:-25] = 0.45, 0.35, 0.3
    image += generator.normal(0, 0.008, image.shape).astype(np.float32)
    known = np.ones(image.shape[:2], dtype=bool)
    known[:10, :width] = False
    difference = krige_image(image, known)[~known] - 0.92
    assert np.sqrt(np.square(difference).mean()) < 0.01  # the grain is 0.008
    assert np.abs(difference).max() < 0.05
