"""Measures `dip batch`: `python tests/benchmarks/bench_batch.py` does everything.

    throughput   one process against two, many small photos
    new          10 000 new small files, each fitted, if briefly: pace and memory on the way
    files        10 000 small files, nothing computed: time and memory, of a rerun as well
    known        a rerun over 10 000 files alone, in seconds instead of minutes
    cluster      1, 2 and 4 simulated workers, and what the scheduler costs per photo

The workers of `files` and `cluster` do not compute: each sleeps as long as a fit would take, so
that the scheduler and the desk are measured, not the cores of this machine. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from dip.batch.pairing import list_photos
from dip.image_io import write_photo

SIDE_PX = 160
PHOTOS = 16
ITERATIONS = 12
SLEEP_S = 0.5

# What stands in for a fit on a simulated worker; the files still travel, and are still encoded.
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

# A network of two narrow scales, so that 10 000 real fits take minutes; all else is as it is.
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
    """Photos with a scratch, and their masks, a hundred to a sub-folder."""
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
    """Run a batch; seconds by the clock, and the most memory of it or of a process of it, MB."""
    with tempfile.TemporaryFile("w+") as said:
        began = time.perf_counter()
        child = start(folder, output, options, said, environment)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        insist(child, said)
    cpu_s = usage.ru_utime + usage.ru_stime
    return {"seconds": seconds, "peak_mb": usage.ru_maxrss / 1024, "cpu_s": cpu_s}


def start(
    folder: Path, output: str, options: Sequence[object], said: IO[str], environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dip", "batch", "scans", "--masks", "masks", "-o", output]
    options = ("--device", "cpu", "--quiet", *options)
    return subprocess.Popen(
        [*command, *map(str, options)],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=said,
        stderr=said,
    )


def insist(child: subprocess.Popen[bytes], said: IO[str]) -> None:
    """Give up where a batch failed."""
    if child.returncode != 0:
        said.seek(0)
        raise SystemExit(f"the batch ended with {child.returncode}:\n{said.read()}")


def records(folder: Path, output: str) -> list[dict[str, Any]]:
    lines = (folder / output / "manifest.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


# --- One machine --------------------------------------------------------------------------------


def measure_throughput(rounds: int) -> dict[str, Any]:
    """One process against two, start-up taken off by fitting a larger and a smaller archive."""
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
    """What lists, looks, knows again and reports, over archives of two sizes; nothing is fitted."""
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
    """A whole archive, all of it new and fitted: how pace and memory go with the number done.

    The memory is that of the batch's own process, without those that fit, from /proc.
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
        with tempfile.TemporaryFile("w+") as said:
            began = time.perf_counter()
            child = start(folder, "out", options, said, environment)
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
            insist(child, said)
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
    """What a process holds now, and has held at most; None where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    held = dict(line.split(":", 1) for line in lines)
    if "VmRSS" not in held:
        return None
    return tuple(int(held[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))


def measure_known(count: int) -> dict[str, Any]:
    """Rerun over archives that are done: listing, pairing, manifest and report alone.

    One photo is restored, and stands under other names for all the others.
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


def sleeping(folder: Path, seconds: float) -> dict[str, str]:
    return customised(folder, SLEEPING.replace(f"time.sleep({SLEEP_S})", f"time.sleep({seconds})"))


def customised(folder: Path, code: str) -> dict[str, str]:
    """An environment in which every Python begins with this code."""
    place = folder / "custom"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(code)
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(place), before)))}


# --- A cluster ----------------------------------------------------------------------------------


@contextlib.contextmanager
def grid(folder: Path, workers: int, environment: dict[str, str]) -> Iterator[str]:
    """A scheduler and workers as processes of their own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    dask = [sys.executable, "-m", "dask"]
    alone = ["--no-dashboard", "--host", "127.0.0.1"]
    commands = [[*dask, "scheduler", *alone, "--port", str(port)]]
    for number in range(workers):
        local = ["--local-directory", str(folder / f"worker{number}")]
        commands.append([*dask, "worker", address, "--nthreads", "1", *alone, "--no-nanny", *local])
    started = []
    try:
        for command in commands:
            with (folder / "grid.log").open("ab") as log:
                started.append(
                    subprocess.Popen(
                        command, stdout=log, stderr=log, env={**os.environ, **environment}
                    )
                )
        ends = time.monotonic() + 120
        while (folder / "grid.log").read_text().count("Registered to") < workers:
            if time.monotonic() > ends:
                raise SystemExit((folder / "grid.log").read_text())
            time.sleep(0.2)
        yield address
    finally:
        for process in started:
            process.send_signal(signal.SIGKILL)
            process.wait()


def measure_cluster(photos_each: int) -> dict[str, Any]:
    """Workers that sleep: how the throughput grows, and what is lost for each photo."""
    figures: dict[int, dict[str, float]] = {}
    for workers in (1, 2, 4):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            make_archive(folder, workers * photos_each)
            with grid(folder, workers, sleeping(folder, SLEEP_S)) as address:
                batch(folder, "warm", "--iterations", 1, "--cluster", address)  # torch is loaded
                ran = batch(folder, "out", "--iterations", 1, "--cluster", address)
            figures[workers] = {
                "seconds": ran["seconds"],
                "peak_mb": ran["peak_mb"],
                # Its own processor time, start-up and report within.
                "client_cpu_ms_each": 1000 * ran["cpu_s"] / (workers * photos_each),
                **pace(folder, workers),
            }
    one = figures[1]["photos_per_s"]
    for workers, each in figures.items():
        each["efficiency"] = each["photos_per_s"] / (workers * one)
    return {str(workers): each for workers, each in figures.items()}


def pace(folder: Path, workers: int) -> dict[str, float]:
    """How fast results come, and what each costs besides the time it takes on its worker.

    From the times of the results, the first of each worker left out: start-up and report are not
    in it. The overhead is the time that a worker has nothing to do.
    """
    found = [
        ((folder / "out" / each["output"]).stat().st_mtime, each["seconds"])
        for each in records(folder, "out")
    ]
    found.sort()
    began, steady = found[workers - 1][0], found[workers:]
    span_s = steady[-1][0] - began
    busy_s = sum(seconds for _, seconds in steady)
    return {
        "photos_per_s": len(steady) / span_s,
        "on_the_worker_s": busy_s / len(steady),
        "overhead_ms_each": 1000 * (span_s * workers - busy_s) / len(steady),
    }


MEASURES = {
    "throughput": lambda args: measure_throughput(args.rounds),
    "new": lambda args: measure_new(args.files),
    "files": lambda args: measure_files(args.files),
    "known": lambda args: measure_known(args.files),
    "cluster": lambda args: measure_cluster(args.photos),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", help=f"{', '.join(MEASURES)} (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--photos", type=int, default=30, help="for each simulated worker")
    args = parser.parse_args()
    if unknown := set(args.what) - set(MEASURES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    found: dict[str, Any] = {"load_before": os.getloadavg()}
    for name in args.what or MEASURES:
        found[name] = MEASURES[name](args)
        print(f"{name}: {json.dumps(found[name])}", file=sys.stderr, flush=True)
    found["load_after"] = os.getloadavg()
    found["peak_mb_of_this_script"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
