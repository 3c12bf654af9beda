"""A store of jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.jobs.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "jobs.sqlite")
    yield store
    store.close()
