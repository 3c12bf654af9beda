"""Muon: orthogonal steps, and every parameter in one pair of hands."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dip import networks
from dip.config import FitConfig, NetworkConfig
from dip.optimizers import Muon, optimizers_for, orthogonalise


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 4, 40), (2, 40, 4), (1, 1, 9)])
def test_singular_values_are_brought_near_one(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrices))
    assert values.min() > 0.5
    assert values.max() < 1.4


def test_the_length_of_the_gradient_does_not_matter() -> None:
    matrices = torch.randn(2, 6, 30, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        orthogonalise(1000 * matrices), orthogonalise(matrices), rtol=1e-3, atol=1e-3
    )


def test_a_gradient_of_zero_moves_nothing() -> None:
    kernel = torch.nn.Parameter(torch.ones(4, 3, 3, 3))
    kernel.grad = torch.zeros_like(kernel)
    Muon([kernel], lr=0.1).step()
    assert torch.equal(kernel, torch.ones_like(kernel))


def test_kernels_of_one_shape_are_stepped_as_if_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = [torch.randn(4, 3, 3, 3, generator=generator) for _ in range(3)]
    together = [torch.nn.Parameter(torch.zeros(4, 3, 3, 3)) for _ in range(3)]
    alone = [torch.nn.Parameter(torch.zeros(4, 3, 3, 3)) for _ in range(3)]
    for kernel, gradient in zip([*together, *alone], 2 * gradients, strict=True):
        kernel.grad = gradient.clone()
    Muon(together, lr=0.1).step()
    for kernel in alone:
        Muon([kernel], lr=0.1).step()
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("optimizer", ["muon", "adam"])
def test_every_parameter_is_trained_once(optimizer: str) -> None:
    shape = NetworkConfig(channels=(8, 8), skip_channels=(4, 0))
    config = replace(FitConfig(network=shape, iterations=1), optimizer=optimizer)
    network = networks.build(
        shape, in_channels=2, out_channels=3, generator=torch.Generator().manual_seed(0)
    )
    trained = [
        id(parameter)
        for each in optimizers_for(network, config)
        for group in each.param_groups
        for parameter in group["params"]
    ]
    assert sorted(trained) == sorted(id(parameter) for parameter in network.parameters())


def test_the_loss_falls() -> None:
    torch.manual_seed(0)
    convolution = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
    image, wanted = torch.rand(1, 3, 16, 16), torch.rand(1, 8, 16, 16)
    optimizer = Muon(convolution.parameters(), lr=0.02)
    losses = []
    for _ in range(30):
        loss = (convolution(image) - wanted).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]
