"""Two attempts at one photo, without a cluster: one result, whichever ends first."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dip.batch.pairing import Item
from dip.cluster import batch
from dip.cluster.batch import Cluster, InFlight
from dip.cluster.options import ClusterSettings
from dip.cluster.remote_task import TaskLost
from dip.cluster.worker_task import TaskAnswer
from dip.errors import InputError
from dip.machine.pipe import Frame

ITEM = Item(photo="p.jpg", mask=None, output="p.png", file_format="png")


class Writer:
    """Notes what is written."""

    folder = Path()

    def __init__(self) -> None:
        self.written: list[Any] = []

    def write(self, item: Item, fingerprint: Any, outcome: Any, **more: Any) -> None:
        self.written.append(outcome.error and outcome.error["code"])

    def write_failure(self, item: Item, error: dict[str, str], *, began: float) -> None:
        self.written.append(error["code"])


@pytest.fixture
def writer() -> Writer:
    return Writer()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(batch, "ClusterScheduler", lambda *given, **named: None)
    return Cluster(ClusterSettings(address="tcp://127.0.0.1:1"))


@pytest.fixture
def attempts(cluster: Cluster, writer: Any) -> list[InFlight]:
    connection: Any = SimpleNamespace(
        available=frozenset({"a"}), stuck=frozenset(), versions={}, compatible=frozenset({"a"})
    )
    return [InFlight(cluster, writer, connection, ITEM) for _ in range(2)]


def answer(**more: Any) -> TaskAnswer:
    return TaskAnswer(host="here", worker="tcp://here:1", versions={}, **more)


DONE = answer(reply=Frame({"done": {}}))


def test_the_slower_attempt_writes_nothing_and_ends(
    attempts: list[InFlight], writer: Writer
) -> None:
    assert attempts[1].poll()
    attempts[0].on_answer(DONE)
    assert not attempts[1].poll()
    attempts[1].on_answer(DONE)
    assert writer.written == [None]


@pytest.mark.parametrize("delivered", [False, True])
def test_a_photo_is_requeued_when_both_attempts_are_lost(
    cluster: Cluster, attempts: list[InFlight], delivered: bool
) -> None:
    attempts[0].on_lost(None)
    assert not cluster.requeued
    if delivered:
        attempts[1].on_answer(DONE)
    else:
        attempts[1].on_lost(None)
    assert list(cluster.requeued) == ([] if delivered else [ITEM])


def test_a_photo_that_was_lost_too_often_is_failed(
    cluster: Cluster, attempts: list[InFlight], writer: Writer
) -> None:
    cluster.times_lost[ITEM.photo] = batch.MAX_LOST - 1
    for attempt in attempts:
        attempt.on_lost("Its workers died.")
    assert writer.written == ["process_died"]
    assert not cluster.requeued


def test_a_file_that_cannot_be_read_fails_the_photo_once(
    cluster: Cluster, attempts: list[InFlight], writer: Writer
) -> None:
    for attempt in attempts:
        attempt.on_error(InputError("Gone.", "Look."))
    assert writer.written == [InputError.code]
    attempts[0].on_error(ZeroDivisionError())
    assert isinstance(cluster.error, ZeroDivisionError)


def test_bytes_are_sent_after_a_worker_could_not_read_the_disk(
    cluster: Cluster, attempts: list[InFlight]
) -> None:
    cluster.shared_disk = True
    with pytest.raises(TaskLost):
        attempts[0].on_answer(answer())
    assert not cluster.shared_disk
