"""Devices, their precision, and the memory of fits."""

from __future__ import annotations

import os

import pytest
import torch

from dip.config import NETWORKS
from dip.errors import DeviceUnavailable
from dip.fitting import memory
from dip.machine import device
from dip.presets import recipe


def test_the_cpu_is_always_available() -> None:
    compute = device.choose("cpu")
    assert compute.device.type == "cpu"
    assert compute.low_precision == device.has_bfloat16()
    assert "cpu" in compute.describe()


@pytest.mark.parametrize(
    ("amx", "avx512_bf16"), [(False, False), (True, False), (False, True), (True, True)]
)
def test_bfloat16_is_used_if_the_cpu_has_it_in_hardware(
    monkeypatch: pytest.MonkeyPatch, amx: bool, avx512_bf16: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16, raising=False)
    assert device.choose("cpu").low_precision == (amx or avx512_bf16)


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_an_unavailable_device_is_refused_by_name(name: str) -> None:
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if present[name]:
        pytest.skip(f"{name} is there")
    with pytest.raises(DeviceUnavailable, match=name) as caught:
        device.choose(name)
    assert "--device auto" in caught.value.hint


def test_the_best_device_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert device.choose("auto").device.type == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert device.choose("auto").device.type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **given: True)
    chosen = device.choose("auto")
    assert (chosen.device.type, chosen.low_precision, chosen.channels_last) == ("cuda", True, True)


def test_only_missing_variables_are_returned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in device.environment_for_cpu():
        monkeypatch.setenv(name, "1")
    assert device.environment_for_cpu() == {}
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_")
    assert list(device.environment_for_cpu()) == ["MALLOC_TRIM_THRESHOLD_"]


def test_cores_are_those_available_to_this_process() -> None:
    assert 1 <= device.cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("network", NETWORKS)
def test_memory_grows_with_the_region_and_the_largest_region_fits(network: str) -> None:
    compute, config = device.choose("cpu"), recipe("balanced", network, "thin")
    small, large = (memory.peak_mb(px, config, 3, compute) for px in (10**5, 10**6))
    assert small < large < 20 * small
    most = memory.max_pixels(2000, config, 3, compute)
    assert memory.peak_mb(most, config, 3, compute) <= 2000
    assert memory.peak_mb(most + 1000, config, 3, compute) > 2000
    assert memory.max_pixels(10, config, 3, compute) == 0


def test_half_precision_takes_less_memory() -> None:
    config = recipe("balanced", "unet", "thin")
    wide, narrow = (
        device.Compute(device=torch.device("cpu"), low_precision=low, channels_last=low)
        for low in (False, True)
    )
    assert memory.peak_mb(10**6, config, 3, narrow) < 0.7 * memory.peak_mb(10**6, config, 3, wide)
