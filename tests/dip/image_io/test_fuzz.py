"""Mutated files of each format, in a process of their own: results or refusals, nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tifffile
from further_formats import FURTHER
from infrared_scans import KINDS as INFRARED
from tagged_photos import make, samples

SECONDS = 5
EXHAUSTIVE_SECONDS = 600
KINDS = (
    "strips_uint8", "tiles_uint16", "planar_uint8", "big_uint16", "motorola_uint16",
    "strips_float32", "pages", "png_uint8", "png_uint16", "png_palette",
    "jpeg", "jpeg_gray", "webp",
)  # fmt: skip


@pytest.mark.slow
def test_mutated_files_end_as_results_or_refusals(tmp_path: Path, exhaustive: bool) -> None:
    originals = tmp_path / "originals"
    originals.mkdir()
    make(originals, KINDS)
    for suffix, encode in FURTHER.items():
        (originals / f"photo.{suffix}").write_bytes(encode(samples("uint8")))
    for compression in ("zstd", "jpegxl", "lzma"):
        path = originals / f"{compression}.tif"
        tifffile.imwrite(path, samples("uint16"), photometric="rgb", compression=compression)
    for kind in ("rgbi", "hdri", "dng"):
        INFRARED[kind](originals / f"{kind}.tif", samples("uint16"), samples("uint16", 1))
    seconds = EXHAUSTIVE_SECONDS if exhaustive else SECONDS
    case = tmp_path / "case"
    child = subprocess.run(
        [sys.executable, Path(__file__).with_name("fuzz.py"), str(seconds), "1", originals],
        env={**os.environ, "DIP_FUZZ_CASE": str(case)},
        capture_output=True,
        text=True,
        timeout=seconds + 120,  # a case that hangs
        check=False,
    )
    assert child.returncode in (0, 1), f"{case} ended the process: {child.stderr[-2000:]}"
    report = json.loads(child.stdout)
    print(report)
    assert not report["faults"], f"{tmp_path}/fault_*: {report['faults']}"
    assert report["slowest_s"] < 30
    assert report["result"] > 10
    assert report["refused"] > 10
