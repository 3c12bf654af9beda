"""Runs one search for damage at the service, from pixels to levels. No GIMP in here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from dip_client import Client, ClientError, JobFailed, Refused
from notes import told
from service import Service
from session import Pixels, Session
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

    def _submitted(self, client: Client, job_id: str) -> Iterator[Found]:
        if self._quickly:
            with suppress(Refused):  # the full answer, or its error, comes all the same
                yield Found(client.levels(job_id, quick=True).data, final=False)

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
