"""`dip networks` and `dip presets`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_networks_and_presets_are_listed(here: Run) -> None:
    listed = [line.split()[0] for line in here("networks").stdout.splitlines()]
    assert listed == ["unet", "segnet"]
    listed = [line.split()[0] for line in here("presets").stdout.splitlines()]
    assert listed == ["fast", "balanced", "best", "paper"]
