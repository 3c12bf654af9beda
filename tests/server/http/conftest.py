"""A job of the API without a worker."""

from __future__ import annotations

from typing import Any

import pytest
from api_requests import form, submit
from flask.testing import FlaskClient


@pytest.fixture
def job(http: FlaskClient, image_file: bytes, mask_file: bytes) -> dict[str, Any]:
    return dict(submit(http, form(image_file, mask_file, seed=7)).get_json())
