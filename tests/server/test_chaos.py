"""Worker and service killed at random moments, again and again: nothing accepted is lost."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.client import Event

CLIENTS = 4
RETRY_TIMEOUT_S = 600
TINY: dict[str, Any] = {"preset": "fast", "iterations": 8}


class Chaos:
    """Kills the worker, the service or both, and starts the service again.

    Parameters
    ----------
    service : RealService
    seed : int
        The order of things is random, and the same each time.
    kills : int
        How many.
    """

    def __init__(self, service: Any, seed: int, kills: int) -> None:
        self.service = service
        self.enough = kills
        self.kills: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._thread = threading.Thread(target=self._run)

    @property
    def count(self) -> int:
        return sum(self.kills.values())

    def __enter__(self) -> Chaos:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._thread.join()

    def _run(self) -> None:
        while self.count < self.enough:
            if self._random.random() < 0.7:  # in the middle of a fit
                self._wait_for_a_fit()
                time.sleep(self._random.random())
            else:  # while torch is being loaded, between two jobs, at any time
                time.sleep(3 * self._random.random())
            victim = self._random.choices(("worker", "service", "both"), (3, 4, 2))[0]
            workers = self.service.workers()
            if victim == "worker" and not workers:
                continue
            if victim in ("service", "both"):
                self.service.kill()
            if victim in ("worker", "both"):
                for worker in workers:
                    worker.kill()
            if victim in ("service", "both"):
                time.sleep(0.3 * self._random.random())
                self.service.start()
            self.kills[victim] += 1

    def _wait_for_a_fit(self) -> None:
        ends = time.monotonic() + RETRY_TIMEOUT_S
        with self.service.client() as client:
            while time.monotonic() < ends and not client.jobs("running"):
                time.sleep(0.02)


@pytest.mark.slow
def test_every_accepted_job_is_accounted_for_exactly_once(
    start_service: Callable[..., Any],
    tmp_path: Path,
    image_file: bytes,
    mask_file: bytes,
    exhaustive: bool,
) -> None:
    fewest_jobs, kills, seeds = (40, 20, 5) if exhaustive else (8, 4, 2)
    service = start_service(tmp_path / "data", max_queued=10)
    with service.client() as client:
        undisturbed = {}
        for seed in range(seeds):
            job = client.wait(client.submit(image_file, mask_file, seed=seed, **TINY)["id"])
            undisturbed[seed] = job["results"][0]["sha256"]
            client.delete(job["id"])
    assert len(set(undisturbed.values())) == seeds

    accepted: dict[str, int] = {}
    stories: dict[str, list[Event]] = {}
    failures: list[BaseException] = []
    chaos = Chaos(service, seed=20180618, kills=kills)

    def submit_and_watch(number: int) -> None:
        try:
            with service.client(retry_timeout_s=RETRY_TIMEOUT_S) as mine:
                while number < fewest_jobs or chaos.count < kills:
                    seed = number % seeds
                    job_id = mine.submit(image_file, mask_file, seed=seed, **TINY)["id"]
                    accepted[job_id] = seed
                    stories[job_id] = list(mine.events(job_id))
                    number += CLIENTS
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=submit_and_watch, args=[n]) for n in range(CLIENTS)]
    with chaos:
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(accepted) >= fewest_jobs
    assert chaos.count >= kills
    print(f"{len(accepted)} jobs, killed: {dict(chaos.kills)}")

    with service.client() as client:
        jobs = {job["id"]: job for job in client.jobs(limit=1000)}
        assert set(jobs) == set(accepted)
        for job_id, job in jobs.items():
            story = stories[job_id]
            assert [event.id for event in story] == list(range(1, len(story) + 1))
            assert [event.final for event in story].count(True) == 1
            if job["state"] == "failed":  # it was there when the worker was killed, twice
                assert job["error"]["code"] == "worker_died"
                assert "SIGKILL" in job["error"]["message"]
                continue
            assert job["state"] == "done"
            assert job["results"][0]["sha256"] == undisturbed[accepted[job_id]]
            assert client.result(job_id).data
        failed = [job for job in jobs.values() if job["state"] == "failed"]
        assert 2 * len(failed) <= chaos.kills["worker"]
        attempts = Counter(job["attempts"] for job in jobs.values())
        print(f"{len(failed)} failed; begun how often: {dict(attempts)}")
        # In the middle of fits, that is; on a slow machine often of the same one.
        assert sum(count * (times - 1) for times, count in attempts.items()) >= kills // 4
        assert client.health()["status"] == "ok"
    assert {path.name for path in service.settings.files_dir.iterdir()} == set(accepted)
    assert list(service.settings.incoming_dir.iterdir()) == []
    assert service.stop() == 0
