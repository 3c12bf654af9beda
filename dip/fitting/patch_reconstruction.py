"""The reconstruction of a stack of patches by one network, with a noise code for each patch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dip.config import FitConfig
from dip.fitting.input_code import input_code
from dip.fitting.model import Model, image_tensor, mask_tensor, place
from dip.fitting.optimizers import Scalar
from dip.fitting.patch_stack import PatchStack
from dip.fitting.validation import FLAT_STD, Validation
from dip.machine.device import Compute

_POWER = 4
"""The weight of an output is its squared error at the hidden pixels to the power of -4."""


class PatchReconstruction:
    """The objective of a network whose outputs are all patches of a stack; see `Objective`.

    Parameters
    ----------
    stack : PatchStack
    config : FitConfig
    compute : Compute
    generator : torch.Generator
        Source of the input codes.
    """

    def __init__(
        self,
        stack: PatchStack,
        config: FitConfig,
        *,
        compute: Compute,
        generator: torch.Generator,
    ) -> None:
        self.target = image_tensor(stack.targets, compute)
        self._hidden = mask_tensor(stack.hidden, compute)
        self._weight = mask_tensor(stack.known & ~stack.hidden, compute)
        where = torch.from_numpy(stack.hidden.any(0)).to(compute.device)
        flat = bool(np.mean(stack.targets[stack.known].var(0)) < FLAT_STD**2)
        self.validation: Validation | None = PatchValidation(self.target, where, flat=flat)
        known = mask_tensor(stack.known, compute)
        mean = self.target.sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True)
        self.average = mean.expand_as(self.target).clone()
        self.tensors = [self.average]
        self.initial_colour: Tensor | None = None
        side = stack.known.shape[-1]
        codes = [input_code(config, side, side, generator) for _ in stack.patches]
        self.code = place(torch.cat(codes), compute)

    def sample(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the codes, the targets and the weight of each pixel."""
        return self.code, self.target, self._weight

    def penalty(self, output: Tensor, weight: Scalar) -> Tensor | None:
        """Return None: there is no penalty."""
        return None

    def update(self, output: Tensor, newest: Scalar) -> None:
        """Take outputs into the running average."""
        self.average.lerp_(output.detach(), newest)

    def measure(self, model: Model, validation: Validation) -> Tensor:
        """Measure the hidden pixels of all patches together."""
        total = self._squares(self.average).sum() / self._hidden.sum().clamp_min(1)
        return torch.log10(total + 1e-10)

    def state(self, model: Model) -> list[Tensor]:
        """Return the running average, and the mean squared error of each patch, (N, 1, 1, 1)."""
        count = self._hidden.sum((1, 2, 3), keepdim=True).clamp_min(1)
        return [self.average, self._squares(self.average).sum((1, 2, 3), keepdim=True) / count]

    def image(self, model: Model) -> Tensor:
        """Average the measured outputs of each patch by its weights; at first, the latest."""
        validation = self.validation
        return ((validation and validation.kept) or self.tensors)[0]

    def _squares(self, output: Tensor) -> Tensor:
        squares = (output - self.target).square().mean(1, keepdim=True)  # (N, 1, S, S)
        return squares * self._hidden


class PatchValidation(Validation):
    """A validation that averages the outputs of each patch by weights of its own."""

    def __init__(self, target: Tensor, where: Tensor, *, flat: bool) -> None:
        super().__init__(target, where, flat=flat)
        self._weights = torch.zeros(len(target), 1, 1, 1, device=target.device)

    def update(self, logarithm: float, state: list[Tensor]) -> float:
        """Take outputs and errors into `kept`; see `Validation.update`."""
        self.latest_psnr_db = -10 * logarithm
        self.best_psnr_db = max(self.best_psnr_db, self.latest_psnr_db)
        output, error = state
        weight = (error + 1e-7) ** -_POWER
        self._weights += weight
        if self.kept is None:
            self.kept = [output]
        else:
            self.kept[0].lerp_(output, weight / self._weights)
        return self.latest_psnr_db
