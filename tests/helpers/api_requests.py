"""Requests to the API without a worker, and a stand-in for the worker's results."""

from __future__ import annotations

import io
import time
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from server.errors import MEANINGS
from server.http.context import Service
from server.jobs.job import Job


def form(image: bytes, mask: bytes | None = None, **fields: Any) -> dict[str, Any]:
    files = {"image": (io.BytesIO(image), "a.png")}
    if mask is not None:
        files["mask"] = (io.BytesIO(mask), "m.png")
    return {**{name: str(value) for name, value in fields.items()}, **files}


def submit(http: FlaskClient, data: dict[str, Any], key: str | None = None) -> TestResponse:
    headers = {} if key is None else {"Idempotency-Key": key}
    return http.post("/v1/jobs", data=data, headers=headers)


def code_of(response: TestResponse) -> str:
    """The code of an error, after a check of its body."""
    body = response.get_json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "hint"}
    assert all(body["error"].values()), body
    assert MEANINGS[body["error"]["code"]].status == response.status_code
    return str(body["error"]["code"])


def finish(service: Service, data: bytes = b"pixels", networks: tuple[str, ...] = ("unet",)) -> Job:
    """Wait for the next job, and complete it as a worker does."""
    ends = time.monotonic() + 300
    while (job := service.store.claim()) is None:
        assert time.monotonic() < ends, "there is no job"
        time.sleep(0.02)
    results = []
    for network in networks:
        service.files.write(job.id, f"result.{network}.1", data + network.encode())
        results.append(
            {
                "network": network, "part": "image", "format": "png", "channels": 3,
                "samples": "uint8", "top": 0, "left": 0, "height": 64, "width": 64,
                "bytes": len(data) + len(network), "sha256": network * 8, "iterations": 5,
                "validation_psnr_db": None, "seconds": 1.0, "file": f"result.{network}.1",
            }
        )  # fmt: skip
    assert service.store.finish(job, results, stopped=False, notes=[])
    return job
