"""`dip doctor`: checks of this machine and of the installation, with advice for each problem.

Each check is a function that returns one `Finding`; `CHECKS` lists them in printed order. An
unexpected exception in a check is a finding too.
"""

import argparse
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from dip import __version__
from dip.errors import DipError
from dip.machine.device import cores, has_bfloat16

PACKAGES = ("numpy", "scipy", "pillow", "scikit-image", "pyvips", "psutil")
LITTLE_MEMORY_MB = 2000
FAULTS_WITHOUT_REUSE = 1000


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Parameters
    ----------
    status : {"ok", "warn", "fail"}
        `warn`: restoring works, but slower or with less than possible. `fail`: it will not work.
    seen : str
        The observation.
    advice : str
        The remedy.
    """

    status: Literal["ok", "warn", "fail"]
    seen: str
    advice: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare no options."""


def run(args: argparse.Namespace) -> int:
    """Print one line for each check; return 1 if a check failed, else 0."""
    worst = 0
    for name, check in CHECKS.items():
        finding = examine(check)
        print(f"{finding.status:<5} {name:<10} {finding.seen}")
        if finding.advice:
            print(f"{'':<16} -> {finding.advice}")
        worst |= finding.status == "fail"
    return worst


def examine(check: Callable[[], Finding]) -> Finding:
    """Run one check, and turn an exception into a finding."""
    try:
        return check()
    except DipError as error:
        return Finding("fail", error.message, error.hint)
    except Exception as error:
        # The other checks still run.
        advice = "Run ./install.sh again; it repairs what it can."
        return Finding("fail", f"{type(error).__name__}: {error}", advice)


# --- The checks ---------------------------------------------------------------------------------


def check_dip() -> Finding:
    return Finding(
        "ok",
        f"{__version__}, Python {platform.python_version()} on {platform.platform(terse=True)}",
    )


def check_packages() -> Finding:
    found, missing = [], []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    if missing:
        return Finding("fail", f"missing: {', '.join(missing)}", "Run ./install.sh again.")
    return Finding("ok", ", ".join(found))


def check_images() -> Finding:
    import numpy as np

    from dip.image_io import read_photo, write_photo

    samples = np.arange(64 * 64 * 3, dtype=np.uint16).reshape(64, 64, 3)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sixteen_bits.png"
        write_photo(path, samples)
        intact = np.array_equal(read_photo(path).pixels, samples)
    if not intact:
        return Finding("fail", "16-bit colour changes when written and read", "Reinstall pyvips.")
    return Finding("ok", "16-bit colour survives writing and reading")


def check_torch() -> Finding:
    import torch

    build = "CPU only"
    if torch.version.cuda:
        build = f"CUDA {torch.version.cuda}"
    elif torch.version.hip:
        build = f"ROCm {torch.version.hip}"
    seen = f"{torch.__version__} ({build})"
    if build == "CPU only" and shutil.which("nvidia-smi"):
        return Finding(
            "warn",
            f"{seen}, and this machine seems to have an NVIDIA GPU",
            "Run ./install.sh --torch-index URL with a CUDA index to use it.",
        )
    return Finding("ok", seen)


def check_devices() -> Finding:
    import torch

    names = ["cpu"]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            names.append(f"cuda {properties.name} {properties.total_memory / 2**30:.0f} GiB")
    elif torch.version.cuda:
        return Finding(
            "warn",
            "cpu only, though PyTorch is built for CUDA",
            "Check the NVIDIA driver with nvidia-smi; without a GPU nothing needs to be done.",
        )
    if torch.backends.mps.is_available():
        names.append("mps")
    return Finding("ok", ", ".join(names))


def check_processor() -> Finding:
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    features = [capability]
    if has_bfloat16():
        features.append("bfloat16 in hardware")
    used = f"{cores()} cores usable, {torch.get_num_threads()} threads, {' '.join(features)}"
    if platform.machine().lower() in {"x86_64", "amd64"} and capability in {"DEFAULT", "NO AVX"}:
        return Finding("warn", used, "Without AVX2 a fit takes several times as long.")
    return Finding("ok", used)


def check_memory() -> Finding:
    from dip.machine.device import choose
    from dip.machine.memory import free_memory_mb

    free = free_memory_mb(choose())
    if free < LITTLE_MEMORY_MB:
        return Finding(
            "warn", f"{free:.0f} MB free", "Close other programs; a large fit needs more."
        )
    return Finding("ok", f"{free:.0f} MB free")


def check_allocator() -> Finding:
    """Count page faults, which occur if freed buffers are not reused."""
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return Finding("ok", "no set-up needed on this system")
    import resource

    import torch

    def touch_buffers() -> None:
        for _ in range(4):
            torch.ones(8 * 2**20).add_(1)  # 32 MiB

    for _ in range(3):  # until the heap stops growing
        touch_buffers()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    touch_buffers()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    if faults > FAULTS_WITHOUT_REUSE:
        return Finding(
            "warn",
            f"large buffers are not reused ({faults} page faults): fits take 50 % longer",
            "Is MALLOC_MMAP_THRESHOLD_ or LD_PRELOAD set in this shell? Unset it.",
        )
    return Finding("ok", f"large buffers are reused ({faults} page faults)")


def check_fit() -> Finding:
    import numpy as np

    from dip.config import Settings
    from dip.restore import Restoration

    ramp = np.linspace(0, 255, 64, dtype=np.uint8)
    image = np.stack([np.tile(ramp, (64, 1)), np.tile(ramp[:, None], (1, 64))], axis=-1)
    image = np.concatenate([image, image[..., :1]], axis=-1)
    mask = np.zeros((64, 64), dtype=bool)
    mask[28:36, 16:48] = True
    restoration = Restoration(image, mask, Settings(preset="fast", iterations=10))
    began = time.monotonic()
    steps = sum(1 for _ in restoration)
    rate = steps / (time.monotonic() - began)
    result = restoration.result()
    if not np.array_equal(result[~mask], image[~mask]):
        return Finding("fail", "a small fit changed pixels outside the mask", "Please report this.")
    return Finding("ok", f"a small fit works: {rate:.0f} iterations per second at 64x64")


CHECKS: dict[str, Callable[[], Finding]] = {
    "dip": check_dip,
    "packages": check_packages,
    "images": check_images,
    "torch": check_torch,
    "devices": check_devices,
    "processor": check_processor,
    "memory": check_memory,
    "allocator": check_allocator,
    "fit": check_fit,
}
