"""One image, one network: a fit as an iterator of steps.

Source: Ulyanov, Vedaldi, Lempitsky, *Deep Image Prior*, CVPR 2018, arXiv:1711.10925. To cancel is
to stop iterating; `output` is valid at any moment. Nothing here prints, sleeps, saves or knows of
files. The target carries no information under the mask: it is zero there before anything else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call

from dip.config import Damage, FitConfig
from dip.errors import FitFailed
from dip.filling.kriging import ROUGH, krige
from dip.filling.membrane import membrane
from dip.fitting import networks
from dip.fitting.cuda_graphs import AsyncMetrics, CudaGraphStep, Reading
from dip.fitting.input_code import input_code
from dip.fitting.loss import masked_loss
from dip.fitting.optimizers import Number, optimizers_for
from dip.fitting.schedule import anchor_weight, rate_factor
from dip.fitting.validation import Validation, held_out
from dip.machine.device import Compute

_MEASUREMENTS = 8
_MEASURED_AT_MOST, _MEASURED_AT_LEAST = 10, 50
"""Every so many iterations: measuring takes time, and without it nothing new is shown."""

_EARLIEST_STOP = 0.6
"""Of all iterations: before, at high rates, held-out pixels are spoiled for a while and recover."""

_CHECKPOINT_EVERY = 20
_JUMP = 4.0
_DOUBT_DB = 2.0
"""Held-out pixels may be easier to interpolate than the damage: so much worse is no proof."""

_MOST_ROLLBACKS = 6


@dataclass(frozen=True, kw_only=True)
class FitStep:
    """What one iteration did.

    Parameters
    ----------
    index : int
        1-based.
    loss : float, optional
        None where it was not read from the device; of a few iterations ago where that is a GPU.
    validation_psnr_db : float, optional
        Of the averaged output at the held-out pixels; None between measurements.
    note : str, optional
        Something to say aloud.
    """

    index: int
    loss: float | None = None
    validation_psnr_db: float | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Checkpoint:
    """All that a step changes, after an iteration."""

    index: int
    count: int
    tensors: list[Tensor]


class Fit:
    """A network being fitted to the known pixels of one image.

    Parameters
    ----------
    target : ndarray
        (H, W, C), float32 in [0, 1]; what is under the mask is ignored.
    known : ndarray
        (H, W) bool
    config : FitConfig
    compute : Compute
    damage : str
        Its kind; it decides what the held-out pixels look like.
    seed : int

    References
    ----------
    .. [1] D. Ulyanov, A. Vedaldi, V. Lempitsky, "Deep Image Prior", IJCV 128, 2020.
       :DOI:`10.1007/s11263-020-01303-4`
    """

    def __init__(
        self,
        target: NDArray[np.float32],
        known: NDArray[np.bool_],
        config: FitConfig,
        *,
        compute: Compute,
        damage: Damage = "thin",
        seed: int = 0,
    ) -> None:
        self.config = config
        self._compute = compute
        generator = torch.Generator().manual_seed(seed)
        clean = np.where(known[:, :, None], target, np.float32(0))
        self._target = self._place(_planes(clean))
        out = held_out(known, config.holdout_fraction, damage, seed)
        self._out, self._trusted = out, known & ~out
        self._known = self._place(_plane(known))
        self._weight = self._place(_plane(self._trusted))
        where = torch.from_numpy(out).to(compute.device)
        self._validation = Validation(self._target, where) if out.any() else None
        self._smooth_psnr_db = -math.inf
        if self._validation and config.finish == "kriging":
            self._smooth = self._place(_planes(membrane(clean, self._trusted)))
            logarithm = self._measure_kriged(self._validation, self._smooth)
            self._smooth_psnr_db = -10 * float(logarithm)
        if any(config.anchor):
            self._anchor = self._place(_planes(membrane(clean, known)))
            self._unknown = 1 - self._known
            # In units of the known pixels' own loss: a small hole is not held more strongly.
            self._anchor_share = self._unknown.sum() / self._known.sum()
        # Before the first step there is nothing better than the known pixels' mean.
        mean = self._target.sum((2, 3), keepdim=True) / self._known.sum()
        self._average = mean.expand_as(self._target).clone()
        self._code = self._place(self._make_code(clean, known, generator))
        network = networks.build(
            config.network,
            in_channels=self._code.shape[1],
            out_channels=target.shape[2],
            generator=generator,
            colour=mean.flatten().cpu() if config.mean_first else None,
        )
        self._network = self._place(network)
        self._optimizers = optimizers_for(self._network, config)
        self._parameters = [each for one in self._optimizers for each in one.parameters]
        self._jitter = torch.Generator(compute.device).manual_seed(seed)
        self._rate = 1.0
        self._rollbacks = 0
        self._count = 0  # steps that were not gone back over
        self._notes: list[str] = []

    def __iter__(self) -> Iterator[FitStep]:
        iterations = self.config.iterations
        step: Callable[..., Tensor] = self._step
        if self._compute.records_steps:  # not kept by the object: each would hold the other
            step = CudaGraphStep(step, self._compute.device, self._notes.append)
        readings = AsyncMetrics(self._compute)
        saved, fresh = self._checkpoint(0), None
        typical: float | None = None
        for index in range(1, iterations + 1):
            loss = step(*self._ask(), *self._numbers(index))
            measured = self._measure_if_due(index)
            last = index == iterations
            if index % self._compute.read_every == 0 or last or measured:
                kept = [each.detach().clone() for each in self._state()] if measured else None
                readings.put(index, loss, *measured, along=kept)
            value, psnr_db = None, None
            for read in readings.arrived(everything=last):
                value = read.figures[0]
                if _diverged(value, typical):
                    readings.forget()
                    fresh = None
                    self._roll_back(saved, read.index, value)
                    break
                typical = value if typical is None else 0.9 * typical + 0.1 * value
                if fresh is not None and read.index > fresh.index:  # it led to nothing bad
                    saved, fresh = fresh, None
                psnr_db = self._hear(read) or psnr_db
            if index % _CHECKPOINT_EVERY == 0 and fresh is None:
                fresh = self._checkpoint(index)
            stop = psnr_db is not None and self._is_to_stop(index)
            if stop and not last:
                self._notes.append(
                    f"stopped at iteration {index} of {iterations}: held-out pixels were "
                    "predicted better before"
                )
            note = "; ".join(self._notes) or None
            self._notes.clear()
            yield FitStep(index=index, loss=value, validation_psnr_db=psnr_db, note=note)
            if stop:
                return

    def output(self) -> NDArray[np.float32]:
        """The mean of the outputs measured so far, the better the more; the latest before that.

        (H, W, C), float32 in [0, 1]. As long as a fit that will be kriged predicts held-out pixels
        clearly worse than a membrane that is kriged, it is the membrane, and a part of it later
        where the configuration says so.
        """
        validation, answer = self._validation, self._answer(self._estimate())
        if validation and self.config.finish == "kriging":
            in_doubt = validation.best_psnr_db < self._smooth_psnr_db - _DOUBT_DB
            answer = answer.lerp(self._smooth, 1.0 if in_doubt else self.config.membrane_part)
        image: NDArray[np.float32] = answer[0].permute(1, 2, 0).float().cpu().numpy().copy()
        return image

    # What a fit of another kind does in its own way: see `dip.fitting.correction`.

    def _make_code(
        self, target: NDArray[np.float32], known: NDArray[np.bool_], generator: torch.Generator
    ) -> Tensor:
        """(1, C_in, H, W)"""
        height, width = known.shape
        return input_code(self.config, height, width, generator)

    def _ask(self) -> tuple[Tensor, Tensor, Tensor]:
        """What the network is fed in this iteration, the target, and where its error counts."""
        code = self._code
        if self.config.jitter_std:
            noise = torch.empty_like(code).normal_(generator=self._jitter)
            code = code + self.config.jitter_std * noise
        return code, self._target, self._weight

    def _state(self) -> list[Tensor]:
        """What the estimate of this moment can be made from again."""
        return [self._average]

    def _estimate(self) -> list[Tensor]:
        """The state to answer from."""
        measured = self._validation and self._validation.kept
        return measured or self._state()

    def _answer(self, state: Sequence[Tensor]) -> Tensor:
        """The estimate of the moment of a state, (1, C, H, W)."""
        return state[0]

    def _measure(self, validation: Validation) -> Tensor:
        """Measure held-out pixels as they will be in the result; see `Validation.measure`."""
        if self.config.finish != "kriging":
            return validation.measure(self._average)
        return self._measure_kriged(validation, self._average)

    def _measure_kriged(self, validation: Validation, output: Tensor) -> Tensor:
        # On a GPU this waits for it, eight times in a fit.
        missed = (self._target - output)[0].permute(1, 2, 0).float().cpu().numpy()
        kriged = krige(missed, self._trusted, needed=self._out, window=ROUGH)
        return validation.measure(output + self._place(_planes(kriged)))

    def _numbers(self, index: int) -> tuple[float, float, tuple[tuple[float, ...], ...]]:
        """What changes from step to step: hold of the anchor, share in the average, rates."""
        config = self.config
        factor = rate_factor(index - 1, config.iterations) if config.decay else 1.0
        self._count += 1
        # A plain mean of the first few, then a running one.
        newest = max(1 - config.averaging, 1 / index)
        hold = anchor_weight(index - 1, config.iterations, config.anchor)
        rates = tuple(one.numbers(factor * self._rate, self._count) for one in self._optimizers)
        return hold, newest, rates

    def _step(
        self,
        code: Tensor,
        target: Tensor,
        weight: Tensor,
        hold: Number,
        newest: Number,
        rates: tuple[Any, ...],
    ) -> Tensor:
        """One step; it is recorded where the device can do that, so it must not read a value."""
        reconstruction = self._evaluate(code)
        loss = masked_loss(reconstruction, target, weight, self.config.loss)
        total = loss
        if any(self.config.anchor):
            away = masked_loss(reconstruction, self._anchor, self._unknown, "mse")
            total = loss + self._anchor_share * hold * away
        # Not backward(): the gradients would be kept, and belong to one stream.
        gradients = iter(torch.autograd.grad(total, self._parameters))
        for one, numbers in zip(self._optimizers, rates, strict=True):
            one.step([next(gradients) for _ in one.parameters], numbers)
        self._average.lerp_(reconstruction.detach(), newest)
        return loss.detach()

    def _evaluate(self, code: Tensor, parameters: dict[str, Tensor] | None = None) -> Tensor:
        """What the network makes of a code, (1, C, H, W); with other parameters where given."""
        device, low_precision = self._compute.device.type, self._compute.low_precision
        # No cache of converted weights: a step must not depend on the one before.
        with torch.autocast(device, torch.bfloat16, enabled=low_precision, cache_enabled=False):
            reconstruction: Tensor = (
                functional_call(self._network, parameters, code)
                if parameters
                else self._network(code)
            )
        return reconstruction

    def _measure_if_due(self, index: int) -> list[Tensor]:
        iterations = self.config.iterations
        every = min(max(_MEASURED_AT_MOST, iterations // _MEASUREMENTS), _MEASURED_AT_LEAST)
        if self._validation is None or (index % every and index != iterations):
            return []
        return [self._measure(self._validation)]

    def _hear(self, read: Reading) -> float | None:
        """PSNR of held-out pixels, dB, where it was measured in the iteration."""
        if self._validation is None or len(read.figures) == 1:
            return None
        return self._validation.hear(read.figures[1], read.along)

    def _is_to_stop(self, index: int) -> bool:
        """Whether what comes after an iteration would count for next to nothing."""
        if not self.config.stop_early or self._validation is None:
            return False
        return self._validation.spoiled and index >= _EARLIEST_STOP * self.config.iterations

    def _checkpoint(self, index: int) -> _Checkpoint:
        tensors = [each.detach().clone() for each in self._lasting()]
        return _Checkpoint(index=index, count=self._count, tensors=tensors)

    @torch.no_grad()
    def _roll_back(self, saved: _Checkpoint, index: int, loss: float) -> None:
        self._rollbacks += 1
        if self._rollbacks > _MOST_ROLLBACKS:
            raise FitFailed(
                f"The fit diverged {self._rollbacks} times, the last at {self._rate:g} times the "
                "learning rate.",
                "Try another seed or preset, and please report this image's kind.",
            )
        self._rate /= 2
        self._count = saved.count
        torch._foreach_copy_(self._lasting(), saved.tensors)  # in place: a graph knows these
        self._notes.append(
            f"diverged at iteration {index} (loss {loss:.3g}); went back and goes on at "
            f"{self._rate:g} times the rate"
        )

    def _lasting(self) -> list[Tensor]:
        """All that a step changes."""
        remembered = [each for one in self._optimizers for each in one.state]
        return [*self._parameters, *remembered, self._average]

    def _place(self, what: Any) -> Any:
        """Move a tensor or module to the device, in its memory format."""
        if self._compute.channels_last:
            return what.to(self._compute.device, memory_format=torch.channels_last)
        return what.to(self._compute.device).contiguous() if isinstance(what, Tensor) else what.to(
            self._compute.device
        )  # fmt: skip


def _planes(image: NDArray[np.float32]) -> Tensor:
    """(H, W, C) to (1, C, H, W)."""
    return torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0)


def _plane(pixels: NDArray[np.bool_]) -> Tensor:
    """(H, W) bool to (1, 1, H, W) float."""
    return torch.from_numpy(pixels).float()[None, None]


def _diverged(loss: float, typical: float | None) -> bool:
    return not math.isfinite(loss) or (typical is not None and loss > _JUMP * typical)
