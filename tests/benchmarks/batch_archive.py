"""Archives of photos and runs of `dip batch` over them, for the benchmarks of batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from dip.image_io import write_photo

SIDE_PX = 160
SLEEP_S = 0.5

# Replaces a fit on a simulated worker by a sleep; files are still sent, and still encoded.
SLEEPING = f"""
import sys
if "dip.batch.fit_worker" in sys.orig_argv:
    import time
    class Planned:
        memory_mb, iterations, regions, notes = 400.0, 1, (1,), ()
        def __init__(self, pixels, mask, settings): self.pixels = pixels
        def __iter__(self):
            time.sleep({SLEEP_S})
            return iter(())
        def result(self): return self.pixels
    import dip.restore
    dip.restore.Restoration = Planned
"""

# A network of two narrow scales, so that 10 000 real fits take minutes.
NARROW = """
import sys
if "dip.batch.fit_worker" in sys.orig_argv:
    from dataclasses import replace
    import dip.presets as presets
    recipe = presets.recipe
    def narrow(*args, **options):
        config = recipe(*args, **options)
        shape = replace(config.network, channels=(8, 8), skip_channels=(4, 4))
        return replace(config, network=shape)
    presets.recipe = narrow
"""


def make_archive(folder: Path, count: int, side_px: int = SIDE_PX) -> None:
    """Write photos with a scratch and their masks, a hundred per sub-folder."""
    y, x = np.mgrid[:side_px, :side_px] / side_px
    for number in range(count):
        chance = np.random.default_rng(number)
        planes = [0.2 + 0.6 * x, 0.8 - 0.5 * y, np.where(x + y > 0.8, 0.7, 0.3)]
        noise = chance.normal(0, 0.02, (side_px, side_px, 3))
        pixels = np.rint(255 * np.clip(np.stack(planes, -1) + noise, 0, 1)).astype(np.uint8)
        mask = np.zeros((side_px, side_px), np.uint8)
        top = int(chance.integers(4, side_px - 8))
        mask[top : top + 3, 4:-4] = 255
        place = f"{number // 100:03}"
        for kind, samples, suffix in (("scans", pixels, "jpg"), ("masks", mask, "png")):
            (folder / kind / place).mkdir(parents=True, exist_ok=True)
            write_photo(folder / kind / place / f"{number:05}.{suffix}", samples)


def batch(folder: Path, output: str, *options: object, **environment: str) -> dict[str, float]:
    """Run a batch; return its seconds, and the peak memory of it or of a child process, MB."""
    with tempfile.TemporaryFile("w+") as log:
        began = time.perf_counter()
        child = start(folder, output, options, log, environment)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        check_status(child, log)
    cpu_s = usage.ru_utime + usage.ru_stime
    return {"seconds": seconds, "peak_mb": usage.ru_maxrss / 1024, "cpu_s": cpu_s}


def start(
    folder: Path, output: str, options: Sequence[object], log: IO[str], environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dip", "batch", "scans", "--masks", "masks", "-o", output]
    options = ("--device", "cpu", "--quiet", *options)
    return subprocess.Popen(
        [*command, *map(str, options)],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=log,
        stderr=log,
    )


def check_status(child: subprocess.Popen[bytes], log: IO[str]) -> None:
    """Exit if a batch failed."""
    if child.returncode != 0:
        log.seek(0)
        raise SystemExit(f"the batch ended with {child.returncode}:\n{log.read()}")


def records(folder: Path, output: str) -> list[dict[str, Any]]:
    lines = (folder / output / "manifest.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def sleeping(folder: Path, seconds: float) -> dict[str, str]:
    return customised(folder, SLEEPING.replace(f"time.sleep({SLEEP_S})", f"time.sleep({seconds})"))


def customised(folder: Path, code: str) -> dict[str, str]:
    """An environment in which each Python process runs this code first."""
    place = folder / "custom"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(code)
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(place), before)))}
