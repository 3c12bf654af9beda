"""Free memory, and the limits of containers."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from dip.machine import device, memory

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_returned_to_the_system() -> None:
    program = (
        "import numpy as np, psutil; from dip.machine.memory import release_freed_memory\n"
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


def test_free_memory_is_a_part_of_the_machines_memory() -> None:
    import psutil

    free_mb = memory.free_memory_mb(device.choose("cpu"))
    assert 0 < free_mb <= psutil.virtual_memory().total / 2**20


@pytest.mark.parametrize("name", LIMITS)
def test_the_limit_of_a_container_is_found(tmp_path: Path, name: str) -> None:
    groups, files, expected = LIMITS[name]
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups + "\n")
    for path, text in files.items():
        file = tmp_path / "sys/fs/cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    assert memory._cgroup_limit(tmp_path) == expected


def test_a_system_without_containers_has_no_limit(tmp_path: Path) -> None:
    assert memory._cgroup_limit(tmp_path) is None


def test_kills_for_lack_of_memory_are_forgotten_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(memory.time, "monotonic", lambda: now[0])
    kills = memory.OutOfMemoryKills(tmp_path)
    assert not kills.happened()  # no record at all
    (tmp_path / "proc").mkdir()
    record = tmp_path / "proc/vmstat"
    record.write_text("pgfault 9\noom_kill 5\nnuma_hit 1\n")
    kills = memory.OutOfMemoryKills(tmp_path)
    assert not kills.happened()
    record.write_text("pgfault 9\noom_kill 6\nnuma_hit 1\n")
    assert kills.happened()
    kills.mark()
    assert kills.happened()  # the process may take a moment to end
    for _ in range(2):
        now[0] += memory.FORGOTTEN_S + 1
        kills.mark()
    assert not kills.happened()
