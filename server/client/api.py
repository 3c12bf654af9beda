"""The service's API as methods: submit a job, follow it, fetch its result."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from .address import ServiceAddress, default_data_dir
from .connection import Connection
from .errors import JobFailed, Refused, Unreachable
from .messages import Event, Form, Picture, Pixels, event_from, picture_from

RETRY_TIMEOUT_S = 15.0
STREAM_TIMEOUT_S = 20.0
"""An event stream without data for this long is broken: the service sends heartbeats."""


class Client:
    """One service.

    Parameters
    ----------
    url : str
        For example 'http://127.0.0.1:8777'.
    token : str
        The owner's or a user's.
    retry_timeout_s : float
        How long a request is repeated while the service does not answer or its queue is full.
    fingerprint : str, optional
        Of the certificate at https://, from `fingerprint_of`; None to trust the certificate
        authorities.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        retry_timeout_s: float = RETRY_TIMEOUT_S,
        fingerprint: str | None = None,
    ) -> None:
        address = ServiceAddress(url, token, fingerprint)
        self._connection = Connection(address, retry_timeout_s)

    @classmethod
    def find(
        cls, data_dir: Path | None = None, *, retry_timeout_s: float = RETRY_TIMEOUT_S
    ) -> Client:
        """The service of this user; its address is looked up again after a restart.

        Raises
        ------
        Unreachable
            No service was started, or its token cannot be read.
        """
        folder = data_dir or default_data_dir()
        found = ServiceAddress.look_up(folder)
        client = cls(
            found.url,
            found.token,
            retry_timeout_s=retry_timeout_s,
            fingerprint=found.fingerprint,
        )
        client._connection.data_dir = folder
        return client

    @property
    def url(self) -> str:
        return self._connection.url

    @property
    def retry_timeout_s(self) -> float:
        return self._connection.retry_timeout_s

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # --- The service -----------------------------------------------------------------------------

    def health(self) -> dict[str, Any]:
        """Ask for the state of the service, and check its proof of identity.

        Raises
        ------
        UntrustedServer, Unreachable
        """
        return self._connection.health()

    def capabilities(self) -> dict[str, Any]:
        """Networks, presets, devices, limits, versions. The service also starts its worker."""
        return self._json("GET", "/v1/capabilities")

    def launch(self) -> str:
        """A link that opens the page signed in; valid once, for a minute."""
        return f"{self.url}{self._json('POST', '/v1/launch')['url']}"

    # --- Jobs ------------------------------------------------------------------------------------

    def submit(
        self,
        image: Pixels,
        mask: Pixels | None = None,
        *,
        key: str | None = None,
        photo_name: str = "",
        **parameters: str | int | float | None,
    ) -> dict[str, Any]:
        """Submit a job; the service has it on disk when this returns.

        Parameters
        ----------
        image, mask : bytes or Path
            An image file; plain samples where `parameters` declare them.
        key : str, optional
            Two submissions with the same key are the same job; a new key by default.
        photo_name : str, optional
            For people who see the job; by default the name of a file.
        **parameters
            The form fields of /openapi.json; None is left out.
        """
        form = Form({name: value for name, value in parameters.items() if value is not None})
        form.add_file("image", image, photo_name)
        if mask is not None:
            form.add_file("mask", mask)
        return self._submit("/v1/jobs", form, key)

    def jobs(self, state: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """Jobs, the latest first."""
        query = {"limit": limit, **({"state": state} if state else {})}
        listed: list[dict[str, Any]] = self._json("GET", "/v1/jobs", query=query)["jobs"]
        return listed

    def job(self, job_id: str) -> dict[str, Any]:
        return self._json("GET", f"/v1/jobs/{job_id}")

    def stop(self, job_id: str) -> dict[str, Any]:
        """Complete a job now, with the best result so far."""
        return self._json("POST", f"/v1/jobs/{job_id}/stop")

    def renew(self, job_id: str) -> dict[str, Any]:
        """Renew the lease of a job."""
        return self._json("POST", f"/v1/jobs/{job_id}/lease")

    def delete(self, job_id: str) -> None:
        """Cancel a job that is queued or running; delete one that has ended."""
        try:
            self._connection.request("DELETE", f"/v1/jobs/{job_id}")
        except Refused as error:
            if error.code != "job_unknown":  # an earlier try may have succeeded
                raise

    def events(self, job_id: str, after: int = 0) -> Iterator[Event]:
        """Yield each event of a job once, up to its last.

        A broken connection is made again and resumes after the last event seen. The lease of a
        job that has one is renewed while the caller iterates.
        """
        lease = _Lease(self, self.job(job_id))
        broken_since: float | None = None
        while True:
            try:
                for event in self._stream(job_id, after, lease):
                    broken_since = None
                    if event.id > after:
                        after = event.id
                        yield event
                    if event.final:
                        return
                if self.job(job_id)["state"] in ("done", "failed", "cancelled") and after:
                    return
            except (requests.RequestException, Unreachable) as error:
                now = time.monotonic()
                broken_since = broken_since or now
                if now - broken_since > self.retry_timeout_s:
                    raise self._connection.unreachable() from error
                time.sleep(0.2)
                self._connection.look_up_again()

    def wait(self, job_id: str) -> dict[str, Any]:
        """Wait for the end of a job, and return the job.

        Raises
        ------
        JobFailed
        """
        for _ in self.events(job_id):
            pass
        job = self.job(job_id)
        if job["state"] != "done":
            raise JobFailed(**job["error"])
        return job

    def result(self, job_id: str, network: str | None = None) -> Picture:
        """The result; of one network where both were fitted."""
        query = {"network": network} if network else {}
        return picture_from(
            self._connection.request("GET", f"/v1/jobs/{job_id}/result", query=query)
        )

    def preview(self, job_id: str) -> Picture:
        """The current state of the region in work, as JPEG."""
        return picture_from(self._connection.request("GET", f"/v1/jobs/{job_id}/preview"))

    # --- Finding damage --------------------------------------------------------------------------

    def detect(
        self,
        image: Pixels,
        *,
        infrared: Pixels | None = None,
        key: str | None = None,
        photo_name: str = "",
        **parameters: str | int | float | None,
    ) -> dict[str, Any]:
        """Submit a detection; its events, its lease and its end are those of a job.

        Parameters
        ----------
        image, key, photo_name, **parameters
            As for `submit`.
        infrared : bytes or Path, optional
            An image file with the scanner's infrared plane.
        """
        form = Form({name: value for name, value in parameters.items() if value is not None})
        form.add_file("image", image, photo_name)
        if infrared is not None:
            form.add_file("infrared", infrared)
        return self._submit("/v1/detections", form, key)

    def _submit(self, path: str, form: Form, key: str | None) -> dict[str, Any]:
        headers = {"Idempotency-Key": key or secrets.token_hex(16)}
        return self._json("POST", path, form=form, headers=headers)

    def detection(self, job_id: str) -> dict[str, Any]:
        return self._json("GET", f"/v1/detections/{job_id}")

    def levels(self, job_id: str, *, quick: bool = False) -> Picture:
        """The damage that was found, for every sensitivity, as PNG; see /openapi.json.

        `quick` asks for the first answer, which needs no network and comes at once.
        """
        query = {"quick": "true"} if quick else {}
        return picture_from(
            self._connection.request("GET", f"/v1/detections/{job_id}/levels", query=query)
        )

    def marks(self, job_id: str, **parameters: str | int | float | None) -> Picture:
        """The mask at a sensitivity, as PNG."""
        query = {name: value for name, value in parameters.items() if value is not None}
        return picture_from(
            self._connection.request("GET", f"/v1/detections/{job_id}/mask", query=query)
        )

    # --- Inside ----------------------------------------------------------------------------------

    def _json(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._connection.request(method, path, **more).json()
        return answer

    def _stream(self, job_id: str, after: int, lease: _Lease) -> Iterator[Event]:
        response = self._connection.request(
            "GET",
            f"/v1/jobs/{job_id}/events",
            headers={"Last-Event-ID": str(after), "Accept": "text/event-stream"},
            stream=True,
            read_timeout_s=STREAM_TIMEOUT_S,
        )
        with response:
            pending = b""
            for chunk in response.iter_content(chunk_size=None):
                lease.renew_in_time()
                pending += chunk
                *blocks, pending = pending.split(b"\n\n")
                for block in blocks:
                    event = event_from(block)
                    if event is not None:
                        yield event


class _Lease:
    """Renews the lease of a job, if it has one, after each third of its time."""

    def __init__(self, client: Client, job: dict[str, Any]) -> None:
        self._client, self._job_id = client, job["id"]
        self._every_s = job["lease_s"] / 3 if job["lease_s"] else None
        self._renewed = 0.0

    def renew_in_time(self) -> None:
        if self._every_s is not None and time.monotonic() - self._renewed > self._every_s:
            self._client.renew(self._job_id)
            self._renewed = time.monotonic()
