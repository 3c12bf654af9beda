"""Optimizers: Muon (orthogonalised momentum) for convolution kernels, Adam for other parameters.

Source: Jordan et al., *Muon: an optimizer for hidden layers in neural networks*, 2024,
https://kellerjordan.github.io/posts/muon/. `torch.optim.Muon` takes matrices only; a convolution
kernel is flattened to out × (in · k · k) here. Muon fits the known pixels in about a tenth of
Adam's iterations. Adam: Kingma, Ba, ICLR 2015, arXiv:1412.6980.

Both keep to the device: a step reads no value and does not branch on one, so that it can be
recorded (`dip.fitting.cuda_graphs`). `scalars` computes the numbers that change from step to step
beforehand, in double precision. `torch.optim` is not used: it loads torch's compiler, which takes
over a second.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from dip.config import FitConfig

_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of Muon's polynomial."""

_ITERATIONS = 5

Scalar: TypeAlias = float | Tensor
"""In a recorded step a tensor with one element: a number would be frozen in the recording."""


def orthogonalise(matrices: Tensor) -> Tensor:
    """Bring all singular values near 1 by Newton-Schulz iteration.

    Each iteration multiplies by a polynomial of the Gram matrix, which has a ninth of the size of a
    3×3 kernel. So the polynomials are multiplied with each other first, and the matrix only once.
    That needs single precision.

    Parameters
    ----------
    matrices : Tensor
        (N, rows, columns)

    Returns
    -------
    Tensor
        The same shape; singular values within about [0.7, 1.2].
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    gram = x @ x.mT
    product = power = _polynomial(gram)
    for _ in range(_ITERATIONS - 1):
        gram = power @ gram @ power
        power = _polynomial(gram)
        product = power @ product
    x = product @ x
    return x.mT if tall else x


def _polynomial(gram: Tensor) -> Tensor:
    """The factor of one iteration, from the Gram matrix."""
    a, b, c = _QUINTIC
    power = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    power.diagonal(dim1=1, dim2=2).add_(a)
    return power


class Muon:
    """Orthogonalised momentum for 4-D kernels; kernels of equal shape are stacked.

    Parameters
    ----------
    kernels : iterable of Tensor
        Convolution kernels, (out, in, k, k).
    rate : float
        Spectral length of a step for a wide kernel.
    momentum : float
        Nesterov momentum, in [0, 1).

    Attributes
    ----------
    parameters, state : list of Tensor
        The trained parameters, and the memory of the optimizer.
    """

    def __init__(self, kernels: Iterable[Tensor], rate: float, momentum: float = 0.9) -> None:
        self.parameters = list(kernels)
        self.state = [torch.zeros_like(kernel) for kernel in self.parameters]
        self._rate, self._momentum = rate, momentum
        self._same_shape: dict[torch.Size, list[int]] = defaultdict(list)
        for position, kernel in enumerate(self.parameters):
            self._same_shape[kernel.shape].append(position)

    def scalars(self, factor: float, count: int) -> tuple[float]:
        """The step length: factor times the rate."""
        return (self._rate * factor,)

    @torch.no_grad()
    def step(self, gradients: list[Tensor], scalars: tuple[Scalar]) -> None:
        """Update the kernels, with one gradient for each."""
        for positions in self._same_shape.values():
            kernels, buffers, own_gradients = (
                [each[position] for position in positions]
                for each in (self.parameters, self.state, gradients)
            )
            self._step_stacked(kernels, buffers, own_gradients, *scalars)

    def _step_stacked(
        self,
        kernels: list[Tensor],
        buffers: list[Tensor],
        gradients: list[Tensor],
        rate: Scalar,
    ) -> None:
        torch._foreach_mul_(buffers, self._momentum)
        torch._foreach_add_(buffers, gradients)
        ahead = torch._foreach_add(gradients, buffers, alpha=self._momentum)
        steps = orthogonalise(torch.stack([each.flatten(1) for each in ahead]))
        rows, columns = steps.shape[1:]
        length = rate * max(1.0, rows / columns) ** 0.5
        if isinstance(length, Tensor):
            steps, length = steps * length, 1.0
        moves = [each.view(kernel.shape) for each, kernel in zip(steps, kernels, strict=True)]
        torch._foreach_add_(kernels, moves, alpha=-length)


class Adam:
    """Adam for parameters of any shape; methods and attributes are those of `Muon`.

    Parameters
    ----------
    parameters : iterable of Tensor
    rate : float
    betas : tuple of two floats
        Weight of the past in the running means of the gradient and of its square.
    epsilon : float
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        self.parameters = list(parameters)
        self._means = [torch.zeros_like(each) for each in self.parameters]
        self._squares = [torch.zeros_like(each) for each in self.parameters]
        self.state = [*self._means, *self._squares]
        self._rate, self._betas, self._epsilon = rate, betas, epsilon

    def scalars(self, factor: float, count: int) -> tuple[float, float]:
        """The step length and the scale of the deviation, corrected for the means' start at 0.

        Parameters
        ----------
        factor : float
            Multiplies the rate.
        count : int
            Number of the step, 1-based.
        """
        first, second = (1 - beta**count for beta in self._betas)
        return self._rate * factor / first, second**0.5

    @torch.no_grad()
    def step(self, gradients: list[Tensor], scalars: tuple[Scalar, Scalar]) -> None:
        """Update the parameters, with one gradient for each."""
        length, scale = scalars
        first, second = self._betas
        torch._foreach_lerp_(self._means, gradients, 1 - first)
        torch._foreach_mul_(self._squares, second)
        torch._foreach_addcmul_(self._squares, gradients, gradients, 1 - second)
        deviations = torch._foreach_sqrt(self._squares)
        torch._foreach_div_(deviations, scale)
        torch._foreach_add_(deviations, self._epsilon)
        steps = torch._foreach_mul(self._means, -length)
        torch._foreach_addcdiv_(self.parameters, steps, deviations)


def optimizers_for(network: nn.Module, config: FitConfig) -> list[Muon | Adam]:
    """Make optimizers that together train each parameter of a network once.

    With 'muon', Adam trains biases, norms and the output layer, at a tenth of the rate.
    """
    parameters = list(network.parameters())
    if config.optimizer == "adam":
        return [Adam(parameters, config.learning_rate)]
    head = {id(parameter) for parameter in network.get_submodule("head").parameters()}
    kernels = [p for p in parameters if p.ndim == 4 and id(p) not in head]
    rest = [p for p in parameters if p.ndim != 4 or id(p) in head]
    return [Muon(kernels, config.learning_rate), Adam(rest, config.learning_rate / 10)]
