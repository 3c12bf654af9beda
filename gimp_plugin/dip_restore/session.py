"""Runs one job at the service, from pixels to pixels. No GIMP in here.

A session is a stream of events: `Progress` and `Preview` while the job runs, then one `Result` for
each network. If the service is killed meanwhile, it is started again and the job continues. The job
has a lease: if this process dies, for any reason, the job ends soon after.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dip_client import Client, ClientError, Event, JobFailed, Refused, Unreachable
from notes import told
from service import Service
from translation import _, whole_percent

LEASE_S = 15.0
_UNREACHABLE_TIMEOUT_S = 120.0
_RETRY_PAUSE_S = 0.5
_DELETE_TIMEOUT_S = 5.0
_WARM_UP_ITERATIONS = 8
"""The first iterations take longer than the rest: no time is predicted from them."""

NETWORK_NAMES = {"unet": "U-Net", "segnet": "SegNet"}


@dataclass(frozen=True)
class Pixels:
    """A photograph as it is sent to the service.

    Parameters
    ----------
    width, height, channels : int
    samples : str
        'uint8', 'uint16' or 'float32'.
    pixels : bytes
        Row-first, channels together, little-endian.
    photo_name : str
        Of the image in GIMP, for people who see the job.
    """

    width: int
    height: int
    channels: int
    samples: str
    pixels: bytes
    photo_name: str = ""

    def fields(self) -> dict[str, Any]:
        """The form fields that describe the pixels, and the lease of their job."""
        return {
            "photo_name": self.photo_name,
            "lease_s": LEASE_S,
            "width": self.width,
            "height": self.height,
            "channels": self.channels,
            "samples": self.samples,
        }


@dataclass(frozen=True, kw_only=True)
class JobRequest(Pixels):
    """A job as it is submitted to the service.

    Parameters
    ----------
    mask : bytes
        One byte per pixel, 255 = restore this.
    result : str
        'fill' for the filled pixels with their soft mask as alpha, 'image' for all pixels.
    parameters : dict
        `network`, `preset`, `seed` and the other settings of a job; None values are left out.
    """

    mask: bytes
    result: str
    parameters: dict[str, str | int | float | None]


@dataclass(frozen=True)
class Details:
    """The technical side of progress.

    Parameters
    ----------
    network : str
        Its name for a person.
    iteration, iterations : int
    loss : float, optional
    validation_psnr_db : float, optional
        Over held-out pixels: known pixels that the network was not shown.
    """

    network: str
    iteration: int
    iterations: int
    loss: float | None
    validation_psnr_db: float | None


@dataclass(frozen=True)
class Progress:
    """How far the job is.

    Parameters
    ----------
    text : str
        The present activity, for a person.
    fraction : float, optional
        0 to 1; None before the fit begins.
    remaining_s : float, optional
    details : Details, optional
        None before the fit begins.
    note : dict, optional
        A note of the engine, once: its code, values and English message.
    """

    text: str
    fraction: float | None = None
    remaining_s: float | None = None
    details: Details | None = None
    note: dict[str, Any] | None = None


@dataclass(frozen=True)
class Preview:
    """The present look of a part of the image.

    Parameters
    ----------
    left, top, width, height : int
        Its place in the pixels that were sent.
    jpeg : bytes
        May have fewer pixels than the place.
    """

    left: int
    top: int
    width: int
    height: int
    jpeg: bytes


@dataclass(frozen=True)
class Result:
    """The result of one network.

    Parameters
    ----------
    network : str
        Its name for a person.
    left, top, width, height : int
        Its place in the pixels that were sent.
    pixels : bytes
        In the format of the request; a 'fill' has an alpha channel in addition, if the request
        has none.
    """

    network: str
    left: int
    top: int
    width: int
    height: int
    pixels: bytes


class Cancelled(Exception):
    """The user has cancelled the job."""


class Session:
    """One job.

    Parameters
    ----------
    service : Service
    request : JobRequest
        Or the one of another kind of session.

    Attributes
    ----------
    remarks : list of str
        About the results, for the user, once they are here.
    seconds : float, optional
        How long the work took, once it has ended by itself.
    """

    def __init__(self, service: Service, request: Any) -> None:
        self._service = service
        self._request = request
        self._key = secrets.token_hex(16)  # submitted again, it is still one job
        self._job_id: str | None = None
        self._last_event = 0
        self._stop = self._stop_sent = self._cancel = False
        self._deletion: threading.Thread | None = None
        self.remarks: list[str] = []
        self.seconds: float | None = None

    activity = _("Restoring")
    """The name of the activity, for the progress bar."""

    def run(self) -> Iterator[Any]:
        """Submit the job and follow it to its end: `Progress`, `Preview` and `Result`.

        Raises
        ------
        Cancelled
            `cancel` was called.
        ClientError
            The job failed; the message is for the user.
        """
        reached = time.monotonic()
        while True:
            client = None
            try:
                client = self._service.connect()
                for event in self._follow(client):
                    reached = time.monotonic()
                    yield event
                return
            except Unreachable:
                self._check_cancelled()
                if time.monotonic() - reached > _UNREACHABLE_TIMEOUT_S:
                    raise
                yield Progress(_("The restoration service has stopped. Starting it again…"))
                time.sleep(_RETRY_PAUSE_S)
            finally:
                if client is not None:
                    client.close()

    def stop(self) -> None:
        """End the fit now and keep the best result so far. Returns at once."""
        self._stop = True

    def cancel(self) -> None:
        """End the job and keep nothing. Returns at once."""
        self._cancel = True
        if self._deletion is None and self._job_id is not None:
            self._deletion = threading.Thread(target=self._delete, args=[self._job_id], daemon=True)
            self._deletion.start()

    def close(self) -> None:
        """Wait a moment until a cancelled job is deleted."""
        if self._deletion is not None:
            self._deletion.join(_DELETE_TIMEOUT_S)

    # --- Inside ----------------------------------------------------------------------------------

    def _follow(self, client: Client) -> Iterator[Any]:
        self._check_cancelled()
        if self._job_id is None:
            yield Progress(_("Sending the pixels…"))
            self._job_id = self._submit(client)
            self._check_cancelled()
            yield from self._submitted(client, self._job_id)
            self._check_cancelled()
        for event in client.events(self._job_id, self._last_event):
            self._check_cancelled()
            self._last_event = event.id
            if event.kind == "progress":
                if self._stop and not self._stop_sent and "iteration" in event.data:
                    with suppress(Refused):  # the job has just ended
                        client.stop(self._job_id)
                    self._stop_sent = True
                yield progress_from(event, self.activity)
            elif event.kind == "preview":
                yield from self._preview(client)
        yield from self._results(client)

    def _submit(self, client: Client) -> str:
        request = self._request
        job = client.submit(
            request.pixels,
            request.mask,
            key=self._key,
            **request.fields(),
            mask_samples="uint8",
            result=request.result,
            format="raw",
            **request.parameters,
        )
        return str(job["id"])

    def _submitted(self, client: Client, job_id: str) -> Iterator[Any]:
        """Events to yield as soon as the job is submitted."""
        yield from ()

    def _preview(self, client: Client) -> Iterator[Preview]:
        assert self._job_id is not None
        try:
            picture = client.preview(self._job_id)
        except Refused:  # replaced or gone meanwhile; another one comes
            return
        place = picture.about
        yield Preview(place["left"], place["top"], place["width"], place["height"], picture.data)

    def _results(self, client: Client) -> Iterator[Any]:
        assert self._job_id is not None
        job = client.job(self._job_id)
        self._check_cancelled()
        if job["state"] != "done":
            raise JobFailed(**job["error"])
        for result in job["results"]:
            picture = client.result(self._job_id, result["network"])
            yield Result(
                network=NETWORK_NAMES.get(result["network"], result["network"]),
                left=result["left"],
                top=result["top"],
                width=result["width"],
                height=result["height"],
                pixels=picture.data,
            )
        self.remarks = remarks_on(job)
        if not job["stopped"]:
            self.seconds = sum(result["seconds"] for result in job["results"])
        with suppress(ClientError):  # the result is here; the service prunes its copy some day
            client.delete(self._job_id)

    def _check_cancelled(self) -> None:
        if self._cancel:
            if self._job_id is not None:
                self.cancel()  # the job may have been submitted just before
            raise Cancelled

    def _delete(self, job_id: str) -> None:
        # If this fails, the lease ends the job.
        with suppress(ClientError), self._service.running() as client:
            client.delete(job_id)


def progress_from(event: Event, activity: str = "") -> Progress:
    """Progress as the service tells it, in words for a person."""
    data = event.data
    if "fraction" not in data:
        queued = data["state"] == "queued"
        return Progress(_("Waiting in the queue…") if queued else _("Getting ready…"))
    if "iteration" not in data:
        return Progress(activity, data["fraction"], data["remaining_s"])
    return Progress(
        text=activity or _("Restoring"),
        fraction=data["fraction"],
        remaining_s=data["remaining_s"] if data["iteration"] >= _WARM_UP_ITERATIONS else None,
        details=Details(
            network=NETWORK_NAMES.get(data["network"], data["network"]),
            iteration=data["iteration"],
            iterations=data["iterations"],
            loss=data["loss"],
            validation_psnr_db=data["validation_psnr_db"],
        ),
        note=data.get("coded_note"),
    )


def remarks_on(job: dict[str, Any]) -> list[str]:
    """Remarks on the results of a job, for a person.

    What was not reached, and whether the damage should have been grown.
    """
    remarks = []
    if job["stopped"]:
        fraction = (job["progress"] or {}).get("fraction", 0)
        remarks.append(
            _(
                "Stopped at {share} of the work. All damage is filled, the part that was not "
                "reached more simply, from its rim."
            ).format(share=whole_percent(fraction))
        )
    for note in job["coded_notes"]:
        if note["code"] in ("rim_damaged", "time_over"):
            remarks.append(told(note))
    return remarks
