"""Submit jobs to a service in this process."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

TINY = {"preset": "fast", "iterations": "2"}


@pytest.fixture
def submit(http: FlaskClient) -> Callable[..., str]:
    def submit(image: bytes, mask: bytes | None = None, **fields: Any) -> str:
        data: dict[str, Any] = {**TINY, **{name: str(value) for name, value in fields.items()}}
        data["image"] = (io.BytesIO(image), "i")
        if mask is not None:
            data["mask"] = (io.BytesIO(mask), "m")
        response = http.post("/v1/jobs", data=data)
        assert response.status_code == 202, response.text
        return str(response.get_json()["id"])

    return submit
