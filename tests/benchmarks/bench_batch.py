"""Measure `dip batch`: `python tests/benchmarks/bench_batch.py` runs all measurements.

    throughput   one process against two, many small photos
    new          10 000 new small files with short fits: pace and memory over time
    files        10 000 small files without fits: time and memory, also of a rerun
    known        only a rerun over 10 000 files, in seconds instead of minutes
    cluster      1, 2 and 4 simulated workers, and the scheduler's cost per photo

The workers of `files` and `cluster` sleep as long as a fit would take, so that the scheduler and
the writer of results are measured, not the cores of this machine. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

from batch_archive import (
    NARROW,
    batch,
    check_status,
    customised,
    make_archive,
    records,
    sleeping,
    start,
)
from batch_cluster import measure_cluster

from dip.batch.pairing import list_photos

PHOTOS = 16
ITERATIONS = 12


# --- One machine --------------------------------------------------------------------------------


def measure_throughput(rounds: int) -> dict[str, Any]:
    """Compare one process with two; a smaller archive measures start-up, which is subtracted."""
    with tempfile.TemporaryDirectory() as place:
        small, large = Path(place, "small"), Path(place, "large")
        make_archive(small, 2)
        make_archive(large, 2 + PHOTOS)
        pace: dict[int, list[float]] = {1: [], 2: []}
        whole: dict[int, list[float]] = {1: [], 2: []}
        for number in range(rounds):
            for workers in (1, 2):
                taken = []
                for folder in (small, large):
                    options = ("--iterations", ITERATIONS, "--workers", workers)
                    ran = batch(folder, f"out{workers}-{number}", *options)
                    taken.append(ran["seconds"])
                pace[workers].append(PHOTOS / (taken[1] - taken[0]))
                whole[workers].append(taken[1])
        ratios = [two / one for one, two in zip(pace[1], pace[2], strict=True)]
        return {
            "photos_per_minute": {n: 60 * statistics.median(each) for n, each in pace.items()},
            "two_against_one": statistics.median(ratios),
            "with_start_up": statistics.median(whole[1]) / statistics.median(whole[2]),
            "ratios": ratios,
        }


# --- Many files ---------------------------------------------------------------------------------


def measure_files(count: int) -> dict[str, Any]:
    """Measure listing, headers, manifest and report over archives of two sizes, without fits."""
    figures = {}
    for size in (count // 10, count):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            make_archive(folder, size, side_px=32)
            first = batch(folder, "out", "--iterations", 1, "--workers", 2, **sleeping(folder, 0.0))
            again = batch(folder, "out", "--iterations", 1)
            assert len(records(folder, "out")) == size
            manifest = (folder / "out/manifest.jsonl").stat().st_size
            report = (folder / "out/report.html").stat().st_size
        figures[size] = {
            "all_new_s": first["seconds"],
            "all_new_ms_each": 1000 * first["seconds"] / size,
            "peak_mb": first["peak_mb"],
            "all_done_s": again["seconds"],
            "all_done_peak_mb": again["peak_mb"],
            "manifest_mb": manifest / 1e6,
            "report_mb": report / 1e6,
        }
    return figures


def measure_new(count: int) -> dict[str, Any]:
    """Measure pace and memory over the number of photos, for an archive of new photos.

    The memory is that of the batch's own process, without its workers, from /proc.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_archive(folder, count, side_px=32)
        manifest = folder / "out/manifest.jsonl"
        milestones = deque([1, *(count * tenth // 10 for tenth in range(1, 11))])
        on_the_way: list[dict[str, float]] = []
        options = ("--iterations", 1, "--workers", 1)
        environment = customised(folder, NARROW)
        done = place_in_manifest = 0
        peak_mb = 0.0
        with tempfile.TemporaryFile("w+") as log:
            began = time.perf_counter()
            child = start(folder, "out", options, log, environment)
            while child.poll() is None:
                time.sleep(0.2)
                now_mb, peak_mb = own_memory_mb(child.pid) or (0.0, peak_mb)
                if done < count and manifest.exists():
                    with manifest.open("rb") as file:
                        file.seek(place_in_manifest)
                        more = file.read()
                    place_in_manifest += len(more)
                    done += more.count(b"\n")
                if milestones and done >= milestones[0]:
                    milestones.popleft()
                    seconds = time.perf_counter() - began
                    on_the_way.append({"done": done, "seconds": seconds, "memory_mb": now_mb})
            seconds = time.perf_counter() - began
            check_status(child, log)
        assert [each["outcome"] for each in records(folder, "out")] == count * ["done"]
        fits_s = sum(each["seconds"] for each in records(folder, "out"))
        sizes_mb = {
            name: (folder / "out" / name).stat().st_size / 1e6
            for name in ("manifest.jsonl", "report.html")
        }
        again = batch(folder, "out", *options)
        began = time.process_time()
        list_photos(folder / "scans", folder / "out", masks=folder / "masks")
        listing_s = time.process_time() - began
        return {
            "seconds": seconds,
            "ms_each": 1000 * seconds / count,
            "ms_each_from_reading_to_written": 1000 * fits_s / count,
            "listing_and_first_s": on_the_way[0]["seconds"],
            "tidying_and_report_s": seconds - on_the_way[-1]["seconds"],
            "own_peak_mb": peak_mb,
            "on_the_way": on_the_way,
            "listing_cpu_s": listing_s,
            "again_s": again["seconds"],
            "again_cpu_s": again["cpu_s"],
            "again_peak_mb": again["peak_mb"],
            **sizes_mb,
        }


def own_memory_mb(pid: int) -> tuple[float, float] | None:
    """Current and peak memory of a process; None if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    held = dict(line.split(":", 1) for line in lines)
    if "VmRSS" not in held:
        return None
    return tuple(int(held[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))


def measure_known(count: int) -> dict[str, Any]:
    """Measure reruns over finished archives: listing, pairing, manifest and report.

    One photo is restored, and linked under the names of all others.
    """
    figures = {}
    for size in (count // 10, count):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            make_archive(folder, 1, side_px=32)
            batch(folder, "out", "--iterations", 1)
            (record,) = records(folder, "out")
            lines = []
            for number in range(1, size):
                for kind, suffix in (("scans", "jpg"), ("masks", "png"), ("out", "png")):
                    old = folder / kind / f"000/00000.{suffix}"
                    os.link(old, folder / kind / f"000/{number:05}.{suffix}")
                named = {"photo": f"000/{number:05}.jpg", "output": f"000/{number:05}.png"}
                lines.append(json.dumps({**record, **named}) + "\n")
            with (folder / "out/manifest.jsonl").open("a") as file:
                file.write("".join(lines))
            ran = batch(folder, "out", "--iterations", 1)
        figures[size] = {name: ran[name] for name in ("seconds", "cpu_s", "peak_mb")}
    return figures


MEASURES = {
    "throughput": lambda args: measure_throughput(args.rounds),
    "new": lambda args: measure_new(args.files),
    "files": lambda args: measure_files(args.files),
    "known": lambda args: measure_known(args.files),
    "cluster": lambda args: measure_cluster(args.photos),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measures", nargs="*", help=f"{', '.join(MEASURES)} (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--photos", type=int, default=30, help="for each simulated worker")
    args = parser.parse_args()
    if unknown := set(args.measures) - set(MEASURES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    found: dict[str, Any] = {"load_before": os.getloadavg()}
    for name in args.measures or MEASURES:
        found[name] = MEASURES[name](args)
        print(f"{name}: {json.dumps(found[name])}", file=sys.stderr, flush=True)
    found["load_after"] = os.getloadavg()
    found["peak_mb_of_this_script"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
