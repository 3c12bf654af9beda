"""Muon: orthogonal steps; Adam: torch's own; every parameter in one pair of hands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from dip.config import FitConfig, NetworkConfig
from dip.fitting import networks
from dip.fitting.optimizers import Adam, Muon, optimizers_for, orthogonalise


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 4, 40), (2, 40, 4), (1, 1, 9)])
def test_singular_values_are_brought_near_one(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrices))
    assert values.min() > 0.5
    assert values.max() < 1.4


def test_weak_directions_stay_as_strong_as_the_polynomial_makes_them() -> None:
    torch.manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(2, 16, 144), full_matrices=False)
    strengths = torch.logspace(0, -6, 16)
    expected = (strengths / strengths.norm()).double()
    for _ in range(5):
        expected = 3.4445 * expected - 4.7750 * expected**3 + 2.0315 * expected**5
    found = orthogonalise(left @ torch.diag(strengths) @ right)
    along = (left.mT @ found @ right.mT).diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(along, expected.float().expand(2, -1), atol=2e-3, rtol=0)


def test_the_length_of_the_gradient_does_not_matter() -> None:
    matrices = torch.randn(2, 6, 30, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        orthogonalise(1000 * matrices), orthogonalise(matrices), rtol=1e-3, atol=1e-3
    )


def test_a_gradient_of_zero_moves_nothing() -> None:
    kernel = torch.ones(4, 3, 3, 3)
    Muon([kernel], 0.1).step([torch.zeros_like(kernel)], (0.1,))
    assert torch.equal(kernel, torch.ones_like(kernel))


def test_kernels_of_one_shape_are_stepped_as_if_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(4, 3, 3, 3), (2, 3, 1, 1), (4, 3, 3, 3), (4, 3, 3, 3)]
    gradients = [torch.randn(shape, generator=generator) for shape in shapes]
    together, alone = ([torch.zeros(shape) for shape in shapes] for _ in range(2))
    Muon(together, 0.1).step(gradients, (0.1,))
    for kernel, gradient in zip(alone, gradients, strict=True):
        Muon([kernel], 0.1).step([gradient], (0.1,))
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.filterwarnings("ignore")  # from the imports of torch.optim
def test_adam_is_that_of_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    ours, theirs = (
        [torch.nn.Parameter(torch.ones(shape)) for shape in ((4, 3, 1, 1), (5,))] for _ in range(2)
    )
    adam, reference = Adam(ours, 0.02), torch.optim.Adam(theirs, lr=0.02)
    for count in range(1, 21):
        gradients = [torch.randn(each.shape, generator=generator) for each in ours]
        adam.step(gradients, adam.scalars(0.5, count))
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = gradient
        reference.param_groups[0]["lr"] = 0.01
        reference.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_scalars_can_be_tensors() -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = [torch.randn(4, 3, 3, 3, generator=generator) for _ in range(2)]
    for kind in (Muon, Adam):
        with_numbers, with_tensors = ([torch.ones(4, 3, 3, 3) for _ in range(2)] for _ in range(2))
        for kernels, turn in ((with_numbers, float), (with_tensors, torch.tensor)):
            optimizer = kind(kernels, 0.1)
            for count in (1, 2):
                numbers: Any = tuple(map(turn, optimizer.scalars(1.0, count)))
                optimizer.step(gradients, numbers)
        for one, other in zip(with_numbers, with_tensors, strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("optimizer", ["muon", "adam"])
def test_every_parameter_is_trained_once(optimizer: str) -> None:
    shape = NetworkConfig(channels=(8, 8), skip_channels=(4, 0))
    config = replace(FitConfig(network=shape, iterations=1), optimizer=optimizer)
    network = networks.build(
        shape, in_channels=2, out_channels=3, generator=torch.Generator().manual_seed(0)
    )
    trained = [
        id(parameter) for each in optimizers_for(network, config) for parameter in each.parameters
    ]
    assert sorted(trained) == sorted(id(parameter) for parameter in network.parameters())


def test_the_loss_falls() -> None:
    torch.manual_seed(0)
    convolution = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
    image, wanted = torch.rand(1, 3, 16, 16), torch.rand(1, 8, 16, 16)
    optimizer = Muon(convolution.parameters(), 0.02)
    losses = []
    for count in range(1, 31):
        loss = (convolution(image) - wanted).square().mean()
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, optimizer.parameters)
        optimizer.step(list(gradients), optimizer.scalars(1.0, count))
    assert losses[-1] < 0.5 * losses[0]
