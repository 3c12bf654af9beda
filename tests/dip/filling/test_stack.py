"""Patches are filled at once, each as if it were alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from dip.filling.membrane import membrane
from dip.filling.stack import fill_stack, krige_stack

Array = npt.NDArray[np.float32]
SIDE = 40


@pytest.fixture(scope="module")
def patches() -> tuple[Array, npt.NDArray[np.bool_]]:
    """Smooth random pictures, with a disc of another size missing in each."""
    random = np.random.default_rng(0)
    noise = random.standard_normal((12, SIDE, SIDE, 3)).astype(np.float32)
    pictures = 0.5 + ndimage.gaussian_filter(noise, (0, 3, 3, 0))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    distance = np.hypot(rows - SIDE // 2, columns - SIDE // 2)
    known = np.stack([distance > radius for radius in np.linspace(1.5, 6, 12)])
    return pictures.astype(np.float32), known


def test_a_fill_is_nearer_to_the_truth_than_a_membrane(patches: tuple[Array, Array]) -> None:
    pictures, known = patches
    filled = fill_stack(pictures, known, ~known)
    error = np.square(filled - pictures)[~known].mean()
    smooth = np.square(membrane(pictures, known) - pictures)[~known].mean()
    assert error < 0.6 * smooth
    np.testing.assert_array_equal(filled[known], pictures[known])


def test_a_patch_does_not_depend_on_the_others(patches: tuple[Array, Array]) -> None:
    pictures, known = patches
    together = fill_stack(pictures, known, ~known)
    for number in (0, 7, 11):
        one = slice(number, number + 1)
        alone = fill_stack(pictures[one], known[one], ~known[one])
        np.testing.assert_allclose(alone[0], together[number], atol=1e-5)


def test_the_values_at_unknown_pixels_are_ignored(patches: tuple[Array, Array]) -> None:
    pictures, known = patches
    damaged = np.where(known[..., None], pictures, np.float32(np.nan))
    np.testing.assert_array_equal(
        fill_stack(damaged, known, ~known)[~known], fill_stack(pictures, known, ~known)[~known]
    )


def test_only_needed_pixels_are_kriged(patches: tuple[Array, Array]) -> None:
    pictures, known = patches
    needed = ~known
    needed[:, :, SIDE // 2 :] = False
    kriged = krige_stack(pictures - 0.5, known, needed)
    assert kriged[needed].any()
    assert not kriged[~needed].any()


def test_white_noise_and_zero_add_next_to_nothing() -> None:
    noise = np.random.default_rng(1).standard_normal((4, SIDE, SIDE, 1)).astype(np.float32)
    known = np.ones((4, SIDE, SIDE), dtype=bool)
    known[:, 17:22, 17:22] = False
    assert np.abs(krige_stack(noise, known, ~known)[~known]).mean() < 0.4
    assert not krige_stack(np.zeros_like(noise), known, ~known).any()
