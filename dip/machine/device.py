"""The device of a fit and its precision: CPU, CUDA or MPS.

torch is imported only inside functions, so that a process can prepare its environment first.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dip.errors import DeviceUnavailable

if TYPE_CHECKING:
    import torch

_ENVIRONMENT = {
    # Each iteration frees and allocates the same large buffers. By default glibc returns each one
    # to the system, and a new one costs a page fault per 4 KiB.
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
    # Otherwise each parallel fit keeps its own freed memory: 110 to 180 MB more.
    "MALLOC_ARENA_MAX": "1",
    # A thread that has finished its part spins before it sleeps. With another busy program on the
    # machine, the default spins away the time of the other threads: 22 times slower on two cores.
    # This number costs 4 % on a quiet machine, and limits the factor to 8.
    "GOMP_SPINCOUNT": "10000",
}


def environment_for_cpu() -> dict[str, str]:
    """Environment variables that a process needs before it starts, for fits on the CPU.

    Returns
    -------
    dict
        The variables that are missing from this process's environment.
    """
    return {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ}


@dataclass(frozen=True, kw_only=True)
class Compute:
    """A device and the precision of the convolutions on it.

    Parameters
    ----------
    device : torch.device
    low_precision : bool
        Convolutions in bfloat16; weights, loss and output stay in single precision.
    channels_last : bool
        Memory format of the activations.
    """

    device: torch.device
    low_precision: bool
    channels_last: bool

    @property
    def bytes_per_sample(self) -> int:
        """Size of one activation."""
        return 2 if self.low_precision else 4

    @property
    def read_every(self) -> int:
        """Iterations between two readings of the loss; on MPS a reading waits for the GPU."""
        return 10 if self.device.type == "mps" else 1

    @property
    def lag(self) -> int:
        """Number of steps that are queued on CUDA before their metrics are read."""
        return 2 if self.device.type == "cuda" else 0

    @property
    def records_steps(self) -> bool:
        """Whether a step is recorded once and replayed; see `dip.fitting.cuda_graphs`."""
        return self.device.type == "cuda"

    @property
    def low_compute(self) -> bool:
        """Whether convolutions take three to six times as long as elsewhere: CPU, float32."""
        return self.device.type == "cpu" and not self.low_precision

    def describe(self) -> str:
        """Device and precision, such as 'cpu, bfloat16'."""
        return f"{self.device}, {'bfloat16' if self.low_precision else 'float32'}"


def choose(name: str = "auto") -> Compute:
    """Choose a device and its precision.

    Parameters
    ----------
    name : str
        'auto' (CUDA, then MPS, then the CPU), 'cpu', 'cuda' or 'mps'.

    Raises
    ------
    DeviceUnavailable
        This machine lacks the device, or this torch was not built for it.
    """
    import torch

    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(each for each in ("cuda", "mps", "cpu") if available[each])
    if not available[name]:
        built = f"torch {torch.__version__}"
        raise DeviceUnavailable(
            f"The device {name!r} is not available ({built}).",
            "Use --device auto, or install a build of torch for it: "
            "./install.sh --torch-index URL.",
        )
    # bfloat16 convolutions are faster in hardware: 4 to 6 times on a CPU with AMX, 2 to 2.5 times
    # with AVX-512 BF16. Without either they are emulated, and slower than float32.
    low_precision = {
        "cuda": lambda: torch.cuda.is_bf16_supported(including_emulation=False),
        "mps": lambda: False,
        "cpu": has_bfloat16,
    }[name]()
    return Compute(
        device=torch.device(name), low_precision=low_precision, channels_last=low_precision
    )


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch raised this for lack of memory; only CUDA's allocator has its own type."""
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return True
    message = str(error)
    return any(
        each in message
        for each in ("out of memory", "ALLOC_FAILED", "DefaultCPUAllocator: can't allocate")
    )


def cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 numbers in hardware (AMX, or AVX-512 BF16)."""
    import torch

    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)


def find_gpus() -> list[str]:
    """Names of the CUDA devices for CUDA_VISIBLE_DEVICES; torch is loaded in a child process."""
    if sys.platform == "linux" and not any(
        Path(each).exists() for each in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
    ):
        return []
    if sys.platform == "darwin":
        return []
    code = "import torch; print(torch.cuda.device_count())"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    count = int(answer.stdout) if answer.returncode == 0 else 0
    visible = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]
    return visible[:count] if visible else [str(number) for number in range(count)]
