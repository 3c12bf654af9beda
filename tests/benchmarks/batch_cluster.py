"""Throughput of `dip batch --cluster` over simulated workers, which sleep instead of fitting."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from batch_archive import SLEEP_S, batch, make_archive, records, sleeping


@contextlib.contextmanager
def grid(folder: Path, workers: int, environment: dict[str, str]) -> Iterator[str]:
    """Run a scheduler and workers as processes."""
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
    """Measure throughput and overhead per photo with workers that sleep."""
    figures: dict[int, dict[str, float]] = {}
    for workers in (1, 2, 4):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            make_archive(folder, workers * photos_each)
            with grid(folder, workers, sleeping(folder, SLEEP_S)) as address:
                batch(folder, "warm", "--iterations", 1, "--cluster", address)  # loads torch
                ran = batch(folder, "out", "--iterations", 1, "--cluster", address)
            figures[workers] = {
                "seconds": ran["seconds"],
                "peak_mb": ran["peak_mb"],
                # CPU time, including start-up and report.
                "client_cpu_ms_each": 1000 * ran["cpu_s"] / (workers * photos_each),
                **pace(folder, workers),
            }
    one = figures[1]["photos_per_s"]
    for workers, each in figures.items():
        each["efficiency"] = each["photos_per_s"] / (workers * one)
    return {str(workers): each for workers, each in figures.items()}


def pace(folder: Path, workers: int) -> dict[str, float]:
    """Measure throughput, time per photo on its worker, and overhead per photo.

    The times of the results give them, without the first result of each worker, so start-up and
    report are not included. The overhead is the idle time of a worker.
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
