"""Steps that are recorded once and replayed, and metrics that arrive later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dip.config import NETWORKS, FitConfig, NetworkConfig
from dip.fitting import cuda_graphs as graphs
from dip.fitting import fit as fit_module
from dip.fitting.correction import Correction
from dip.fitting.cuda_graphs import AsyncMetrics, CudaGraphStep
from dip.fitting.ensemble import Ensemble
from dip.fitting.fit import Fit, begin_fit
from dip.fitting.loss import masked_loss
from dip.machine import device

CPU = torch.device("cpu")
KINDS = ("thin", "hole", "scattered", "paper")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


def a_config(network: str, kind: str, iterations: int = 30) -> FitConfig:
    shape = NetworkConfig(
        name=network, channels=(8, 16, 16), skip_channels=(4, 0, 0), convolutions=(1, 1, 1)
    )
    if kind == "scattered":
        return FitConfig(
            network=replace(shape, correction=True), iterations=iterations, code="fill",
            learning_rate=0.03, loss="mse", averaging=0.0, holdout_fraction=0.0,
        )  # fmt: skip
    if kind == "paper":
        return FitConfig(
            network=replace(shape, padding="reflect", upsampling="nearest", kernel_down=5),
            iterations=iterations, optimizer="adam", learning_rate=0.01, decay=False, loss="mse",
            code="noise", jitter_std=0.03, averaging=0.0, holdout_fraction=0.0,
        )  # fmt: skip
    if kind == "hole":
        return FitConfig(network=shape, iterations=iterations, membrane_penalty=(3.0, 0.3))
    shape = replace(shape, reduce_first=True, shuffle_channels=4)
    return FitConfig(network=shape, iterations=iterations, code="noise")


@pytest.fixture
def begin(photo: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> Callable[..., Fit]:
    target = photo.astype(np.float32) / 255

    def begin(
        network: str, kind: str, name: str = "cpu", iterations: int = 30, *, exact: bool = False
    ) -> Fit:
        known = ~mask
        if kind == "scattered":
            known = np.random.default_rng(1).random(mask.shape) < 0.5
        config = a_config(network, kind, iterations)
        compute = device.choose(name)
        if exact:
            compute = replace(compute, low_precision=False)
        return begin_fit(target, known, config, compute=compute)

    return begin


class Graph:
    """Stands in for a CUDA graph: records by remembering, replays by calling."""

    def __init__(self) -> None:
        self.replays = 0

    def record(self, step: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        output = torch.zeros(())

        def replay() -> None:
            self.replays += 1
            output.copy_(step())

        return replay, output


def fail(step: Callable[[], Tensor]) -> Any:
    raise RuntimeError("operation not permitted when stream is capturing\nand more")


@pytest.fixture
def as_on_cuda(monkeypatch: pytest.MonkeyPatch) -> Graph:
    """Let fits on the CPU record their steps, and get metrics two steps later."""
    graph = Graph()
    monkeypatch.setattr(graphs, "record_cuda_graph", graph.record)
    monkeypatch.setattr(device.Compute, "records_steps", True)
    monkeypatch.setattr(device.Compute, "lag", 2)
    return graph


# --- A step -------------------------------------------------------------------------------------


class NothingWaits(TorchDispatchMode):
    """Fails on operations that wait for a GPU or copy from the host."""

    WAITING = (
        "_local_scalar_dense", "item", "is_nonzero", "nonzero", "masked_select", "equal",
        "_unique2", "lift_fresh",
    )  # fmt: skip

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, options = func.overloadpacket.__name__, kwargs or {}
        waits = name in self.WAITING
        if name.startswith("index"):
            waits = any(each is not None and each.dtype == torch.bool for each in args[1])
        if name == "_to_copy":  # another sample type is fine, another device is not
            waits = options.get("device", args[0].device) not in (args[0].device, None)
        assert not waits, f"aten::{name} waits"
        return func(*args, **options)


def test_an_operation_that_waits_is_noticed() -> None:
    x = torch.ones(3)
    waits = (
        lambda: x.sum().item(),
        lambda: x[x > 0],
        lambda: x if x.sum() else -x,
        lambda: torch.tensor(1.0),
        lambda: x.to("meta"),
    )
    for wait in waits:
        with pytest.raises(AssertionError, match="waits"), NothingWaits():
            wait()


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_in_a_step_waits_for_the_device(
    begin: Callable[..., Fit], network: str, kind: str
) -> None:
    fit = begin(network, kind)
    penalty, newest, scalars = fit._scalars(1)
    tensors = tuple(tuple(map(torch.tensor, each)) for each in scalars)
    arguments = *fit.objective.sample(), torch.tensor(penalty), torch.tensor(newest), tensors
    before = [each.detach().clone() for each in fit._changing()]
    with NothingWaits():
        fit._step(*arguments)
        fit._measure_if_due(10)
    assert not all(torch.equal(*pair) for pair in zip(before, fit._changing(), strict=True))
    places = [each.data_ptr() for each in fit._changing()]
    fit._step(*arguments)
    assert [each.data_ptr() for each in fit._changing()] == places


# --- Recording and replaying --------------------------------------------------------------------


def test_a_recorded_step_reads_new_values_from_its_buffers() -> None:
    graph, seen, total = Graph(), [], torch.zeros(())

    def step(image: Tensor, number: Tensor, pair: tuple[Tensor, ...]) -> Tensor:
        seen.append(tuple(each.data_ptr() for each in (image, number, *pair)))
        return total.add_(image.sum() * number + sum(pair))

    run = CudaGraphStep(step, CPU, pytest.fail, graph.record)
    expected = 0.0
    for index in range(6):
        image = torch.full((2, 2), float(index))
        expected += 4 * index * (index + 0.5) + index + 7
        assert float(run(image, index + 0.5, (index, 7.0))) == pytest.approx(expected)
        image.fill_(1000.0)  # a copy was taken
    assert graph.replays == 4
    assert len(set(seen)) == 1


def test_a_failed_recording_is_noted_once_and_the_steps_go_on() -> None:
    notes: list[str] = []
    run = CudaGraphStep(lambda image, factor: image.sum() * factor, CPU, notes.append, fail)
    values = [float(run(torch.full((2,), float(index)), 0.5)) for index in range(6)]
    assert values == [0, 1, 2, 3, 4, 5]
    assert notes == [
        "the steps could not be recorded as a CUDA graph (operation not permitted when stream is "
        "capturing); they are launched one by one, which is slower"
    ]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_replayed_fit_is_the_fit(
    begin: Callable[..., Fit], as_on_cuda: Graph, monkeypatch: pytest.MonkeyPatch,
    network: str, kind: str,
) -> None:  # fmt: skip
    fits = [begin(network, kind, exact=True) for _ in range(2)]
    steps = [list(fits[0])]
    assert as_on_cuda.replays == 28
    monkeypatch.setattr(device.Compute, "records_steps", False)
    steps.append(list(fits[1]))
    assert as_on_cuda.replays == 28
    losses = np.array([[step.loss for step in each[2:]] for each in steps])
    # Not to the bit: numbers that are tensors are rounded elsewhere, and that grows tenfold with
    # each step. Of these four iterations two are replayed.
    np.testing.assert_allclose(losses[0][:4], losses[1][:4], rtol=0.001)
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.1)
    assert np.square(fits[0].output() - fits[1].output()).mean() < 1e-3
    # Losses arrive late, but the last one arrives.
    assert [step.loss is None for step in steps[0]] == [True, True, *[False] * 28]


def test_a_replayed_fit_that_diverges_goes_back_to_what_was_good(
    begin: Callable[..., Fit], as_on_cuda: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(1000))

    def broken_once(*given: Any) -> Tensor:
        loss = masked_loss(*given)
        return loss * float("nan") if next(calls) == 20 else loss

    monkeypatch.setattr(fit_module, "masked_loss", broken_once)
    fit = begin("unet", "thin", iterations=60)
    places = [each.data_ptr() for each in fit._changing()]
    steps = list(fit)
    notes = {step.index: step.note for step in steps if step.note}
    assert list(notes) == [23]  # of 21, and 22 is lost with it
    assert "diverged at iteration 21" in notes[23]
    assert [each.data_ptr() for each in fit._changing()] == places
    assert np.isfinite(fit.output()).all()
    assert steps[-1].loss is not None
    assert steps[2].loss is not None
    assert steps[-1].loss < steps[2].loss


def test_a_fit_notes_a_failed_recording(
    begin: Callable[..., Fit], as_on_cuda: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "record_cuda_graph", fail)
    notes = {step.index: step.note for step in begin("unet", "thin") if step.note}
    assert list(notes) == [3]
    assert "launched one by one" in notes[3]


def test_metrics_arrive_a_fixed_number_of_puts_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device.Compute, "lag", 2)
    metrics = AsyncMetrics(device.choose("cpu"))
    came = []
    for index in range(5):
        metrics.put(index, torch.tensor(index / 2), state=f"with {index}")
        came.append([(each.index, each.values, each.state) for each in metrics.arrived()])
    assert came[:2] == [[], []]
    assert came[2:] == [[(index, [index / 2], f"with {index}")] for index in range(3)]
    assert [each.index for each in metrics.arrived(everything=True)] == [3, 4]
    metrics.put(5, torch.tensor(0.0))
    metrics.clear()
    assert not list(metrics.arrived(everything=True))


# --- On a GPU -----------------------------------------------------------------------------------


def eager(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    with monkeypatch.context() as patch:
        patch.setattr(device.Compute, "records_steps", False)
        return list(fit)


@needs_cuda
@pytest.mark.gpu
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_cuda_graph_does_what_its_steps_do_one_by_one(
    begin: Callable[..., Fit], monkeypatch: pytest.MonkeyPatch, network: str, kind: str
) -> None:
    recorded, stepped = begin(network, kind, "cuda"), begin(network, kind, "cuda")
    steps = list(recorded), eager(stepped, monkeypatch)
    assert not any(step.note for step in steps[0])  # it could be recorded
    losses = np.array([[step.loss for step in each[2:]] for each in steps])
    # Sums of many threads are not in a fixed order, and the differences grow.
    np.testing.assert_allclose(losses[0, :8], losses[1, :8], rtol=0.05)
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.5)
    assert np.square(recorded.output() - stepped.output()).mean() < 10**-2.7  # 27 dB


@pytest.fixture
def waiting_fails() -> Iterator[Callable[[], None]]:
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    if torch.cuda.is_available():
        torch.cuda.set_sync_debug_mode("default")


@needs_cuda
@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_in_the_loop_waits_for_the_gpu(
    begin: Callable[..., Fit], waiting_fails: Callable[[], None], kind: str
) -> None:
    fit = begin("unet", kind, "cuda", 60)
    if isinstance(fit.objective, Correction):
        for number in range(8):  # each is made on the CPU once, and copied
            fit.objective._fold(number)
    for step in fit:
        if step.index == 3:  # it is recorded now
            waiting_fails()
    assert step.index == 60
    torch.cuda.set_sync_debug_mode("default")
    assert np.isfinite(fit.output()).all()


@needs_cuda
@pytest.mark.gpu
def test_runs_on_a_gpu_leave_no_memory_behind(begin: Callable[..., Fit]) -> None:
    taken = []
    ensemble = Ensemble(lambda run: begin("unet", "hole", "cuda"), 4)
    for step in ensemble:
        if step.index % 30 == 20:
            taken.append(torch.cuda.memory_reserved())
    assert taken[-1] <= 1.2 * taken[1]


@needs_cuda
@pytest.mark.gpu
def test_a_graph_takes_little_more_memory_than_its_steps(
    begin: Callable[..., Fit], monkeypatch: pytest.MonkeyPatch
) -> None:
    peaks = []
    for run in (lambda fit: eager(fit, monkeypatch), list):
        fit = begin("unet", "thin", "cuda")
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        run(fit)
        peaks.append(torch.cuda.max_memory_reserved())
        del fit
    assert peaks[1] <= 1.6 * peaks[0] + 64 * 2**20
