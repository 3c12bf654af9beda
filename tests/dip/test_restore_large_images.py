"""Restoration of large images: regions, and running out of memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from dip import region_fit
from dip.config import FitConfig, Settings
from dip.errors import NotEnoughMemory
from dip.fitting.fit import FitStep, begin_fit
from dip.fitting.memory import BASE_MB
from dip.machine import device
from dip.machine.device import Compute, choose, environment_for_cpu
from dip.region_fit import RegionFit
from dip.restore import Restoration, restore

QUICK = Settings(preset="fast", iterations=2)


def test_a_large_photo_with_a_scratch_costs_what_the_scratch_costs() -> None:
    image = np.zeros((2000, 3000, 3), dtype=np.uint8)
    mask = np.zeros((2000, 3000), dtype=bool)
    mask[1000:1003, 1400:1500] = True
    restoration = Restoration(image, mask, QUICK)
    assert sum(region.fitted_pixels for region in restoration.regions) < 25_000
    assert restoration.memory_mb < BASE_MB + 250


@pytest.fixture
def small_regions(regions_only: None, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"speck": 80_000, "thin": 18_000, "hole": 2_200, "scattered": 18_000}
    monkeypatch.setattr("dip.plan.max_pixels", lambda preset, low_compute: limits)


@pytest.mark.usefixtures("small_regions")
def test_a_long_scratch_is_fitted_in_tiles(photo: Any) -> None:
    image = np.tile(photo, (3, 5, 1))
    mask = np.zeros(image.shape[:2], dtype=bool)
    mask[60:90:4, 5:310] = True
    restoration = Restoration(image, mask, QUICK)
    assert len(restoration.regions) > 3
    list(restoration)
    result = restoration.result()
    np.testing.assert_array_equal(result[~mask], image[~mask])
    assert (result[mask] != image[mask]).any(axis=1).mean() > 0.9


@pytest.mark.usefixtures("small_regions")
@pytest.mark.parametrize("late", [0, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_the_order_in_which_tiles_are_complete_makes_no_difference(
    photo: Any, late: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.tile(photo, (3, 4, 1))
    mask = np.zeros(image.shape[:2], dtype=bool)
    mask[60:90:4, 5:250] = True
    settings = Settings(preset="fast", iterations=4, threads=2, texture=0)
    expected = restore(image, mask, settings)
    steps, begun = RegionFit.steps, []

    def one_late(fit: RegionFit, config: FitConfig) -> Iterator[FitStep]:
        begun.append(fit)
        is_late = begun.index(fit) == late
        for step in steps(fit, config):
            if is_late:
                time.sleep(0.1)
            yield step

    monkeypatch.setattr(RegionFit, "steps", one_late)
    np.testing.assert_array_equal(restore(image, mask, settings), expected)
    assert len(begun) > 1


@pytest.mark.usefixtures("small_regions")
def test_a_large_hole_is_filled_at_reduced_size_and_a_note_says_so(photo: Any) -> None:
    image = np.tile(photo, (3, 3, 1))
    mask = np.zeros(image.shape[:2], dtype=bool)
    mask[45:96, 60:126] = True
    restoration = Restoration(image, mask, replace(QUICK, texture=0.0))
    assert restoration.regions[0].reduction == 4
    assert "1/4" in restoration.notes[0]
    list(restoration)
    result = restoration.result()
    np.testing.assert_array_equal(result[~mask], image[~mask])
    assert (result[mask] != image[mask]).any(axis=1).mean() > 0.9


class FullGpu:
    """A fit on a GPU that has no room left after the first iteration."""

    def __init__(self, error: RuntimeError) -> None:
        self._error = error

    def __iter__(self) -> Iterator[FitStep]:
        yield FitStep(index=1, loss=1.0, validation_psnr_db=None, note=None)
        raise self._error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"),
    ],
)
def test_a_gpu_that_runs_out_of_memory_hands_over_to_the_cpu(
    photo: Any, mask: Any, monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    on_cpu = restore(photo, mask, replace(QUICK, device="cpu"))
    gpu = Compute(device=torch.device("cuda"), low_precision=False, channels_last=False)
    monkeypatch.setattr(device, "choose", lambda name: gpu if name == "auto" else choose(name))
    monkeypatch.setattr("dip.plan.free_memory_mb", lambda compute: 8000.0)
    monkeypatch.setattr(
        region_fit, "begin_fit", lambda *a, compute, **k: FullGpu(error) if compute is gpu
        else begin_fit(*a, compute=compute, **k),
    )  # fmt: skip
    restoration = Restoration(photo, mask, QUICK)
    notes = [step.note for step in restoration if step.note]
    assert notes == ["cuda ran out of memory; this region and the rest use the CPU"]
    np.testing.assert_array_equal(restoration.result(), on_cpu)


def test_running_out_of_memory_on_the_cpu_is_an_error_with_advice(
    photo: Any, mask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 GB")
    monkeypatch.setattr(region_fit, "begin_fit", lambda *a, **k: FullGpu(error))
    with pytest.raises(NotEnoughMemory, match=r"Memory ran out in a fit of .* megapixels"):
        restore(photo, mask, replace(QUICK, device="cpu"))


def test_other_errors_of_a_fit_are_not_taken_for_a_lack_of_memory(
    photo: Any, mask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(region_fit, "begin_fit", lambda *a, **k: FullGpu(RuntimeError("a fault")))
    with pytest.raises(RuntimeError, match="a fault"):
        restore(photo, mask, QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["unet", pytest.param("segnet", marks=pytest.mark.exhaustive)])
def test_the_predicted_memory_is_what_it_takes(network: str) -> None:
    program = (
        "import json, sys, numpy as np\n"
        "from dip.bench.worker import peak_memory_mb\n"
        "from dip.config import Settings\n"
        "from dip.restore import Restoration\n"
        "image = np.random.default_rng(0).integers(0, 255, (500, 700, 3), dtype=np.uint8)\n"
        "mask = np.zeros((500, 700), dtype=bool)\n"
        "mask[100:400:20, 50:650] = True\n"
        "job = Restoration(image, mask, Settings(network=sys.argv[1], iterations=1))\n"
        "list(job)\n"
        "print(json.dumps([job.memory_mb, peak_memory_mb()]))"
    )
    child = subprocess.run(
        [sys.executable, "-c", program, network],
        env={**os.environ, **environment_for_cpu()},
        stdout=subprocess.PIPE,
        check=True,
    )
    predicted, measured = json.loads(child.stdout)
    assert 0.6 < predicted / measured < 1.8


@pytest.mark.exhaustive
def test_a_hundred_thousand_specks_are_filled_within_the_predicted_memory() -> None:
    program = (
        "import json, numpy as np\n"
        "from dip.bench.worker import peak_memory_mb\n"
        "from dip.config import Settings\n"
        "from dip.restore import Restoration\n"
        "random = np.random.default_rng(0)\n"
        "image = random.integers(90, 110, (4000, 6000, 3), dtype=np.uint8)\n"
        "mask = np.zeros((4000, 6000), dtype=bool)\n"
        "for row, column in random.integers(0, (3997, 5997), (100_000, 2)):\n"
        "    mask[row : row + 3, column : column + 3] = True\n"
        "image[mask] = 255\n"
        "job = Restoration(image, mask, Settings(preset='fast', time_s=1))\n"
        "list(job)\n"
        "result = job.result_in_place()\n"
        "print(json.dumps([job.memory_mb, peak_memory_mb(), int(result[mask].max())]))"
    )
    child = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment_for_cpu()},
        stdout=subprocess.PIPE,
        check=True,
    )
    predicted, measured, brightest = json.loads(child.stdout)
    assert measured < 1.2 * predicted
    assert brightest < 130
