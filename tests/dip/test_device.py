"""Where it runs, and what it may take."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dip import device, memory
from dip.config import NETWORKS
from dip.errors import DeviceUnavailable
from dip.presets import recipe


def test_the_cpu_is_always_there() -> None:
    compute = device.choose("cpu")
    assert compute.device.type == "cpu"
    assert compute.low_precision == device.has_bfloat16()
    assert "cpu" in compute.describe()


@pytest.mark.parametrize(
    ("amx", "avx512_bf16"), [(False, False), (True, False), (False, True), (True, True)]
)
def test_bfloat16_is_used_where_the_cpu_has_it_in_hardware(
    monkeypatch: pytest.MonkeyPatch, amx: bool, avx512_bf16: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16, raising=False)
    assert device.choose("cpu").low_precision == (amx or avx512_bf16)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_memory_that_was_freed_can_be_given_back() -> None:
    program = (
        "import numpy as np, psutil; from dip.device import release_freed_memory\n"
        "held = lambda: psutil.Process().memory_info().rss / 1e6\n"
        "large, small = np.ones(200_000_000, np.uint8), np.ones(1000, np.uint8)\n"
        "del large; before = held(); release_freed_memory(); print(before - held())"
    )
    child = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **device.environment_for_cpu()},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert float(child.stdout) > 150


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_named(name: str) -> None:
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


def test_the_environment_is_asked_for_only_where_it_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in device.environment_for_cpu():
        monkeypatch.setenv(name, "1")
    assert device.environment_for_cpu() == {}
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_")
    assert list(device.environment_for_cpu()) == ["MALLOC_TRIM_THRESHOLD_"]


def test_free_memory_is_some_of_this_machine() -> None:
    import psutil

    free_mb = device.free_memory_mb(device.choose("cpu"))
    assert 0 < free_mb <= psutil.virtual_memory().total / 2**20


NO_LIMIT = "9223372036854771712"
LIMITS: dict[str, tuple[str, dict[str, str], int | None]] = {
    "version 2": ("0::/app", {"app/memory.max": "1000"}, 1000),
    "no limit": ("0::/app", {"app/memory.max": "max"}, None),
    "the limit of an outer group": (
        "0::/a/b/c",
        {"a/memory.max": "2000", "a/b/memory.max": "3000", "a/b/c/memory.max": "max"},
        2000,
    ),
    "the limit of an inner group": (
        "0::/a/b", {"a/memory.max": "2000", "a/b/memory.max": "1000"}, 1000,
    ),
    "seen from inside": ("0::/", {"memory.max": "1000"}, 1000),
    "the path of the outside": ("0::/../docker/1f", {"memory.max": "1000"}, 1000),
    "version 1": (
        "5:cpu,cpuacct:/other\n4:memory:/user/app",
        {
            "memory/user/app/memory.limit_in_bytes": "1000",
            "memory/user/memory.limit_in_bytes": "5000",
            "memory/memory.limit_in_bytes": NO_LIMIT,
        },
        1000,
    ),
    "version 1 from inside": (
        "4:memory:/docker/1f\n0::/docker/1f", {"memory/memory.limit_in_bytes": "1000"}, 1000,
    ),
    "version 1 without limit": ("4:memory:/", {"memory/memory.limit_in_bytes": NO_LIMIT}, None),
    "another group's limit": ("0::/a", {"b/memory.max": "1000"}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", LIMITS)
def test_the_limit_of_a_container_is_found(tmp_path: Path, name: str) -> None:
    groups, files, expected = LIMITS[name]
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups + "\n")
    for path, text in files.items():
        file = tmp_path / "sys/fs/cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    assert device._cgroup_limit(tmp_path) == expected


def test_a_system_without_containers_has_no_limit(tmp_path: Path) -> None:
    assert device._cgroup_limit(tmp_path) is None


def test_cores_are_those_this_process_may_use() -> None:
    assert 1 <= device.cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("network", NETWORKS)
def test_memory_grows_with_the_region_and_the_largest_region_fits(network: str) -> None:
    compute, config = device.choose("cpu"), recipe("balanced", network, "thin")
    small, large = (memory.peak_mb(px, config, 3, compute) for px in (10**5, 10**6))
    assert small < large < 20 * small
    most = memory.most_pixels(2000, config, 3, compute)
    assert memory.peak_mb(most, config, 3, compute) <= 2000
    assert memory.peak_mb(most + 1000, config, 3, compute) > 2000
    assert memory.most_pixels(10, config, 3, compute) == 0


def test_half_precision_takes_less() -> None:
    config = recipe("balanced", "unet", "thin")
    wide, narrow = (
        device.Compute(device=torch.device("cpu"), low_precision=low, channels_last=low)
        for low in (False, True)
    )
    assert memory.peak_mb(10**6, config, 3, narrow) < 0.7 * memory.peak_mb(10**6, config, 3, wide)
