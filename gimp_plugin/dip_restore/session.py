"""Runs one job at the service, from pixels to pixels. No GIMP in here.

A session is a stream: `Progress` and `Preview` as it goes, then one `Filled` for each network. It
survives the service: one that is killed in the middle is started again, and the job goes on. The
job is held by a lease: when this process dies, however it dies, the job ends soon after.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from dip_client import Client, ClientError, Event, JobFailed, Refused, Unreachable

LEASE_S = 15.0
_GIVE_UP_AFTER_S = 120.0
"""Without a sign of life from any service."""

_PAUSE_S = 0.5
_GOODBYE_S = 5.0
_TELLING_ITERATIONS = 8

NAMES = {"unet": "U-Net", "segnet": "SegNet"}


@dataclass(frozen=True)
class JobRequest:
    """What is asked of the service.

    Parameters
    ----------
    width, height, channels : int
    samples : str
        'uint8', 'uint16' or 'float32'.
    pixels : bytes
        Row-first, channels together, little-endian.
    damage : bytes
        One byte a pixel, 255 = restore this.
    result : str
        'fill' for the filled pixels with coverage as alpha, 'image' for all, filled.
    parameters : dict
        `network`, `preset`, `seed` and whatever else the service takes; None is left out.
    """

    width: int
    height: int
    channels: int
    samples: str
    pixels: bytes
    damage: bytes
    result: str
    parameters: dict[str, str | int | float | None]


@dataclass(frozen=True)
class Progress:
    """How far it is.

    Parameters
    ----------
    text : str
        What is going on, for a person.
    fraction : float, optional
        0 to 1; None before the work begins.
    remaining_s : float, optional
    quality_db : float, optional
        Of known pixels that the network was not shown.
    """

    text: str
    fraction: float | None = None
    remaining_s: float | None = None
    quality_db: float | None = None


@dataclass(frozen=True)
class Preview:
    """A part of the image as it looks now.

    Parameters
    ----------
    left, top, width, height : int
        Where it belongs, in what was sent.
    jpeg : bytes
        May be of smaller size.
    """

    left: int
    top: int
    width: int
    height: int
    jpeg: bytes


@dataclass(frozen=True)
class Filled:
    """A result.

    Parameters
    ----------
    network : str
        For a person.
    left, top, width, height : int
        Where it belongs, in what was sent.
    pixels : bytes
        As they were sent; of a 'fill' with one channel more if that had no alpha.
    quality_db : float, optional
    """

    network: str
    left: int
    top: int
    width: int
    height: int
    pixels: bytes
    quality_db: float | None


class Cancelled(Exception):
    """The user does not want it any more."""


class Finder(Protocol):
    """Where a service is had from; see `service.Service`."""

    def connect(self) -> Client:
        """A client of a service that works, started if need be."""

    def running(self) -> Client:
        """A client of one that runs already."""


class Session:
    """One job.

    Parameters
    ----------
    finder : Finder
    order : JobRequest
    """

    def __init__(self, finder: Finder, order: JobRequest) -> None:
        self._finder = finder
        self._order = order
        self._key = secrets.token_hex(16)  # however often it is submitted, it is one job
        self._job_id: str | None = None
        self._aside = ""
        self._after = 0
        self._stop = self._stop_was_told = self._cancel = False
        self._goodbye: threading.Thread | None = None

    def run(self) -> Iterator[Progress | Preview | Filled]:
        """Do it.

        Raises
        ------
        Cancelled
            `cancel` was called.
        ClientError
            The message is for the user.
        """
        quiet_since = time.monotonic()
        while True:
            client = None
            try:
                client = self._finder.connect()
                for happening in self._follow(client):
                    quiet_since = time.monotonic()
                    yield happening
                return
            except Unreachable:
                self._check_wanted()
                if time.monotonic() - quiet_since > _GIVE_UP_AFTER_S:
                    raise
                yield Progress("The restoration service is gone; starting it again…")
                time.sleep(_PAUSE_S)
            finally:
                if client is not None:
                    client.close()

    def stop(self) -> None:
        """Finish now, with the best so far. Returns at once."""
        self._stop = True

    def cancel(self) -> None:
        """End it, and keep nothing. Returns at once."""
        self._cancel = True
        if self._goodbye is None and self._job_id is not None:
            self._goodbye = threading.Thread(target=self._delete, args=[self._job_id], daemon=True)
            self._goodbye.start()

    def close(self) -> None:
        """Give what was told a moment to arrive."""
        if self._goodbye is not None:
            self._goodbye.join(_GOODBYE_S)

    # --- Inside ----------------------------------------------------------------------------------

    def _follow(self, client: Client) -> Iterator[Progress | Preview | Filled]:
        self._check_wanted()
        if self._job_id is None:
            yield Progress("Handing the pixels over…")
            job = self._submit(client)
            self._job_id = str(job["id"])
            if "texture" not in job["parameters"]:
                self._aside = " (an older service, without texture)"
            self._check_wanted()
        for event in client.events(self._job_id, self._after):
            self._check_wanted()
            self._after = event.id
            if event.kind == "progress":
                if self._stop and not self._stop_was_told and "iteration" in event.data:
                    with suppress(Refused):  # it has just ended
                        client.stop(self._job_id)
                    self._stop_was_told = True
                progress = _progress_from(event)
                yield replace(progress, text=progress.text + self._aside)
            elif event.kind == "preview":
                yield from self._preview(client, event)
        yield from self._results(client)

    def _submit(self, client: Client) -> dict[str, Any]:
        order = self._order
        return client.submit(
            order.pixels,
            order.damage,
            key=self._key,
            lease_s=LEASE_S,
            width=order.width,
            height=order.height,
            channels=order.channels,
            samples=order.samples,
            mask_samples="uint8",
            result=order.result,
            format="raw",
            **order.parameters,
        )

    def _preview(self, client: Client, event: Event) -> Iterator[Preview]:
        assert self._job_id is not None
        try:
            picture = client.preview(self._job_id)
        except Refused:  # replaced or gone meanwhile; another one comes
            return
        place = picture.about
        yield Preview(place["left"], place["top"], place["width"], place["height"], picture.data)

    def _results(self, client: Client) -> Iterator[Filled]:
        assert self._job_id is not None
        job = client.job(self._job_id)
        self._check_wanted()
        if job["state"] != "done":
            raise JobFailed(**job["error"])
        for result in job["results"]:
            picture = client.result(self._job_id, result["network"])
            yield Filled(
                network=NAMES.get(result["network"], result["network"]),
                left=result["left"],
                top=result["top"],
                width=result["width"],
                height=result["height"],
                pixels=picture.data,
                quality_db=result["validation_psnr_db"],
            )
        with suppress(ClientError):  # it is here; there it would be pruned some day
            client.delete(self._job_id)

    def _check_wanted(self) -> None:
        if self._cancel:
            if self._job_id is not None:
                self.cancel()  # it may have been submitted just before
            raise Cancelled

    def _delete(self, job_id: str) -> None:
        # Where that fails the lease ends what should not go on.
        with suppress(ClientError), self._finder.running() as client:
            client.delete(job_id)


def _progress_from(event: Event) -> Progress:
    data = event.data
    if "iteration" not in data:
        return Progress("Waiting for its turn…")
    where = ""
    if data["regions"] > 1:
        where = f", part {data['region'] + 1} of {data['regions']}"
    return Progress(
        text=f"{NAMES.get(data['network'], data['network'])}{where}",
        fraction=data["fraction"],
        # The first iterations take longer than those that follow.
        remaining_s=data["remaining_s"] if data["iteration"] >= _TELLING_ITERATIONS else None,
        quality_db=data["validation_psnr_db"],
    )
