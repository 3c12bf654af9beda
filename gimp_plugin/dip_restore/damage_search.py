"""Runs one search for damage at the service, from pixels to levels. No GIMP in here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread

import session
from dip_client import Client, ClientError, JobFailed
from notes import told
from service import Service
from session import Pixels, Progress, Session
from translation import _


@dataclass(frozen=True)
class Found:
    """The damage that was found.

    Parameters
    ----------
    png : bytes
        Red is the level, green the kind.
    final : bool
        False for the first answer, which is found without a network.
    doubts : tuple of str
        Why the damage of this photograph cannot be told well from the picture.
    """

    png: bytes
    final: bool
    doubts: tuple[str, ...] = ()


class Search(Session):
    """One search; `run` yields `Progress`, the first and the final `Found`.

    Parameters
    ----------
    service : Service
    request : Pixels
    quickly : bool
        Whether the first answer is wanted.
    """

    activity = _("Searching")

    def __init__(self, service: Service, request: Pixels, *, quickly: bool) -> None:
        super().__init__(service, request)
        self._quickly = quickly

    def _submit(self, client: Client) -> str:
        request = self._request
        return str(client.detect(request.pixels, key=self._key, **request.fields())["id"])

    def _submitted(self, client: Client, job_id: str) -> Iterator[Progress | Found]:
        """The first answer; for a large photograph it takes longer than the lease lasts."""
        if not self._quickly:
            return
        yield Progress(self.activity)
        answers: SimpleQueue[bytes | None] = SimpleQueue()
        Thread(target=self._fetch_first, args=[job_id, answers], daemon=True).start()
        while True:
            with suppress(Empty):
                if first := answers.get(timeout=session.LEASE_S / 5):
                    yield Found(first, final=False)
                return
            client.renew(job_id)
            self._check_cancelled()

    def _fetch_first(self, job_id: str, answers: SimpleQueue[bytes | None]) -> None:
        first = None
        with suppress(ClientError), self._service.running() as client:
            first = client.levels(job_id, quick=True).data
        answers.put(first)  # without it, the full answer or its error comes all the same

    def _results(self, client: Client) -> Iterator[Found]:
        assert self._job_id is not None
        detection = client.detection(self._job_id)
        self._check_cancelled()
        if detection["state"] != "done":
            raise JobFailed(**detection["error"])
        doubts = tuple(map(told, detection["coded_notes"]))
        yield Found(client.levels(self._job_id).data, final=True, doubts=doubts)
        with suppress(ClientError):  # the levels are here; the service prunes its copy some day
            client.delete(self._job_id)
