"""A network learns to correct a kriged fill from hidden known pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from dip.config import NETWORKS, FitConfig, NetworkConfig
from dip.filling.kriging import krige_image
from dip.fitting.correction import FOLDS, Correction
from dip.fitting.fit import Fit, begin_fit
from dip.machine import device

Array = npt.NDArray[np.float32]
SHAPES = {
    name: NetworkConfig(
        name=name, channels=(8, 16), skip_channels=(8, 8), convolutions=(1, 1), correction=True
    )
    for name in NETWORKS
}


@pytest.fixture
def known() -> npt.NDArray[np.bool_]:
    return np.random.default_rng(1).random((64, 80)) < 0.5


@pytest.fixture
def target() -> Array:
    """Hard edges, which kriging blurs: (64, 80, 1)."""
    y, x = np.mgrid[:64, :80]
    return ((x // 8 + y // 8) % 2)[:, :, None].astype(np.float32)


def begin(target: Array, known: Any, network: str = "unet", **changes: Any) -> Fit:
    given: dict[str, Any] = {
        "iterations": 6,
        "code": "fill",
        "learning_rate": 0.03,
        "loss": "mse",
        "averaging": 0.0,
        "holdout_fraction": 0.0,
        **changes,
    }
    config = FitConfig(network=SHAPES[network], **given)
    return begin_fit(target, known, config, compute=device.choose("cpu"), damage="scattered")


def objective_of(fit: Fit) -> Correction:
    assert isinstance(fit.objective, Correction)
    return fit.objective


@pytest.mark.parametrize("network", NETWORKS)
def test_before_the_first_step_it_is_the_kriged_fill(
    network: str, target: Array, known: npt.NDArray[np.bool_]
) -> None:
    output = begin(target, known, network).output()
    np.testing.assert_allclose(output, krige_image(target, known), atol=1e-6)


@pytest.mark.parametrize("network", NETWORKS)
def test_it_learns_the_error_of_the_fill(
    network: str, target: Array, known: npt.NDArray[np.bool_]
) -> None:
    fit = begin(target, known, network, iterations=80)
    before = np.square(fit.output() - target)[~known].mean()
    list(fit)
    assert np.square(fit.output() - target)[~known].mean() < 0.7 * before


def test_unknown_pixels_have_no_influence(target: Array, known: npt.NDArray[np.bool_]) -> None:
    other = target.copy()
    other[~known] = np.nan
    outputs = []
    for each in (target, other):
        fit = begin(each, known)
        list(fit)
        outputs.append(fit.output())
    np.testing.assert_array_equal(*outputs)


def test_a_seed_decides_everything_and_the_global_generator_is_left_alone(
    target: Array, known: npt.NDArray[np.bool_]
) -> None:
    before = torch.get_rng_state()
    outputs = []
    for _ in range(2):
        fit = begin(target, known)
        list(fit)
        outputs.append(fit.output())
    np.testing.assert_array_equal(*outputs)
    assert torch.equal(torch.get_rng_state(), before)


def test_hidden_pixels_are_known_ones_that_the_code_does_not_hold(
    target: Array, known: npt.NDArray[np.bool_]
) -> None:
    correction = objective_of(begin(target, known))
    seen = np.zeros(known.shape, dtype=int)
    for number in range(3):
        code, hidden = correction._fold(number)
        where = hidden[0, 0].bool().numpy()
        assert not (where & ~known).any()
        assert (code[0, -1].numpy()[where] == -0.5).all()
        seen += where
    assert seen.max() == 1  # the folds do not overlap


def folds_shown(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the folds that a fit uses, one for each step."""
    shown: list[int] = []
    correction = objective_of(fit)
    make = correction._fold

    def fold(number: int) -> Any:
        shown.append(number)
        return make(number)

    monkeypatch.setattr(correction, "_fold", fold)
    return shown


def test_a_short_fit_asks_for_few_folds(
    target: Array, known: npt.NDArray[np.bool_], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = begin(target, known, iterations=10)
    shown = folds_shown(fit, monkeypatch)
    assert len(list(fit)) == len(shown) == 10
    assert set(shown) == {1, 2, 3}


def test_quality_is_measured_on_pixels_that_are_never_shown(
    target: Array, known: npt.NDArray[np.bool_], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = begin(target, known, iterations=100)
    shown = folds_shown(fit, monkeypatch)
    values = [step.validation_psnr_db for step in fit if step.validation_psnr_db is not None]
    assert set(shown) == set(range(1, FOLDS))
    assert values[-1] > values[0] > 0


@pytest.mark.parametrize("network", NETWORKS)
def test_a_correction_that_gets_worse_keeps_its_best_parameters(
    network: str, target: Array, known: npt.NDArray[np.bool_]
) -> None:
    fit = begin(target, known, network, iterations=60)
    outputs = [fit.output() for _ in zip(range(15), fit, strict=False)]
    assert fit.objective.validation is not None
    fit.objective.validation.update(0.0, [])  # as if iteration 16 had ruined it
    best = fit.output()
    # Made from all known pixels, and in [0, 1]; not the output that was measured.
    np.testing.assert_array_equal(best, outputs[9])
    assert 0 <= best.min() <= best.max() <= 1
    assert not np.array_equal(best, outputs[14])
