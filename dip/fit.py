"""One image, one network: a fit as an iterator of steps.

Source: Ulyanov, Vedaldi, Lempitsky, *Deep Image Prior*, CVPR 2018, arXiv:1711.10925. To cancel is
to stop iterating; `output` is valid at any moment. Nothing here prints, sleeps, saves or knows of
files. The target carries no information under the mask: it is zero there before anything else.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dip import networks
from dip.config import Damage, FitConfig
from dip.device import Compute
from dip.errors import FitFailed
from dip.harmonise import membrane
from dip.latent import input_code
from dip.loss import masked_loss
from dip.optimizers import optimizers_for
from dip.schedule import anchor_weight, rate_factor
from dip.stopping import Validation, held_out

_MEASURE_EVERY = 10
_CHECKPOINT_EVERY = 20
_JUMP = 4.0
_MOST_ROLLBACKS = 6

_VALIDATED_PART = 0.8
"""The held-out pixels join the loss for the last fifth: nothing that is known is wasted."""


@dataclass(frozen=True, kw_only=True)
class FitStep:
    """What one iteration did.

    Parameters
    ----------
    index : int
        1-based.
    loss : float, optional
        None where it was not read from the device.
    validation_psnr_db : float, optional
        Of the averaged output at the held-out pixels; None between measurements.
    note : str, optional
        Something to say aloud.
    """

    index: int
    loss: float | None = None
    validation_psnr_db: float | None = None
    note: str | None = None


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
        self._known = self._place(_plane(known))
        self._weight = self._place(_plane(known & ~out))
        where = torch.from_numpy(out).to(compute.device)
        self._validation = Validation(self._target, where) if out.any() else None
        if any(config.anchor):
            self._anchor = self._place(_planes(membrane(clean, known)))
            self._unknown = 1 - self._known
            # In units of the known pixels' own loss: a small hole is not held more strongly.
            self._anchor_share = self._unknown.sum() / self._known.sum()
        self._code = self._place(self._make_code(clean, known, generator))
        network = networks.build(
            config.network,
            in_channels=self._code.shape[1],
            out_channels=target.shape[2],
            generator=generator,
        )
        self._network = self._place(network)
        self._optimizers = optimizers_for(self._network, config)
        self._jitter = torch.Generator(compute.device).manual_seed(seed)
        # Before the first step there is nothing better than the known pixels' mean.
        mean = self._target.sum((2, 3), keepdim=True) / self._known.sum()
        self._average = mean.expand_as(self._target).clone()
        self._rate = 1.0
        self._rollbacks = 0

    def __iter__(self) -> Iterator[FitStep]:
        config = self.config
        typical: float | None = None
        checkpoint = self._checkpoint()
        for index in range(1, config.iterations + 1):
            loss = self._step(index)
            note, value = None, None
            if index % self._compute.read_every == 0 or index == config.iterations:
                value = float(loss)
                if _diverged(value, typical):
                    self._roll_back(checkpoint)
                    note = (
                        f"diverged at iteration {index} (loss {value:.3g}); went back and goes "
                        f"on at {self._rate:g} times the rate"
                    )
                else:
                    typical = value if typical is None else 0.9 * typical + 0.1 * value
                    if index % _CHECKPOINT_EVERY == 0:
                        checkpoint = self._checkpoint()
            yield FitStep(
                index=index, loss=value, validation_psnr_db=self._validate(index), note=note
            )

    def output(self) -> NDArray[np.float32]:
        """The best output so far, (H, W, C), float32 in [0, 1]."""
        best = self._answer()
        validation = self._validation
        if validation and validation.spoiled and validation.best_output is not None:
            best = validation.best_output
        image: NDArray[np.float32] = best[0].permute(1, 2, 0).float().cpu().numpy().copy()
        return image

    # What a fit of another kind does in its own way: see `dip.correction`.

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

    def _answer(self) -> Tensor:
        """The estimate so far, (1, C, H, W)."""
        return self._average

    def _measure(self, validation: Validation) -> float:
        """PSNR of held-out pixels, dB."""
        return validation.measure(self._average)

    def _step(self, index: int) -> Tensor:
        config = self.config
        factor = rate_factor(index - 1, config.iterations) if config.decay else 1.0
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor * self._rate
        code, target, weight = self._ask()
        reconstruction = self._evaluate(code)
        loss = masked_loss(reconstruction, target, weight, config.loss)
        total = loss
        if any(config.anchor):
            held = self._anchor_share * anchor_weight(index - 1, config.iterations, config.anchor)
            away = masked_loss(reconstruction, self._anchor, self._unknown, "mse")
            total = loss + held * away
        total.backward()
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        # A plain mean of the first few, then a running one.
        newest = max(1 - config.averaging, 1 / index)
        self._average.lerp_(reconstruction.detach(), newest)
        return loss.detach()

    def _evaluate(self, code: Tensor) -> Tensor:
        """(1, C, H, W)"""
        device = self._compute.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self._compute.low_precision):
            reconstruction: Tensor = self._network(code)
        return reconstruction

    def _validate(self, index: int) -> float | None:
        if self._validation is None:
            return None
        last = max(1, math.floor(_VALIDATED_PART * self.config.iterations))
        if index > last or (index % _MEASURE_EVERY and index != last):
            return None
        psnr_db = self._measure(self._validation)
        if index == last and not self._validation.spoiled:
            self._weight = self._known
        return psnr_db

    def _checkpoint(self) -> dict[str, Any]:
        return copy.deepcopy(
            {
                "network": self._network.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
                "average": self._average,
            }
        )

    def _roll_back(self, checkpoint: dict[str, Any]) -> None:
        self._rollbacks += 1
        if self._rollbacks > _MOST_ROLLBACKS:
            raise FitFailed(
                f"The fit diverged {self._rollbacks} times, the last at {self._rate:g} times the "
                "learning rate.",
                "Try another seed or preset, and please report this image's kind.",
            )
        self._rate /= 2
        saved = copy.deepcopy(checkpoint)
        self._network.load_state_dict(saved["network"])
        for optimizer, state in zip(self._optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self._average = saved["average"]

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
