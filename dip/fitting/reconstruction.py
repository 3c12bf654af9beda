"""Reconstruction: the network learns the image from the known pixels, as in the paper.

Source: Ulyanov, Vedaldi, Lempitsky, *Deep Image Prior*, CVPR 2018, arXiv:1711.10925. The target
carries no information about the damage: it is zero there before anything else is done.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dip.config import Damage, FitConfig
from dip.filling.kriging import ROUGH, krige
from dip.filling.membrane import membrane
from dip.fitting.input_code import input_code
from dip.fitting.loss import masked_loss
from dip.fitting.model import Model, image_array, image_tensor, mask_tensor, place
from dip.fitting.optimizers import Scalar
from dip.fitting.validation import Validation, held_out, is_flat
from dip.machine.device import Compute

_WORSE_DB = 2.0
"""Held-out pixels can be easier than the damage, so a smaller deficit is no evidence."""


class Reconstruction:
    """The objective of a network whose output is the image; see `Objective`.

    Parameters
    ----------
    target : ndarray
        (H, W, C), float32 in [0, 1]; unknown pixels are ignored.
    known : ndarray
        (H, W) bool
    config : FitConfig
    compute : Compute
    damage : str
        The kind of damage; held-out pixels imitate it.
    seed : int
    generator : torch.Generator
        Source of the input code.
    """

    def __init__(
        self,
        target: NDArray[np.float32],
        known: NDArray[np.bool_],
        config: FitConfig,
        *,
        compute: Compute,
        damage: Damage,
        seed: int,
        generator: torch.Generator,
    ) -> None:
        self._config = config
        self._compute = compute
        clean = np.where(known[:, :, None], target, np.float32(0))
        self.target = image_tensor(clean, compute)
        self._held_out = held_out(known, config.holdout_fraction, damage, seed)
        self._fitted = known & ~self._held_out
        self._weight = mask_tensor(self._fitted, compute)
        self.validation: Validation | None = None
        if self._held_out.any():
            where = torch.from_numpy(self._held_out).to(compute.device)
            flat = is_flat(clean, known, self._held_out)
            self.validation = Validation(self.target, where, flat=flat)
        self._membrane_psnr_db = -math.inf
        if self.validation and config.residual_fill == "kriging":
            self._membrane = image_tensor(membrane(clean, self._fitted), compute)
            logarithm = self._measure_kriged(self._membrane, self.validation)
            self._membrane_psnr_db = -10 * float(logarithm)
        known_weight = mask_tensor(known, compute)
        if any(config.membrane_penalty):
            self._fill_target = image_tensor(membrane(clean, known), compute)
            self._unknown = 1 - known_weight
            # In units of the known pixels' loss: the penalty of a small hole is no stronger.
            self._unknown_ratio = self._unknown.sum() / known_weight.sum()
        # Before the first step there is no better estimate than the mean of the known pixels.
        mean = self.target.sum((2, 3), keepdim=True) / known_weight.sum()
        self.initial_colour = mean.flatten().cpu() if config.start_at_mean else None
        self.average = mean.expand_as(self.target).clone()
        self.tensors = [self.average]
        height, width = known.shape
        self.code = place(input_code(config, height, width, generator), compute)
        self._jitter = torch.Generator(compute.device).manual_seed(seed)

    def sample(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the code with jitter, the target and the weight of each pixel."""
        code = self.code
        if self._config.jitter_std:
            noise = torch.empty_like(code).normal_(generator=self._jitter)
            code = code + self._config.jitter_std * noise
        return code, self.target, self._weight

    def penalty(self, output: Tensor, weight: Scalar) -> Tensor | None:
        """Compute the membrane penalty of an output; see `FitConfig.membrane_penalty`."""
        if not any(self._config.membrane_penalty):
            return None
        distance = masked_loss(output, self._fill_target, self._unknown, "mse")
        return self._unknown_ratio * weight * distance

    def update(self, output: Tensor, newest: Scalar) -> None:
        """Take an output into the running average."""
        self.average.lerp_(output.detach(), newest)

    def measure(self, model: Model, validation: Validation) -> Tensor:
        """Measure the held-out pixels of the average as they will be in the result."""
        if self._config.residual_fill != "kriging":
            return validation.measure(self.average)
        return self._measure_kriged(self.average, validation)

    def _measure_kriged(self, output: Tensor, validation: Validation) -> Tensor:
        # This waits for a GPU, eight times in a fit.
        residual = image_array(self.target - output)
        kriged = krige(residual, self._fitted, needed=self._held_out, window=ROUGH)
        return validation.measure(output + image_tensor(kriged, self._compute))

    def state(self, model: Model) -> list[Tensor]:
        """Return the running average."""
        return self.tensors

    def image(self, model: Model) -> Tensor:
        """Average the measured outputs, weighted by held-out accuracy; at first, the latest output.

        Where the residual will be kriged, a smooth membrane is mixed in. The image is the membrane
        alone as long as the network predicts held-out pixels clearly worse than it.
        """
        validation = self.validation
        image = ((validation and validation.kept) or self.tensors)[0]
        if validation and self._config.residual_fill == "kriging":
            is_worse = validation.best_psnr_db < self._membrane_psnr_db - _WORSE_DB
            image = image.lerp(self._membrane, 1.0 if is_worse else self._config.membrane_part)
        return image
