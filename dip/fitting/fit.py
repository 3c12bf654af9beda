"""One image, one network: a fit is an iterator of steps.

To cancel is to stop iterating; `output` is valid at any moment. Nothing here prints, sleeps, saves
or knows of files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dip.config import Damage, FitConfig
from dip.errors import FitFailed
from dip.fitting.correction import Correction
from dip.fitting.cuda_graphs import AsyncMetrics, CudaGraphStep, Metrics
from dip.fitting.loss import masked_loss
from dip.fitting.model import Model, image_stack
from dip.fitting.objective import Objective
from dip.fitting.optimizers import Scalar, optimizers_for
from dip.fitting.reconstruction import Reconstruction
from dip.fitting.schedule import penalty_weight, rate_factor
from dip.machine.device import Compute
from dip.notes import Note, joined

_MEASUREMENTS = 8
"""Measurements of the held-out pixels in a fit."""

_SHORTEST_INTERVAL, _LONGEST_INTERVAL = 10, 50
"""Iterations between two measurements: measuring takes time, but previews need new images."""

_EARLIEST_STOP = 0.6
"""Part of the iterations before which a fit does not stop: at high rates, held-out pixels get worse
for a while and recover."""

_CHECKPOINT_INTERVAL = 20
_DIVERGED = 4.0
"""A loss this many times as large as usual has diverged."""

_MAX_ROLLBACKS = 6


@dataclass(frozen=True, kw_only=True)
class FitStep:
    """The outcome of one iteration.

    Parameters
    ----------
    index : int
        1-based.
    loss : float, optional
        None if it was not read from the device; on a GPU, that of a few iterations ago.
    validation_psnr_db : float, optional
        PSNR at the held-out pixels; None between measurements, and where the picture is flat.
    note : Note, optional
        A message for the user.
    run : int
        The number of the fit in an ensemble, 0-based.
    """

    index: int
    loss: float | None = None
    validation_psnr_db: float | None = None
    note: Note | None = None
    run: int = 0


@dataclass(frozen=True, kw_only=True)
class _Checkpoint:
    """All that a step changes, after an iteration."""

    index: int
    optimizer_steps: int
    tensors: list[Tensor]


class Fit:
    """A network that is fitted to one image; iterate to work.

    Parameters
    ----------
    objective : Objective
        The learning task of the network.
    config : FitConfig
    compute : Compute
    generator : torch.Generator
        Source of the network's initial weights.

    References
    ----------
    .. [1] D. Ulyanov, A. Vedaldi, V. Lempitsky, "Deep Image Prior", IJCV 128, 2020.
       :DOI:`10.1007/s11263-020-01303-4`
    """

    def __init__(
        self,
        objective: Objective,
        config: FitConfig,
        *,
        compute: Compute,
        generator: torch.Generator,
    ) -> None:
        self.config = config
        self.objective = objective
        self._compute = compute
        self._model = Model(
            config.network,
            in_channels=objective.code.shape[1],
            out_channels=objective.target.shape[1],
            compute=compute,
            generator=generator,
            colour=objective.initial_colour,
        )
        self._optimizers = optimizers_for(self._model.network, config)
        self._parameters = [each for one in self._optimizers for each in one.parameters]
        self._rate = 1.0
        self._rollbacks = 0
        self._optimizer_steps = 0  # without those that a rollback undid
        self._notes: list[Note] = []

    def __iter__(self) -> Iterator[FitStep]:
        iterations, validation = self.config.iterations, self.objective.validation
        step: Callable[..., Tensor] = self._step
        if self._compute.records_steps:  # a local variable: as an attribute it would be a cycle
            step = CudaGraphStep(step, self._compute.device, self._notes.append)
        metrics = AsyncMetrics(self._compute)
        safe, candidate = self._checkpoint(0), None
        usual_loss: float | None = None
        for index in range(1, iterations + 1):
            loss = step(*self.objective.sample(), *self._scalars(index))
            measured = self._measure_if_due(index)
            is_last = index == iterations
            if index % self._compute.read_every == 0 or is_last or measured:
                metrics.put(index, loss, *measured, state=self._copy_state() if measured else None)
            value, psnr_db = None, None
            for arrived in metrics.arrived(everything=is_last):
                value = arrived.values[0]
                if _diverged(value, usual_loss):
                    metrics.clear()
                    candidate = None
                    self._roll_back(safe, arrived.index, value)
                    break
                usual_loss = value if usual_loss is None else 0.9 * usual_loss + 0.1 * value
                if candidate is not None and arrived.index > candidate.index:  # no divergence
                    safe, candidate = candidate, None
                psnr_db = self._update_validation(arrived) or psnr_db
            if index % _CHECKPOINT_INTERVAL == 0 and candidate is None:
                candidate = self._checkpoint(index)
            stops = psnr_db is not None and self._stops_early(index)
            if stops and not is_last:
                stop = Note("stopped_early", iteration=index, iterations=iterations)
                self._notes.append(stop)
            note = joined(self._notes)
            self._notes.clear()
            shown_db = None if validation is None or validation.flat else psnr_db
            yield FitStep(index=index, loss=value, validation_psnr_db=shown_db, note=note)
            if stops:
                return

    @property
    def is_measured(self) -> bool:
        """Whether outputs have been measured at held-out pixels."""
        validation = self.objective.validation
        return validation is not None and validation.kept is not None

    def output(self) -> NDArray[np.float32]:
        """Return the best estimate so far, (H, W, C), float32 in [0, 1]."""
        return self.outputs()[0]

    def outputs(self) -> NDArray[np.float32]:
        """Return the best estimates so far of all patches of a stack, (N, H, W, C)."""
        return image_stack(self.objective.image(self._model)).copy()

    def _scalars(self, index: int) -> tuple[float, float, tuple[tuple[float, ...], ...]]:
        """Penalty weight, weight of the newest output in the average, scalars of optimizers."""
        config = self.config
        factor = rate_factor(index - 1, config.iterations) if config.decay else 1.0
        self._optimizer_steps += 1
        penalty = penalty_weight(index - 1, config.iterations, config.membrane_penalty)
        # A plain mean of the first few outputs, then a running one.
        newest = max(1 - config.averaging, 1 / index)
        scalars = tuple(
            one.scalars(factor * self._rate, self._optimizer_steps) for one in self._optimizers
        )
        return penalty, newest, scalars

    def _step(
        self,
        code: Tensor,
        target: Tensor,
        weight: Tensor,
        penalty_factor: Scalar,
        newest: Scalar,
        scalars: tuple[Any, ...],
    ) -> Tensor:
        """Do one step; it may be recorded as a CUDA graph, so it must not read a value."""
        output = self._model(code)
        loss = total = masked_loss(output, target, weight, self.config.loss)
        penalty = self.objective.penalty(output, penalty_factor)
        if penalty is not None:
            total = loss + penalty
        # Not backward(): its gradients would be kept, and belong to one stream.
        gradients = iter(torch.autograd.grad(total, self._parameters))
        for one, each in zip(self._optimizers, scalars, strict=True):
            one.step([next(gradients) for _ in one.parameters], each)
        self.objective.update(output, newest)
        return loss.detach()

    def _measure_if_due(self, index: int) -> list[Tensor]:
        iterations, validation = self.config.iterations, self.objective.validation
        interval = min(max(_SHORTEST_INTERVAL, iterations // _MEASUREMENTS), _LONGEST_INTERVAL)
        if validation is None or (index % interval and index != iterations):
            return []
        return [self.objective.measure(self._model, validation)]

    def _copy_state(self) -> list[Tensor]:
        return [each.detach().clone() for each in self.objective.state(self._model)]

    def _update_validation(self, metrics: Metrics) -> float | None:
        """PSNR at the held-out pixels, dB, if it was measured in the iteration."""
        validation = self.objective.validation
        if validation is None or len(metrics.values) == 1:
            return None
        return validation.update(metrics.values[1], metrics.state)

    def _stops_early(self, index: int) -> bool:
        """Whether the outputs after an iteration would have almost no weight."""
        validation = self.objective.validation
        if not self.config.stop_early or validation is None:
            return False
        return validation.is_worse and index >= _EARLIEST_STOP * self.config.iterations

    def _checkpoint(self, index: int) -> _Checkpoint:
        tensors = [each.detach().clone() for each in self._changing()]
        return _Checkpoint(index=index, optimizer_steps=self._optimizer_steps, tensors=tensors)

    @torch.no_grad()
    def _roll_back(self, safe: _Checkpoint, index: int, loss: float) -> None:
        self._rollbacks += 1
        if self._rollbacks > _MAX_ROLLBACKS:
            raise FitFailed(
                f"The fit diverged {self._rollbacks} times, the last time at {self._rate:g} times "
                "the learning rate.",
                "Try another seed or preset, and please report the kind of image.",
            )
        self._rate /= 2
        self._optimizer_steps = safe.optimizer_steps
        torch._foreach_copy_(self._changing(), safe.tensors)  # in place: a graph uses these
        self._notes.append(Note("diverged", iteration=index, loss=loss, rate=self._rate))

    def _changing(self) -> list[Tensor]:
        """All tensors that a step changes."""
        optimizers = [each for one in self._optimizers for each in one.state]
        return [*self._parameters, *optimizers, *self.objective.tensors]


def begin_fit(
    target: NDArray[np.float32],
    known: NDArray[np.bool_],
    config: FitConfig,
    *,
    compute: Compute,
    damage: Damage = "thin",
    seed: int = 0,
) -> Fit:
    """Prepare the fit of an image.

    Parameters
    ----------
    target : ndarray
        (H, W, C), float32 in [0, 1]; unknown pixels are ignored.
    known : ndarray
        (H, W) bool
    config : FitConfig
        `code` decides between the two objectives.
    compute : Compute
    damage : str
        The kind of damage; held-out pixels imitate it.
    seed : int

    Returns
    -------
    Fit
    """
    generator = torch.Generator().manual_seed(seed)
    objective: Objective
    if config.code == "fill":
        objective = Correction(target, known, config.iterations, compute=compute, seed=seed)
    else:
        objective = Reconstruction(
            target, known, config, compute=compute, damage=damage, seed=seed, generator=generator
        )
    return Fit(objective, config, compute=compute, generator=generator)


def _diverged(loss: float, usual_loss: float | None) -> bool:
    return not math.isfinite(loss) or (usual_loss is not None and loss > _DIVERGED * usual_loss)
