"""One measured restoration in its own process: `python -m dip.bench.worker`.

It needs its own process because peak memory is that of a process, start-up time counts, and the
C library's allocator is set up before a process starts. Standard output is one JSON object: the
figures, or the error. The process exits when its standard input closes: then its parent has ended.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dip.errors import DipError
from dip.machine.parent_pipe import EXIT_ORPHANED

RESULT = "result.png"
RECONSTRUCTION = "reconstruction.npy"
SMOOTH = "smooth.npy"
PREVIEWS = "previews.npz"
PREVIEWS_FOR_S = 10.0
PREVIEWS_AFTER = (1, 2, 3, 5, 8, 12, 18, 27, 40, 60)
"""Iterations whose previews are kept for scoring; only a few, since each takes time."""


def main() -> int:
    """Restore one picture, write result and reconstruction, and print the figures."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", type=Path)
    parser.add_argument("mask", type=Path)
    parser.add_argument("folder", type=Path, help="folder for the results")
    parser.add_argument("settings", type=json.loads, help="JSON object")
    args = parser.parse_args()
    try:
        print(json.dumps(restore(args.photo, args.mask, args.folder, args.settings)))
    except DipError as error:
        failure = {"code": error.code, "message": error.message, "hint": error.hint}
        print(json.dumps({"error": failure}))
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    return 0


def restore(photo: Path, mask: Path, folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Restore as `dip restore` does, and measure it."""
    import numpy as np

    from dip.config import Settings
    from dip.filling.smooth_preview import smooth_preview
    from dip.image_io import read_mask, read_photo, write_photo
    from dip.regions.preview import Preview

    damaged, marked = read_photo(photo), read_mask(mask)
    previews: dict[str, Any] = {}

    def keep(preview: Preview) -> None:
        box = preview.box
        # Seconds since the epoch, which the parent process can compare with its own.
        key = f"{time.time():.3f} {box.top} {box.left} {box.height} {box.width}"
        previews[key] = preview.pixels

    keep(smooth_preview(damaged.pixels, marked))  # before torch, which takes seconds to load

    from dip.restore import Restoration

    restoration = Restoration(
        damaged.pixels, marked, Settings.from_mapping(settings), keep_reconstruction=True
    )
    steps = 0
    first_s = loss = validation_psnr_db = None
    notes = list(restoration.notes)
    began = time.perf_counter()
    for step in restoration:
        steps = step.iteration
        first_s = first_s or time.perf_counter() - began
        if steps in PREVIEWS_AFTER and time.perf_counter() - began < PREVIEWS_FOR_S:
            keep(restoration.preview())
        loss = loss if step.loss is None else step.loss
        if step.validation_psnr_db is not None:
            validation_psnr_db = step.validation_psnr_db
        if step.note:
            notes.append(step.note)
    result = restoration.result_in_place()
    fit_seconds = time.perf_counter() - began
    write_photo(folder / RESULT, result, like=damaged)
    np.save(folder / RECONSTRUCTION, restoration.reconstruction())
    np.save(folder / SMOOTH, restoration.smooth())
    np.savez(folder / PREVIEWS, **previews)
    device, peak_gpu_mb = _device()
    return {
        "iterations": steps,
        "fit_seconds": fit_seconds,
        "first_step_seconds": first_s,
        "seconds_per_iteration": fit_seconds / max(1, steps),
        "loss": loss,
        "validation_psnr_db": validation_psnr_db,
        "regions": len(restoration.regions),
        "notes": notes,
        "predicted_memory_mb": restoration.memory_mb,
        "peak_memory_mb": peak_memory_mb(),
        "peak_gpu_memory_mb": peak_gpu_mb,
        "device": device,
        "threads": _threads(),
    }


def read_previews(folder: Path) -> Iterator[tuple[float, tuple[slice, slice], Any]]:
    """Yield the previews of `restore`: seconds since the epoch, index of the box, pixels."""
    import numpy as np

    with np.load(folder / PREVIEWS) as previews:
        for key in previews.files:
            at_s, *edges = key.split()
            top, left, height, width = map(int, edges)
            index = slice(top, top + height), slice(left, left + width)
            yield float(at_s), index, previews[key]


def _exit_with_parent() -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock would make an exit of this process fail
        pass
    os._exit(EXIT_ORPHANED)


def peak_memory_mb() -> float | None:
    """Return the peak memory of this process, in MB of 10^6 bytes; None where it is unknown."""
    try:
        # Not getrusage: on Linux its figure includes the parent's memory at the fork.
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def _device() -> tuple[str, float | None]:
    """Return the kind of device that was used, and the peak of its memory, in MB."""
    import torch

    if torch.cuda.is_initialized():
        return "cuda", torch.cuda.max_memory_reserved() / 1e6
    if torch.backends.mps.is_available() and torch.mps.driver_allocated_memory() > 0:
        return "mps", torch.mps.driver_allocated_memory() / 1e6
    return "cpu", None


def _threads() -> int:
    import torch

    return torch.get_num_threads()


if __name__ == "__main__":
    sys.exit(main())
