"""A search from pixels to levels, at a real service with a real worker."""

from __future__ import annotations

import time
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import session
from damage_search import Found, Search
from service import Service
from session import Cancelled, Pixels, Progress

from dip.detection import DamageMap, detect
from server.client import ClientError


def photo() -> np.ndarray:
    random = np.random.default_rng(2)
    scan = 90 + random.normal(0, 2, (96, 128, 3))
    scan[40:43, 60:63] = 240
    return scan.astype(np.uint8)


def request_for(pixels: np.ndarray) -> Pixels:
    height, width = pixels.shape[:2]
    return Pixels(width, height, 3, "uint8", pixels.tobytes(), "dusty.xcf")


def running(service: Service) -> int:
    with service.running() as client:
        health: dict[str, Any] = client.health()
    return int(health["queued"] + health["running"])


def test_the_first_answer_comes_before_the_full_one(shared_service: Service) -> None:
    events = list(Search(shared_service, request_for(photo()), quickly=True).run())
    first, full = (each for each in events if isinstance(each, Found))
    assert (first.final, full.final) == (False, True)
    for found in (first, full):
        assert DamageMap.from_png(found.png).mask()[41, 61]
    assert full.png == detect(photo()).to_png()
    assert any(isinstance(each, Progress) and each.text == "Searching" for each in events)


def test_a_first_answer_that_takes_long_keeps_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the one of a large photograph does."""
    monkeypatch.setattr(session, "LEASE_S", 0.1)
    renewed = []

    class Slow:
        def levels(self, job_id: str, *, quick: bool) -> SimpleNamespace:
            while len(renewed) < 3:
                time.sleep(0.01)
            return SimpleNamespace(data=b"levels")

        def renew(self, job_id: str) -> None:
            renewed.append(job_id)

        def __enter__(self) -> Slow:
            return self

        def __exit__(self, *exception: object) -> None:
            pass

    search = Search(SimpleNamespace(running=Slow), request_for(photo()), quickly=True)
    assert list(search._submitted(Slow(), "7")) == [Progress("Searching"), Found(b"levels", False)]
    assert renewed[:3] == ["7"] * 3


def test_a_cancelled_search_leaves_nothing(shared_service: Service) -> None:
    search = Search(shared_service, request_for(photo()), quickly=True)
    stream = search.run()
    assert any(isinstance(each, Found) for each in stream)
    search.cancel()
    with pytest.raises(Cancelled):
        list(stream)
    search.close()
    assert running(shared_service) == 0


def test_a_search_that_is_submitted_again_is_one_detection(shared_service: Service) -> None:
    search = Search(shared_service, request_for(photo()), quickly=False)
    with closing(shared_service.connect()) as client:
        first, second = (search._submit(client) for _ in range(2))
        client.delete(first)
    assert first == second


def test_a_refusal_is_passed_on_with_its_code(shared_service: Service) -> None:
    with pytest.raises(ClientError, match="8 × 8") as caught:
        list(Search(shared_service, request_for(photo()[:8, :8]), quickly=True).run())
    assert caught.value.code == "image_too_small"
