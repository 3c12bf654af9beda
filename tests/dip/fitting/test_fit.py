"""One network fitted to one image."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from dip.config import NETWORKS, FitConfig, NetworkConfig
from dip.errors import FitFailed
from dip.filling.kriging import ROUGH, krige
from dip.filling.membrane import membrane
from dip.fitting import fit as fit_module
from dip.fitting.fit import Fit, begin_fit
from dip.fitting.loss import masked_loss
from dip.fitting.reconstruction import Reconstruction
from dip.fitting.validation import held_out
from dip.machine import device

Array = npt.NDArray[np.float32]
SHAPES = {
    "unet": NetworkConfig(channels=(8, 16, 16), skip_channels=(0, 0, 0)),
    "segnet": NetworkConfig(name="segnet", channels=(8, 16, 16), convolutions=(1, 1, 1)),
}


def config(network: str = "unet", iterations: int = 25, **changes: Any) -> FitConfig:
    return replace(FitConfig(network=SHAPES[network], iterations=iterations), **changes)


def begin(target: Array, known: npt.NDArray[np.bool_], wanted: FitConfig, seed: int = 0) -> Fit:
    return begin_fit(target, known, wanted, compute=device.choose("cpu"), seed=seed)


def objective_of(fit: Fit) -> Reconstruction:
    assert isinstance(fit.objective, Reconstruction)
    return fit.objective


def average_of(fit: Fit) -> Array:
    """A copy of the running average, (H, W, C)."""
    return objective_of(fit).average[0].permute(1, 2, 0).numpy().copy()


@pytest.fixture
def target(photo: npt.NDArray[np.uint8]) -> Array:
    return photo.astype(np.float32) / 255


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("code", ["coordinates", "noise", "both"])
def test_unknown_pixels_have_no_influence(
    target: Array, mask: npt.NDArray[np.bool_], network: str, code: str
) -> None:
    other = target.copy()
    other[mask] = np.random.default_rng(0).random(other[mask].shape)
    other[mask][0] = np.nan
    outputs = []
    for each in (target, other):
        fit = begin(each, ~mask, config(network, code=code))
        steps = list(fit)
        outputs.append((fit.output(), [step.loss for step in steps]))
    np.testing.assert_array_equal(outputs[0][0], outputs[1][0])
    assert outputs[0][1] == outputs[1][1]


@pytest.mark.parametrize("network", NETWORKS)
def test_a_seed_decides_everything(
    target: Array, mask: npt.NDArray[np.bool_], network: str
) -> None:
    outputs = []
    for seed in (1, 1, 2):
        fit = begin(target, ~mask, config(network, iterations=10, jitter_std=0.03), seed)
        before = torch.get_rng_state()
        list(fit)
        assert torch.equal(torch.get_rng_state(), before)
        outputs.append(fit.output())
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[0], outputs[2])


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("optimizer", ["muon", "adam"])
def test_the_loss_falls(
    target: Array, mask: npt.NDArray[np.bool_], network: str, optimizer: Any
) -> None:
    wanted = config(network, iterations=40, optimizer=optimizer, learning_rate=0.05)
    losses = [step.loss for step in begin(target, ~mask, wanted)]
    assert losses[0] is not None
    assert losses[-1] is not None
    assert losses[-1] < 0.4 * losses[0]


def test_the_output_is_there_at_any_moment(target: Array, mask: npt.NDArray[np.bool_]) -> None:
    fit = begin(target, ~mask, config())
    before = fit.output()
    assert before.shape == target.shape
    np.testing.assert_allclose(before[0, 0], target[~mask].mean(axis=0), atol=1e-4)
    for step in fit:
        assert 0 <= fit.output().min() <= fit.output().max() <= 1
        if step.index == 3:
            break
    assert not np.array_equal(fit.output(), before)


@pytest.mark.parametrize("residual_fill", ["membrane", "kriging"])
def test_held_out_pixels_have_no_influence(
    target: Array, mask: npt.NDArray[np.bool_], residual_fill: Any
) -> None:
    wanted = config(iterations=24, holdout_fraction=0.2, residual_fill=residual_fill)
    out = held_out(~mask, wanted.holdout_fraction, "thin", 0)
    assert out.any()
    other = target.copy()
    other[out] = 1 - other[out]
    runs = [list(begin(each, ~mask, wanted)) for each in (target, other)]
    length = min(map(len, runs))  # they may be stopped at different times
    assert length >= 10
    assert len({tuple(step.loss for step in run[:length]) for run in runs}) == 1
    assert len({tuple(step.validation_psnr_db for step in run[:length]) for run in runs}) == 2


def test_quality_is_that_of_the_kriged_result(target: Array, mask: npt.NDArray[np.bool_]) -> None:
    wanted = config(iterations=20, holdout_fraction=0.2, residual_fill="kriging")
    fit = begin(target, ~mask, wanted)
    steps = list(fit)
    out = held_out(~mask, wanted.holdout_fraction, "thin", 0)
    output = average_of(fit)
    result = output + krige(target - output, ~mask & ~out, window=ROUGH)
    psnr_db = -10 * np.log10(np.square(result - target)[out].mean())
    assert steps[-1].validation_psnr_db == pytest.approx(psnr_db, abs=0.01)


def test_a_fit_is_stopped_when_it_gets_worse(
    target: Array, mask: npt.NDArray[np.bool_], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = begin(target, ~mask, config(iterations=80, stop_early=True))
    # Logarithms of the squared error: 1 is 10 dB. An early loss, here after 30, may come back.
    logarithms = iter([-2.0, -3.0, -1.0, -2.9, -1.0])
    monkeypatch.setattr(fit.objective, "measure", lambda *_: torch.tensor(next(logarithms)))
    averages, notes = {}, []
    for step in fit:
        averages[step.index] = average_of(fit)
        notes.append(step.note)
    assert list(averages)[-1] == 50
    assert notes[-1] == (
        "stopped at iteration 50 of 80: held-out pixels were predicted better before"
    )
    # 40, nearly as good as 20, counts 10**(-0.1 * 8) as much.
    wanted = np.average([averages[20], averages[40]], axis=0, weights=[1, 10**-0.8])
    np.testing.assert_allclose(fit.output(), wanted, atol=1e-6)


def test_in_a_fit_that_does_not_stop_worse_outputs_have_no_weight(
    target: Array, mask: npt.NDArray[np.bool_], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = begin(target, ~mask, config(iterations=40))
    logarithms = iter([-2.0, -3.0, -1.0, -1.0])
    monkeypatch.setattr(fit.objective, "measure", lambda *_: torch.tensor(next(logarithms)))
    averages = [average_of(fit) for _ in fit]
    assert len(averages) == 40
    np.testing.assert_allclose(fit.output(), averages[19], atol=1e-6)


def test_until_the_network_is_better_the_output_is_a_membrane(
    target: Array, mask: npt.NDArray[np.bool_]
) -> None:
    wanted = config(iterations=60, code="noise", holdout_fraction=0.1, residual_fill="kriging")
    fit = begin(target, ~mask, wanted)
    out = held_out(~mask, wanted.holdout_fraction, "thin", 0)
    smooth = membrane(target, ~mask & ~out)
    np.testing.assert_allclose(fit.output(), smooth, atol=1e-6)
    next(iter(fit))
    np.testing.assert_allclose(fit.output(), smooth, atol=1e-6)
    objective_of(fit)._membrane_psnr_db = 0.0  # as if it were bad
    list(fit)
    assert not np.allclose(fit.output(), smooth, atol=0.01)


def test_the_membrane_part_is_mixed_into_the_output(
    target: Array, mask: npt.NDArray[np.bool_]
) -> None:
    wanted = config(iterations=20, code="noise", holdout_fraction=0.1, residual_fill="kriging")
    outputs = []
    for part in (0.0, 0.25, 1.0):
        fit = begin(target, ~mask, replace(wanted, membrane_part=part))
        objective_of(fit)._membrane_psnr_db = 0.0  # so that it is not all of it
        list(fit)
        outputs.append(fit.output())
    fitted, mixed, smooth = outputs
    out = held_out(~mask, wanted.holdout_fraction, "thin", 0)
    np.testing.assert_allclose(smooth, membrane(target, ~mask & ~out), atol=1e-6)
    assert np.abs(smooth - fitted).max() > 0.01
    np.testing.assert_allclose(mixed, 0.75 * fitted + 0.25 * smooth, atol=1e-5)


def test_validation_is_measured_at_pixels_out_of_the_loss(
    target: Array, mask: npt.NDArray[np.bool_]
) -> None:
    steps = list(begin(target, ~mask, config(iterations=60)))
    values = [step.validation_psnr_db for step in steps if step.validation_psnr_db is not None]
    assert len(values) >= 4
    assert values[-1] > values[0] > 0


def test_a_fit_that_diverges_goes_back_and_on_at_a_lower_rate(
    target: Array, mask: npt.NDArray[np.bool_], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(1000))

    def broken_once(*given: Any) -> torch.Tensor:
        loss = masked_loss(*given)
        return loss * float("nan") if next(calls) == 25 else loss

    monkeypatch.setattr(fit_module, "masked_loss", broken_once)
    fit = begin(target, ~mask, config(iterations=40))
    steps = list(fit)
    notes = [step.note for step in steps if step.note]
    assert len(steps) == 40
    assert len(notes) == 1
    assert "diverged at iteration 26" in notes[0]
    assert "0.5 times the rate" in notes[0]
    assert np.isfinite(fit.output()).all()
    assert steps[-1].loss is not None
    assert steps[0].loss is not None
    assert steps[-1].loss < steps[0].loss


def test_a_fit_that_always_diverges_fails_with_a_reason(
    target: Array, mask: npt.NDArray[np.bool_], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        fit_module, "masked_loss", lambda *given: masked_loss(*given) * float("nan")
    )
    with pytest.raises(FitFailed, match="diverged 7 times"):
        list(begin(target, ~mask, config(iterations=40)))


def test_an_absurd_rate_does_no_lasting_harm(target: Array, mask: npt.NDArray[np.bool_]) -> None:
    fit = begin(target, ~mask, config(iterations=40, optimizer="adam", learning_rate=10.0))
    with suppress(FitFailed):
        list(fit)
    assert np.isfinite(fit.output()).all()


def test_the_membrane_penalty_keeps_the_fill_near_the_membrane(target: Array) -> None:
    known = np.ones(target.shape[:2], dtype=bool)
    known[14:34, 20:44] = False
    smooth = membrane(target, known)
    distances = []
    for penalty in ((0.0, 0.0), (0.0, 100.0)):
        wanted = config(iterations=30, learning_rate=0.05, membrane_penalty=penalty)
        fit = begin(target, known, wanted)
        list(fit)
        distances.append(np.square(fit.output() - smooth)[~known].mean())
    assert distances[1] < 0.5 * distances[0]


def test_between_measurements_the_output_is_the_mean_of_the_measured_outputs(
    target: Array, mask: npt.NDArray[np.bool_]
) -> None:
    fit = begin(target, ~mask, config(iterations=60))
    outputs = [fit.output() for _ in zip(range(25), fit, strict=False)]
    validation = fit.objective.validation
    assert validation is not None
    assert not np.array_equal(outputs[8], outputs[7])  # nothing is measured yet
    np.testing.assert_array_equal(outputs[18], outputs[9])
    assert not np.array_equal(outputs[19], outputs[9])
    np.testing.assert_array_equal(outputs[24], outputs[19])
    # As if iteration 26 had ruined it.
    validation.update(0.0, [torch.ones_like(objective_of(fit).average)])
    np.testing.assert_allclose(fit.output(), outputs[19], atol=1e-6)
