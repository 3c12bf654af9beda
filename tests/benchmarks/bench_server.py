"""Measure the service: under load, over many jobs, against `dip restore`, with large images.

    python tests/benchmarks/bench_server.py load|memory|overhead|transfer [--help]

It runs `dip serve` with its worker, over loopback. Prints the figures as one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from dip.config import Settings
from dip.image_io import encode_photo
from server.client import Client
from server.client.address import ServiceAddress
from server.settings import ServerSettings

ROOT = Path(__file__).resolve().parents[2]
SERVE = (
    "import sys; from server.commands.serve import serve;"
    "from server.settings import ServerSettings;"
    "serve(ServerSettings.from_json(sys.argv[1]))"
)


@contextmanager
def running_service(**settings: Any) -> Iterator[tuple[psutil.Process, Client, ServerSettings]]:
    """Run a service on a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        chosen = ServerSettings(data_dir=data_dir, port=0, **settings)
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, chosen.as_json()],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        process.stdout.readline()
        try:
            with Client.find(data_dir, retry_timeout_s=60) as client:
                while client.health()["worker"] != "idle":
                    time.sleep(0.1)
                yield psutil.Process(process.pid), client, chosen
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()


def photo_and_mask(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(height, width, 3) and (height, width), uint8; the damage is a scratch of 40 px."""
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    photo = np.kron(photo, np.ones((8, 8, 1), dtype=np.uint8))
    mask = np.zeros(photo.shape[:2], dtype=np.uint8)
    mask[20:24, 12:52] = 255
    return photo, mask


# --- Load ---------------------------------------------------------------------------------------


class Crowd:
    """Clients that poll a job and follow its events, from one event loop.

    Parameters
    ----------
    address : ServiceAddress
    job_ids : list of str
    every_s, arrive_s : float
        Time between two polls of one client; time in which all clients arrive.
    """

    def __init__(
        self, address: ServiceAddress, job_ids: list[str], every_s: float, arrive_s: float
    ) -> None:
        host, _, port = address.url.removeprefix("http://").partition(":")
        self.address = host, int(port)
        self.head = f"Host: {host}\r\nAuthorization: Bearer {address.token}\r\n"
        self.job_ids = job_ids
        self.every_s = every_s
        self.arrive_s = arrive_s
        self.polls_ms: list[float] = []
        self.seen: list[list[int]] = []
        self.refused = 0
        self.ends = 0.0

    async def visit(self, clients: int, seconds: float) -> None:
        self.ends = time.monotonic() + seconds
        jobs = [self.job_ids[number % len(self.job_ids)] for number in range(clients)]
        await asyncio.gather(
            *(self._visit(job, self.arrive_s * n / clients) for n, job in enumerate(jobs))
        )

    async def _visit(self, job_id: str, later_s: float) -> None:
        await asyncio.sleep(later_s)
        await asyncio.gather(self._poll(job_id), self._follow(job_id))

    async def _poll(self, job_id: str) -> None:
        reader, writer = await asyncio.open_connection(*self.address)
        request = f"GET /v1/jobs/{job_id} HTTP/1.1\r\n{self.head}\r\n".encode()
        while time.monotonic() < self.ends:
            began = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            self.polls_ms.append(1000 * (time.perf_counter() - began))
            self.refused += not head.startswith(b"HTTP/1.1 200")
            await asyncio.sleep(self.every_s)
        writer.close()

    async def _follow(self, job_id: str) -> None:
        reader, writer = await asyncio.open_connection(*self.address)
        writer.write(f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\n{self.head}\r\n".encode())
        ids: list[int] = []
        self.seen.append(ids)
        while (left := self.ends - time.monotonic()) > 0:
            try:
                line = await asyncio.wait_for(reader.readline(), left)
            except asyncio.TimeoutError:
                break
            if not line:
                break
            if line.startswith(b"HTTP/1.1") and b" 200 " not in line:
                self.refused += 1
            if line.startswith(b"id: "):
                ids.append(int(line[4:]))
        writer.close()


def measure_load(args: argparse.Namespace) -> dict[str, Any]:
    photo, mask = photo_and_mask(256, 256)
    files = encode_photo(photo, "png"), encode_photo(mask, "png")
    with running_service() as (process, client, settings):
        ids = []
        for seed in range(args.spread):  # one job is fitted, the others wait
            job = client.submit(*files, preset="fast", iterations=10**6, seed=seed)
            ids.append(job["id"])
        while not client.job(ids[0])["progress"]:
            time.sleep(0.1)
        address = ServiceAddress.look_up(settings.data_dir)
        crowd = Crowd(address, ids, args.every, args.arrive)
        process.cpu_percent()
        before = client.job(ids[0])["progress"]
        began = time.monotonic()
        asyncio.run(crowd.visit(args.clients, args.seconds))
        seconds = time.monotonic() - began
        after = client.job(ids[0])["progress"]
        gaps = sum(list(range(1, len(seen) + 1)) != seen for seen in crowd.seen)
        polls = sorted(crowd.polls_ms)
        return {
            "clients": args.clients,
            "polls_per_s": round(len(polls) / seconds, 1),
            "poll_p50_ms": round(polls[len(polls) // 2], 2),
            "poll_p99_ms": round(polls[int(0.99 * len(polls))], 2),
            "poll_max_ms": round(polls[-1], 2),
            "refused": crowd.refused,
            "streams_with_lost_or_duplicated_events": gaps,
            "events_seen": sum(map(len, crowd.seen)),
            "http_cpu_percent": process.cpu_percent(),
            "http_threads": process.num_threads(),
            "http_rss_mb": round(process.memory_info().rss / 2**20, 1),
            "fit_iterations_per_s": round((after["iteration"] - before["iteration"]) / seconds, 2),
        }


# --- Memory -------------------------------------------------------------------------------------


def measure_memory(args: argparse.Namespace) -> dict[str, Any]:
    photo, mask = photo_and_mask(64, 64)
    files = encode_photo(photo, "png"), encode_photo(mask, "png")
    sizes: list[tuple[int, float, float]] = []
    with running_service() as (process, client, _):

        def note(done: int) -> None:
            worker = process.children()[0]
            rss = [each.memory_info().rss / 2**20 for each in (process, worker)]
            sizes.append((done, round(rss[0], 1), round(rss[1], 1)))

        ids: list[str] = []
        for number in range(args.jobs):
            job = client.submit(*files, preset="fast", iterations=1, seed=number)
            ids.append(job["id"])
            if len(ids) % 20 == 0:
                client.wait(ids[-1])
                client.result(ids[-1])
            if len(ids) in (20, 100) or len(ids) % (args.jobs // 5) == 0:
                note(len(ids))
        for job_id in ids[-20:]:
            client.wait(job_id)
        jobs = client.jobs("done", limit=1000)
        return {
            "jobs": args.jobs,
            "done": len(jobs),
            "rss_mb_http_worker_after_jobs": sizes,
            "http_growth_mb": round(sizes[-1][1] - sizes[1][1], 1),
            "worker_growth_mb": round(sizes[-1][2] - sizes[1][2], 1),
        }


# --- Overhead -----------------------------------------------------------------------------------


def measure_overhead(args: argparse.Namespace) -> dict[str, Any]:
    """Compare a worker's job with `dip restore`, alternately in this process."""
    from dip.image_io import read_mask, read_photo, write_photo
    from dip.restore import Restoration
    from server.jobs.files import JobFiles
    from server.jobs.parameters import JobParameters
    from server.jobs.store import Store
    from server.work.worker import Worker

    photo, mask = photo_and_mask(args.side, args.side)
    settings = Settings(preset="fast", iterations=args.iterations)
    plain: list[float] = []
    served: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photo(folder / "photo.png", photo)
        write_photo(folder / "mask.png", mask)
        chosen = ServerSettings(data_dir=folder)
        store, blobs = Store(chosen.store_file), JobFiles(chosen.files_dir)
        worker = Worker(store, blobs, chosen.max_pixels)
        for number in range(args.rounds + 1):
            began = time.perf_counter()
            photo_read = read_photo(folder / "photo.png")
            restoration = Restoration(photo_read.pixels, read_mask(folder / "mask.png"), settings)
            for _ in restoration:
                pass
            write_photo(folder / "restored.png", restoration.result(), like=photo_read)
            plain.append(time.perf_counter() - began)

            job_id = f"{number:032x}"
            (blobs.folder / job_id).mkdir()
            for kind in ("image", "mask"):
                source = folder / ("photo.png" if kind == "image" else "mask.png")
                blobs.write(job_id, kind, source.read_bytes())
            began = time.perf_counter()
            store.add(job_id, JobParameters(settings=settings, has_mask=True))
            job = store.claim()
            assert job is not None
            worker.work(job)
            served.append(time.perf_counter() - began)
            previews = (store.get(job_id).preview or {}).get("number")
        store.close()
    plain, served = plain[1:], served[1:]  # the first round warms up
    ratios = [b / a for a, b in zip(plain, served, strict=True)]
    return {
        "rounds": args.rounds,
        "dip_restore_s": round(statistics.median(plain), 3),
        "service_s": round(statistics.median(served), 3),
        "overhead_percent_of_medians": round(
            100 * (statistics.median(served) / statistics.median(plain) - 1), 2
        ),
        "overhead_percent_median_of_pairs": round(100 * (statistics.median(ratios) - 1), 2),
        "previews_in_a_job": previews,
    }


# --- Transfer -----------------------------------------------------------------------------------


def measure_transfer(args: argparse.Namespace) -> dict[str, Any]:
    """Measure the transfer of 24 megapixels of raw 8-bit colour, in both directions."""
    photo, mask = photo_and_mask(4000, 6000)
    shape = {"width": 6000, "height": 4000, "channels": 3, "samples": "uint8"}
    into, out = [], []
    with running_service() as (process, client, _):
        for number in range(args.rounds):
            began = time.perf_counter()
            job = client.submit(
                photo.data.cast("B"),
                mask.data.cast("B"),
                mask_samples="uint8",
                preset="fast",
                iterations=1,
                seed=number,
                **shape,
            )
            into.append(time.perf_counter() - began)
            client.wait(job["id"])
            began = time.perf_counter()
            picture = client.result(job["id"])
            out.append(time.perf_counter() - began)
            same = np.frombuffer(picture.data, np.uint8).reshape(photo.shape)
            assert (same[mask == 0] == photo[mask == 0]).all()
            client.delete(job["id"])
        return {
            "megabytes_in": round((photo.nbytes + mask.nbytes) / 1e6),
            "megabytes_out": round(photo.nbytes / 1e6),
            "in_s": round(statistics.median(into), 3),
            "out_s": round(statistics.median(out), 3),
            "in_and_out_s": round(statistics.median(map(sum, zip(into, out, strict=True))), 3),
            "http_rss_mb": round(process.memory_info().rss / 2**20, 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    measurements = parser.add_subparsers(required=True)
    load = measurements.add_parser("load")
    load.add_argument("--clients", type=int, default=200)
    load.add_argument("--seconds", type=float, default=30)
    load.add_argument("--spread", type=int, default=1, help="jobs that the clients follow")
    load.add_argument("--every", type=float, default=1.0, help="seconds between polls of a client")
    load.add_argument("--arrive", type=float, default=5.0, help="seconds until all clients arrive")
    load.set_defaults(measure=measure_load)
    memory = measurements.add_parser("memory")
    memory.add_argument("--jobs", type=int, default=1000)
    memory.set_defaults(measure=measure_memory)
    overhead = measurements.add_parser("overhead")
    overhead.add_argument("--rounds", type=int, default=7)
    overhead.add_argument("--iterations", type=int, default=40)
    overhead.add_argument("--side", type=int, default=256)
    overhead.set_defaults(measure=measure_overhead)
    transfer = measurements.add_parser("transfer")
    transfer.add_argument("--rounds", type=int, default=5)
    transfer.set_defaults(measure=measure_transfer)
    args = parser.parse_args()
    cpus, load_before = psutil.cpu_count(), os.getloadavg()[0]
    figures = args.measure(args)
    print(json.dumps({"cores": cpus, "load_before": round(load_before, 1), **figures}, indent=1))


if __name__ == "__main__":
    main()
