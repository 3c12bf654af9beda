"""The objective of a fit: the learning task of the network, and the image made from its output.

There are three: `dip.fitting.reconstruction.Reconstruction`, `dip.fitting.correction.Correction`,
and `dip.fitting.patch_reconstruction.PatchReconstruction`, whose tensors hold N patches, not one
image.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from dip.fitting.model import Model
from dip.fitting.optimizers import Scalar
from dip.fitting.validation import Validation


class Objective(Protocol):
    """The learning task of a network, and the image made from its output.

    Attributes
    ----------
    code : Tensor
        (1, C_in, H, W), the input code without jitter.
    target : Tensor
        (1, C, H, W) in [0, 1], 0 at unknown pixels.
    initial_colour : Tensor or None
        (C,), in [0, 1]: the network's initial output is near it; gray when None.
    validation : Validation or None
        None if there are no held-out pixels.
    tensors : list of Tensor
        The tensors that `update` changes.
    """

    code: Tensor
    target: Tensor
    initial_colour: Tensor | None
    validation: Validation | None
    tensors: list[Tensor]

    def sample(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the input, the target and the weight of each pixel for the next iteration."""

    def penalty(self, output: Tensor, weight: Scalar) -> Tensor | None:
        """Compute a term that is added to the loss of an output; None for no term."""

    def update(self, output: Tensor, newest: Scalar) -> None:
        """Take the output of an iteration into the running average, with this weight."""

    def measure(self, model: Model, validation: Validation) -> Tensor:
        """Measure the held-out pixels; see `Validation.measure`."""

    def state(self, model: Model) -> list[Tensor]:
        """Return the tensors from which the present image can be made again."""

    def image(self, model: Model) -> Tensor:
        """Return the best estimate so far, (1, C, H, W)."""
