"""Measure the service under attack: `GET /v1/health` beside clients without a token.

    python tests/benchmarks/bench_attack.py [--attackers 20] [--requests 300]

The attackers run in a process of their own. Each sends endless chunk-size lines, tiny chunks or
chunk extensions, and begins again when it is refused. Figures are printed as one JSON object.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import requests
from bench_server import running_service

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))

from hostile_requests import CHUNKED, MULTIPART, Hostile

FLOODS = (b"1", b"1\r\nx\r\n", b"1;" + b"x" * 1000 + b"\r\nx\r\n")
FLOOD_BYTES = 60 * 2**20


def attack(port: int, attackers: int, refused: Any) -> None:
    """Attack for ever; `refused` counts the refusals."""
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n{MULTIPART}\r\n{CHUNKED}\r\n\r\n".encode()

    def repeat(flood: bytes) -> None:
        hostile = Hostile(
            kind="flood",
            head=head,
            flood=flood,
            flood_bytes=FLOOD_BYTES,
            expected=frozenset({401}),
        )
        while True:
            answer = hostile.send(port)
            with refused.get_lock():
                refused.value += answer.startswith(b"HTTP/1.1 401 ")

    threads = [
        threading.Thread(target=repeat, args=[FLOODS[number % len(FLOODS)]])
        for number in range(attackers)
    ]
    for thread in threads:
        thread.start()


def ask(url: str, times: int) -> list[float]:
    """Times of answers, ms, sorted."""
    waits = []
    with requests.Session() as session:
        for _ in range(times):
            began = time.perf_counter()
            assert session.get(url + "/v1/health", timeout=60).status_code == 200
            waits.append(1000 * (time.perf_counter() - began))
            time.sleep(0.01)
    return sorted(waits)


def percentile(waits: list[float], share: float) -> float:
    return round(waits[min(len(waits) - 1, int(share * len(waits)))], 1)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    with running_service() as (process, client, _):
        quiet = ask(client.url, args.requests)
        before, size = process.cpu_times(), process.memory_info().rss
        began, refused = time.monotonic(), context.Value("l", 0)
        port = int(client.url.rpartition(":")[2])
        attacker = context.Process(target=attack, args=(port, args.attackers, refused))
        attacker.start()
        while not refused.value:
            time.sleep(0.1)
        attacked = ask(client.url, args.requests)
        count, seconds = refused.value, time.monotonic() - began
        after, grown = process.cpu_times(), process.memory_info().rss - size
        psutil.Process(attacker.pid).kill()
        attacker.join()
        spent_s = after.user + after.system - before.user - before.system
        return {
            "attackers": args.attackers,
            "refused_requests": count,
            "refused_per_s": round(count / seconds, 1),
            "cpu_ms_for_each": round(1000 * spent_s / count, 2),
            "grown_kb_by_all": round(grown / 1000),
            "health_ms_p50_p99_max_quiet": [*(percentile(quiet, p) for p in (0.5, 0.99, 1))],
            "health_ms_p50_p99_max": [*(percentile(attacked, p) for p in (0.5, 0.99, 1))],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attackers", type=int, default=20)
    parser.add_argument("--requests", type=int, default=300)
    figures = measure(parser.parse_args())
    print(json.dumps({"load": round(psutil.getloadavg()[0], 1), **figures}, indent=1))


if __name__ == "__main__":
    main()
