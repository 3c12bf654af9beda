"""Both networks: any size, any number of channels, and the properties of each."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dip.config import NETWORKS, NetworkConfig
from dip.fitting import networks
from dip.fitting.networks.blocks import BatchNorm, Conv, interpolate
from dip.fitting.networks.segnet import unpool

SMALL = {
    "unet": NetworkConfig(channels=(8, 8, 12, 12, 12), skip_channels=(0, 4, 0, 4, 0)),
    "segnet": NetworkConfig(name="segnet", channels=(8, 8, 12, 12, 12)),
}


def build(
    config: NetworkConfig, seed: int = 0, channels: int = 3, colour: Tensor | None = None
) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    return networks.build(
        config, in_channels=4, out_channels=channels, generator=generator, colour=colour
    )


def test_every_network_can_be_built() -> None:
    assert set(SMALL) == set(NETWORKS)


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (64, 64), (65, 97), (16, 130), (33, 200)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_any_size_and_number_of_channels_comes_back(
    name: str, channels: int, size: tuple[int, int]
) -> None:
    code = torch.rand(1, 4, *size, generator=torch.Generator().manual_seed(0))
    image = build(SMALL[name], channels=channels)(code)
    assert image.shape == (1, channels, *size)
    assert image.dtype == torch.float32
    assert 0 <= image.min() <= image.max() <= 1


@pytest.mark.parametrize(
    "config",
    [
        NetworkConfig(channels=(8,) * 6, skip_channels=(0,) * 6, kernel_down=5, padding="reflect"),
        NetworkConfig(channels=(8,), skip_channels=(8,), upsampling="nearest"),
        NetworkConfig(channels=(8, 16), skip_channels=(0, 4), reduce_first=True),
        NetworkConfig(channels=(8, 16), skip_channels=(4, 0), shuffle_channels=4),
        NetworkConfig(channels=(8,), skip_channels=(0,), shuffle_channels=4, reduce_first=True),
        NetworkConfig(channels=(8, 8), skip_channels=(4, 4), kernel_up=5, padding="reflect"),
        NetworkConfig(name="segnet", channels=(8, 8), convolutions=(1, 2), padding="reflect"),
    ],
)
def test_depth_kernels_and_padding_are_configuration(config: NetworkConfig) -> None:
    assert build(config)(torch.rand(1, 4, 35, 52)).shape == (1, 3, 35, 52)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_correction_begins_with_the_image_in_its_input(name: str) -> None:
    code = torch.rand(1, 4, 33, 50, generator=torch.Generator().manual_seed(0))
    network = build(replace(SMALL[name], correction=True))
    torch.testing.assert_close(network(code), code[:, :3])
    with torch.no_grad():
        network.get_submodule("head").convolution.bias += 1
    assert (network(code) > code[:, :3]).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_initial_image_is_near_the_requested_colour(name: str) -> None:
    red = torch.tensor([0.8, 0.2, 0.0])
    image = build(SMALL[name], colour=red)(torch.rand(1, 4, 48, 64))
    mean = image.mean((0, 2, 3))
    assert torch.allclose(mean, red, atol=0.15)
    assert image[0, 2].min() > 0  # black, and not so black that no gradient is left
    corrected = replace(SMALL[name], correction=True)
    code = torch.rand(1, 4, 48, 64)
    assert torch.equal(build(corrected, colour=red)(code), code[:, :3])


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_depend_on_the_seed_alone(name: str) -> None:
    before = torch.get_rng_state()
    first, again, other = (build(SMALL[name], seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    pairs = list(zip(first.parameters(), again.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert any(
        not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True)
    )


def test_values_are_unpooled_to_where_the_maxima_were() -> None:
    image = torch.tensor([[[[1.0, 5, 2], [3, 4, 9], [8, 7, 6]]]])
    pooled, indices = F.max_pool2d(image, 2, ceil_mode=True, return_indices=True)
    assert pooled.flatten().tolist() == [5, 9, 8, 6]
    back = unpool(torch.tensor([[[[10.0, 20], [30, 40]]]]), indices, (3, 3))
    assert back.tolist() == [[[[0, 10, 0], [0, 0, 20], [30, 0, 40]]]]


def test_segnet_hands_its_pooling_indices_to_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    network, code = build(SMALL["segnet"]), torch.rand(1, 4, 32, 32)
    with torch.no_grad():
        image = network(code)
        pool = F.max_pool2d

        def pool_elsewhere(x: torch.Tensor, *given: object, **named: object) -> object:
            pooled, indices = pool(x, *given, **named)  # type: ignore[arg-type]
            return pooled, indices.flip(2).flip(3)

        monkeypatch.setattr(F, "max_pool2d", pool_elsewhere)
        assert not torch.allclose(network(code), image, atol=1e-3)


def test_a_skip_passes_detail_past_the_bottleneck() -> None:
    code = torch.zeros(1, 4, 64, 64)
    code[0, :, 32, 32] = 1
    changed = {}
    for skips in ((0,) * 5, (4,) * 5):
        network = build(NetworkConfig(channels=(8,) * 5, skip_channels=skips))
        weights = [p for name, p in network.named_parameters() if ".skip." in name]
        changed[skips[0]] = len(weights)
    assert changed[0] == 0
    assert changed[4] > 0


@pytest.mark.parametrize("size", [(5, 7), (1, 3), (1, 1), (130, 20)])
def test_faster_kernels_compute_what_those_of_torch_do(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 16, *size, requires_grad=True)
    conv = Conv(16, 3, 1)
    sparse = Conv(16, 3, 1, stride=2)
    norm = BatchNorm(16)
    nn.init.normal_(norm.weight)
    wanted = (2 * size[0] - 1, 2 * size[1])
    pairs = {
        "convolution": (conv(x), F.conv2d(x, conv.weight, conv.bias)),
        "every other pixel": (sparse(x), F.conv2d(x, sparse.weight, sparse.bias, stride=2)),
        "interpolation": (interpolate(x, *wanted), F.interpolate(x, wanted, mode="bilinear")),
    }
    if size != (1, 1):  # a single pixel is not normalised
        by_torch = F.batch_norm(x, None, None, norm.weight, norm.bias, training=True)
        pairs["norm"] = (norm(x), by_torch)
    for name, (ours, theirs) in pairs.items():
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4, msg=name)
        (slope,) = torch.autograd.grad(ours.square().sum(), x, retain_graph=True)
        (expected,) = torch.autograd.grad(theirs.square().sum(), x, retain_graph=True)
        torch.testing.assert_close(slope, expected, atol=1e-4, rtol=1e-3, msg=name)
