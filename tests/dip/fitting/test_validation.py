"""Held-out pixels, and the states that are kept by their accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import ndimage

from dip.fitting.validation import Validation, held_out, is_flat


@pytest.mark.parametrize("damage", ["thin", "hole", "scattered"])
def test_held_out_pixels_are_known_ones_near_the_damage(
    mask: npt.NDArray[np.bool_], damage: Any
) -> None:
    known = np.pad(~mask, 60, constant_values=True)
    out = held_out(known, 0.05, damage, seed=0)
    assert out.any()
    assert not (out & ~known).any()
    assert not out[:30].any()
    assert out.mean() < 0.05
    np.testing.assert_array_equal(out, held_out(known, 0.05, damage, seed=0))


def test_thin_damage_is_imitated_by_pieces_of_itself() -> None:
    known = np.ones((200, 300), dtype=bool)
    for row in range(20, 200, 25):
        known[row : row + 3, 20:280] = False  # scratches of 3 px
    out = held_out(known, 0.05, "thin", seed=1)
    near = known & (ndimage.distance_transform_edt(known) <= 24)
    assert np.count_nonzero(out) == pytest.approx(0.05 * np.count_nonzero(near), rel=0.3)
    assert not (out & ~known).any()
    assert ndimage.distance_transform_edt(out).max() <= 3  # as thin as they are
    longest = max(
        max(where[0].stop - where[0].start, where[1].stop - where[1].start)
        for where in ndimage.find_objects(ndimage.label(out)[0])
    )
    assert longest >= 8  # pieces, not blocks
    np.testing.assert_array_equal(out, held_out(known, 0.05, "thin", seed=1))
    assert not np.array_equal(out, held_out(known, 0.05, "thin", seed=2))


def test_with_few_held_out_pixels_the_loss_must_be_larger() -> None:
    target = torch.zeros(1, 1, 100, 100)
    many, few = torch.ones(100, 100, dtype=torch.bool), torch.zeros(100, 100, dtype=torch.bool)
    few[:10, :10] = True
    for where, is_worse in ((many, True), (few, False)):
        validation = Validation(target, where)
        validation.update(-3.0, [target])
        validation.update(-2.94, [target])  # 0.6 dB less
        assert validation.is_worse is is_worse


def test_too_few_pixels_to_hold_out_are_left_alone() -> None:
    known = np.zeros((16, 16), dtype=bool)
    known[:5, :5] = True
    assert not held_out(known, 0.03, "thin", seed=0).any()


def test_the_best_state_is_kept_when_the_fit_gets_worse() -> None:
    target = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    validation = Validation(target, torch.ones(8, 8, dtype=torch.bool), averages=False)
    good, bad = target + 0.01, target + 0.2
    assert validation.update(float(validation.measure(good)), [good]) == pytest.approx(40, abs=0.1)
    assert not validation.is_worse
    validation.update(float(validation.measure(bad)), [bad])
    assert validation.is_worse
    assert validation.kept == [good]


@pytest.mark.parametrize("logarithms", [(-3.0, -3.1, -2.9), (-2.9, -3.1, -3.0), (-10.0, -9.0, 0.0)])
def test_states_are_weighted_by_their_accuracy(logarithms: tuple[float, ...]) -> None:
    validation = Validation(torch.zeros(1, 1, 8, 8), torch.ones(8, 8, dtype=torch.bool))
    states = [torch.full((2,), float(number)) for number in range(3)]
    for logarithm, state in zip(logarithms, states, strict=True):
        validation.update(logarithm, [state.clone()])
    weights = np.array([10.0**each for each in logarithms]) ** -8
    wanted = np.average([0, 1, 2], weights=weights)
    assert validation.kept is not None
    np.testing.assert_allclose(validation.kept[0], wanted, rtol=1e-5, atol=1e-6)


def flat_picture(noise_levels: float) -> npt.NDArray[np.float32]:
    noise = np.random.default_rng(0).normal(0, noise_levels / 255, (90, 120, 3))
    return (np.array([0.9, 0.5, 0.1]) + noise).astype(np.float32)


def is_flat_beside_a_scratch(picture: npt.NDArray[np.float32]) -> bool:
    known = np.ones(picture.shape[:2], dtype=bool)
    known[40:44, 10:60] = False
    where = held_out(known, 0.1, "thin", seed=0)
    return is_flat(np.where(known[:, :, None], picture, np.float32(0)), known, where)


def test_a_picture_that_varies_less_than_a_level_is_flat() -> None:
    assert is_flat_beside_a_scratch(flat_picture(0))
    assert is_flat_beside_a_scratch(flat_picture(0.7))
    assert not is_flat_beside_a_scratch(flat_picture(1.5))


def test_a_gradient_or_an_edge_near_the_damage_is_not_flat() -> None:
    ramp, edge = flat_picture(0), flat_picture(0)
    ramp += (np.arange(120) / 255)[None, :, None].astype(np.float32)  # a level for each pixel
    edge[52:] = 0.2
    assert not is_flat_beside_a_scratch(ramp)
    assert not is_flat_beside_a_scratch(edge)


def test_two_flat_areas_far_from_each_other_are_flat_each() -> None:
    picture = flat_picture(0)
    known = np.ones((90, 120), dtype=bool)
    known[20:24, 10:20], known[60:64, 100:110] = False, False
    picture[:, 60:] = 0.2
    where = np.zeros_like(known)
    where[16:30, 8:22], where[58:68, 98:112] = True, True
    where &= known
    assert np.var(picture[where]) > 0.01
    assert is_flat(np.where(known[:, :, None], picture, np.float32(0)), known, where)
