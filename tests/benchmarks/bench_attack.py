"""Measure the service under attack: `GET /v1/health` beside clients without a token.

    python tests/benchmarks/bench_attack.py [--attackers 20] [--hasty] [--elsewhere]

The attackers run in a process of their own. Each sends endless chunk-size lines, tiny chunks or
chunk extensions, and begins again when it is refused; with --hasty it waits for no answer. With
--elsewhere the attackers attack a bare server in another process, which refuses at once: what is
slower then is the machine, not the service. Figures are printed as one JSON object:

- quiet, attacked: waits for /v1/health, over one connection and over a new one each time, ms
- cpu_ms_for_each: processor time of the service for a refused request, in a phase without health
- grown_kb: the most memory that the service took during that phase, beside what it had
- service_cpu, attackers_cpu: shares of a core in that phase, percent
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import requests
from bench_server import running_service

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))

from hostile_requests import CHUNKED, MULTIPART, Hostile

FLOODS = (b"1", b"1\r\nx\r\n", b"1;" + b"x" * 1000 + b"\r\nx\r\n")
FLOOD_BYTES = 60 * 2**20
HEAD = f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n{MULTIPART}\r\n{CHUNKED}\r\n\r\n".encode()
REFUSAL = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def attack(port: int, attackers: int, hasty: bool, sent: Any) -> None:
    """Attack for ever; `sent` counts the requests that were refused, or sent in haste."""

    def refused(flood: bytes) -> bool:
        hostile = Hostile(
            kind="flood",
            head=HEAD,
            flood=flood,
            flood_bytes=FLOOD_BYTES,
            expected=frozenset({401}),
        )
        return hostile.send(port).startswith(b"HTTP/1.1 401 ")

    def left_alone(flood: bytes) -> bool:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(HEAD + 1000 * flood)
        return True

    def repeat(flood: bytes) -> None:
        while True:
            with suppress(ConnectionError):
                counts = (left_alone if hasty else refused)(flood)
                with sent.get_lock():
                    sent.value += counts

    threads = [
        threading.Thread(target=repeat, args=[FLOODS[number % len(FLOODS)]])
        for number in range(attackers)
    ]
    for thread in threads:
        thread.start()


def refuse_barely(port: Any) -> None:
    """A server that refuses every connection at once, and reads nothing more."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        port.value = server.getsockname()[1]
        while True:
            connection, _ = server.accept()
            with connection, suppress(ConnectionError):
                connection.recv(16_384)
                connection.sendall(REFUSAL)


def waits_for_health(url: str, times: int) -> dict[str, list[float]]:
    """p50, p99 and the longest wait, ms: over one connection, and over a new one each time."""
    kept, fresh = [], []
    with requests.Session() as session:
        for _ in range(times):
            for waits, ask in ((kept, session.get), (fresh, requests.get)):
                began = time.perf_counter()
                assert ask(url + "/v1/health", timeout=60).status_code == 200
                waits.append(1000 * (time.perf_counter() - began))
                time.sleep(0.01)
    return {"one_connection": percentiles(kept), "new_connections": percentiles(fresh)}


def percentiles(waits: list[float]) -> list[float]:
    ordered = sorted(waits)
    return [round(ordered[min(len(waits) - 1, int(p * len(waits)))], 1) for p in (0.5, 0.99, 1)]


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    with running_service() as (service, client, _):
        quiet = waits_for_health(client.url, args.requests)
        sent, port = context.Value("l", 0), context.Value("l", int(client.url.rpartition(":")[2]))
        started = []
        if args.elsewhere:
            port.value = 0
            started.append(context.Process(target=refuse_barely, args=(port,)))
            started[0].start()
            while not port.value:
                time.sleep(0.1)
        given = port.value, args.attackers, args.hasty, sent
        started.append(context.Process(target=attack, args=given))
        started[-1].start()
        try:
            attackers = psutil.Process(started[-1].pid)
            while not sent.value:
                time.sleep(0.1)
            alone = measure_alone(service, attackers, sent, args.seconds)
            attacked = waits_for_health(client.url, args.requests)
        finally:
            for each in started:
                each.kill()
                each.join()
        return {**alone, "health_ms_p50_p99_max": {"quiet": quiet, "attacked": attacked}}


def measure_alone(
    service: psutil.Process, attackers: psutil.Process, sent: Any, seconds: float
) -> dict[str, Any]:
    """Figures of the attack without anything beside it."""
    count, size, peak = sent.value, service.memory_info().rss, 0
    spent, spent_by_attackers, began = cpu_s(service), cpu_s(attackers), time.monotonic()
    while time.monotonic() < began + seconds:
        time.sleep(0.1)
        peak = max(peak, service.memory_info().rss)
    count, took_s = sent.value - count, time.monotonic() - began
    spent, spent_by_attackers = cpu_s(service) - spent, cpu_s(attackers) - spent_by_attackers
    return {
        "requests": count,
        "requests_per_s": round(count / took_s, 1),
        "cpu_ms_for_each": round(1000 * spent / max(1, count), 2),
        "grown_kb": round((peak - size) / 1000),
        "service_cpu": round(100 * spent / took_s),
        "attackers_cpu": round(100 * spent_by_attackers / took_s),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--attackers", type=int, default=20)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=5, help="of the attack alone")
    parser.add_argument("--hasty", action="store_true", help="wait for no answer")
    parser.add_argument("--elsewhere", action="store_true", help="attack another server")
    figures = measure(parser.parse_args())
    print(json.dumps({"load": round(psutil.getloadavg()[0], 1), **figures}, indent=1))


if __name__ == "__main__":
    main()
