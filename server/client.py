"""Talks to the restoration service: `requests` and the standard library, nothing else.

This file stands alone: the command line uses it, and other programs may carry a copy. ::

    client = Client.find()
    job = client.submit(Path("photo.png"), Path("mask.png"), network="unet")
    for event in client.events(job["id"]):
        print(event.kind, event.data)
    client.result(job["id"]).save("restored.png")

What is safe to repeat is repeated: a service that restarts in between is not noticed. A
submission carries a key, so that repeating it never makes a second job. Proxy variables are
ignored. Before the token is shown, the service has to prove that it knows it; one at https:// also
shows the certificate that is expected.

::

    ClientError              code, message, hint
    ├── Unreachable          nobody answers, or no service was ever started
    ├── UntrustedServer             who answers is not the service, or of another version
    ├── Refused              the service's answer is an error; `status` says which
    └── JobFailed            the job ended without a result
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import ssl
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import requests
from requests.adapters import HTTPAdapter

API_VERSION = 1
PATIENCE_S = 15.0
CONNECT_S, ANSWER_S = 3.05, 60.0
SILENCE_S = 20.0
"""A stream that is quiet for this long is taken for dead: the service gives signs of life."""

_CHUNK = 1 << 20
_WORTH_REPEATING = {"queue_full", "shutting_down", "too_many_streams"}
_YOUNGER = ("texture",)
"""Parameters that services of before refuse."""

Pixels = bytes | bytearray | memoryview | Path


def default_data_dir() -> Path:
    """Where a service keeps its jobs and its token, unless told otherwise.

    XDG variables are not consulted: inside a sandbox they point elsewhere than outside of it.
    """
    if "DIP_DATA_DIR" in os.environ:
        return Path(os.environ["DIP_DATA_DIR"])
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return (Path(base) if base else Path.home() / "AppData" / "Local") / "dip-restore"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "dip-restore"
    return Path.home() / ".local" / "state" / "dip-restore"


def connection_file(data_dir: Path) -> Path:
    """Says which service elsewhere is to be used, in place of one on this machine."""
    return data_dir / "connection.json"


def fingerprint_of(certificate: Path) -> str:
    """SHA-256 of the first certificate in a PEM file, in hexadecimal.

    Raises
    ------
    ValueError
        There is none.
    """
    found = re.search(
        "-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----",
        certificate.read_text(encoding="ascii", errors="replace"),
        re.DOTALL,
    )
    if found is None:
        raise ValueError(f"There is no certificate in {certificate}.")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(found[0])).hexdigest()


# --- Errors --------------------------------------------------------------------------------------


class ClientError(Exception):
    """A failure that a user can understand and act on."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.code, self.message, self.hint = code, message, hint


class Unreachable(ClientError):
    """Nobody answers."""


class UntrustedServer(ClientError):
    """Who answers is not the service that the token belongs to, or of another version."""


class Refused(ClientError):
    """The service said no."""

    def __init__(self, status: int, code: str, message: str, hint: str = "") -> None:
        super().__init__(code, message, hint)
        self.status = status


class JobFailed(ClientError):
    """The job ended without a result."""


# --- What comes back -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Event:
    """Something that happened to a job: 'progress', 'preview', 'done' or 'error'."""

    id: int
    kind: str
    data: dict[str, Any]

    @property
    def final(self) -> bool:
        return self.kind in ("done", "error")


@dataclass(frozen=True)
class Picture:
    """A result or a preview.

    Parameters
    ----------
    data : bytes
        Of an image file, or plain samples.
    media_type : str
    about : dict
        What the Dip-* headers say: top, left, height, width, channels, samples, network ...
    """

    data: bytes
    media_type: str
    about: dict[str, Any]

    def save(self, path: Path | str) -> None:
        """Write it to a file, at once or not at all."""
        path = Path(path)
        beside = path.with_name(f".{secrets.token_hex(6)}.part")
        try:
            beside.write_bytes(self.data)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


# --- The client ----------------------------------------------------------------------------------


class Client:
    """One service.

    Parameters
    ----------
    url : str
        Such as 'http://127.0.0.1:8777'.
    token : str
        The owner's or a user's.
    patience_s : float
        How long to go on when nobody answers or the queue is full.
    fingerprint : str, optional
        Of the certificate at https://, as `fingerprint_of` gives it; one that some authority
        vouches for where None.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        patience_s: float = PATIENCE_S,
        fingerprint: str | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.patience_s = patience_s
        self._token = token
        self._data_dir: Path | None = None
        self._proven = ""
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy cannot reach this machine's own loopback
        self._pin(fingerprint)

    @classmethod
    def find(cls, data_dir: Path | None = None, *, patience_s: float = PATIENCE_S) -> Client:
        """The service of this user; it is looked up again when it comes back elsewhere.

        Raises
        ------
        Unreachable
            None has been started, or its token cannot be read.
        """
        folder = data_dir or default_data_dir()
        there = _look_up(folder)
        client = cls(there.url, there.token, patience_s=patience_s, fingerprint=there.fingerprint)
        client._data_dir = folder
        return client

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # --- How it is -------------------------------------------------------------------------------

    def health(self) -> dict[str, Any]:
        """How the service is; the service proves itself on the way.

        Raises
        ------
        UntrustedServer, Unreachable
        """
        challenge = secrets.token_hex(16)
        user, key = _user_and_key(self._token)
        try:
            response = self._session.get(
                f"{self.url}/v1/health",
                params={"challenge": challenge, **({"user": user} if user else {})},
                timeout=(CONNECT_S, ANSWER_S),
                allow_redirects=False,
            )
            answer = response.json()
            genuine = isinstance(answer, dict) and answer.get("service") == "dip-restore"
        except requests.JSONDecodeError:
            genuine = False
        except requests.exceptions.SSLError as error:
            raise UntrustedServer(
                "stranger",
                f"The certificate of {self.url} is not the one that is expected.",
                "Ask whoever runs the service for it: dip connect URL --certificate FILE",
            ) from error
        except requests.RequestException as error:
            raise _unreachable(self.url) from error
        if not genuine:
            raise UntrustedServer(
                "stranger", f"Something else answers at {self.url}.", "Start `dip serve --port 0`."
            )
        if answer.get("api") != API_VERSION:
            raise UntrustedServer(
                "version_mismatch",
                f"The service speaks version {answer.get('api')} of its interface, not "
                f"{API_VERSION}.",
                "Bring both to the same version, then restart the service.",
            )
        message = f"dip-restore health {challenge}".encode()
        expected = hmac.new(key.encode(), message, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(str(answer.get("proof", "")), expected):
            raise UntrustedServer(
                "stranger",
                f"The service at {self.url} does not know this token.",
                "It may be another user's: start your own with `dip serve --port 0`.",
            )
        self._proven = self.url
        return answer

    def capabilities(self) -> dict[str, Any]:
        """Networks, presets, devices, limits, versions. Makes the worker ready."""
        return self._json("GET", "/v1/capabilities")

    def launch(self) -> str:
        """A link that opens the page in a browser, signed in: once, within a minute."""
        return f"{self.url}{self._json('POST', '/v1/launch')['url']}"

    # --- Jobs ------------------------------------------------------------------------------------

    def submit(
        self,
        image: Pixels,
        mask: Pixels | None = None,
        *,
        key: str | None = None,
        **parameters: str | int | float | None,
    ) -> dict[str, Any]:
        """Submit a job; when this returns it is on disk there.

        Parameters
        ----------
        image, mask : bytes or Path
            An image file; plain samples where `parameters` declare them.
        key : str, optional
            Two submissions with the same key are the same job; a new one by default.
        **parameters
            As /openapi.json lists them; None is left out. An older service, which knows no
            `texture`, fills as it did; that of the job's `parameters` is missing then.
        """
        key = key or secrets.token_hex(16)
        form = Form({name: value for name, value in parameters.items() if value is not None})
        form.add_file("image", image)
        if mask is not None:
            form.add_file("mask", mask)
        try:
            return self._json("POST", "/v1/jobs", form=form, headers={"Idempotency-Key": key})
        except Refused as error:
            unknown = [name for name in _YOUNGER if f"{name}: Unknown field" in error.message]
            if not unknown:
                raise
        known = {name: value for name, value in parameters.items() if name not in unknown}
        return self.submit(image, mask, key=key, **known)

    def jobs(self, state: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """Jobs, the latest first."""
        query = {"limit": limit, **({"state": state} if state else {})}
        listed: list[dict[str, Any]] = self._json("GET", "/v1/jobs", query=query)["jobs"]
        return listed

    def job(self, job_id: str) -> dict[str, Any]:
        return self._json("GET", f"/v1/jobs/{job_id}")

    def stop(self, job_id: str) -> dict[str, Any]:
        """Finish now, with the best so far."""
        return self._json("POST", f"/v1/jobs/{job_id}/stop")

    def renew(self, job_id: str) -> dict[str, Any]:
        """Say that somebody still waits for a job with a lease."""
        return self._json("POST", f"/v1/jobs/{job_id}/lease")

    def delete(self, job_id: str) -> None:
        """Cancel a job; forget one that has ended."""
        try:
            self._request("DELETE", f"/v1/jobs/{job_id}")
        except Refused as error:
            if error.code != "job_unknown":  # an earlier try may have got through
                raise

    def events(self, job_id: str, after: int = 0) -> Iterator[Event]:
        """What happens to a job, each event once, until its last.

        A connection that breaks is made again, behind the last event that was seen. The lease of
        a job that has one is renewed on the way, as long as the caller goes on iterating.
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
                if now - broken_since > self.patience_s:
                    raise _unreachable(self.url) from error
                time.sleep(0.2)
                self._look_again()

    def wait(self, job_id: str) -> dict[str, Any]:
        """Wait for a job's end.

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
        """The result; of one network where both were asked for."""
        query = {"network": network} if network else {}
        return _picture(self._request("GET", f"/v1/jobs/{job_id}/result", query=query))

    def preview(self, job_id: str) -> Picture:
        """The region being worked on, as it looks now; JPEG."""
        return _picture(self._request("GET", f"/v1/jobs/{job_id}/preview"))

    # --- Inside ----------------------------------------------------------------------------------

    def _json(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._request(method, path, **more).json()
        return answer

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        form: Form | None = None,
        headers: dict[str, str] | None = None,
        stream: bool = False,
        silence_s: float = ANSWER_S,
    ) -> requests.Response:
        """Ask until there is an answer, or patience ends. Every request here may be repeated."""
        ends, pause_s = time.monotonic() + self.patience_s, 0.1
        while True:
            try:
                if self._proven != self.url:
                    self.health()
                response = self._session.request(
                    method,
                    f"{self.url}{path}",
                    params=query,
                    data=cast(Iterable[bytes], form),
                    headers={
                        "Authorization": f"Bearer {self._token}",
                        **({} if form is None else {"Content-Type": form.content_type}),
                        **(headers or {}),
                    },
                    timeout=(CONNECT_S, silence_s),
                    allow_redirects=False,
                    stream=stream,
                )
                if response.status_code < 400:
                    return response
                refusal = _refusal(response)
                if refusal.code not in _WORTH_REPEATING or time.monotonic() > ends:
                    raise refusal
                pause_s = max(pause_s, float(response.headers.get("Retry-After", 0)))
            except (requests.ConnectionError, requests.Timeout, Unreachable) as error:
                if time.monotonic() > ends:
                    raise _unreachable(self.url) from error
                self._look_again()
            time.sleep(min(pause_s, max(0.0, ends - time.monotonic()) + 0.01))
            pause_s = min(2 * pause_s, 2.0)

    def _stream(self, job_id: str, after: int, lease: _Lease) -> Iterator[Event]:
        response = self._request(
            "GET",
            f"/v1/jobs/{job_id}/events",
            headers={"Last-Event-ID": str(after), "Accept": "text/event-stream"},
            stream=True,
            silence_s=SILENCE_S,
        )
        with response:
            pending = b""
            for chunk in response.iter_content(chunk_size=None):
                lease.renew_in_time()
                pending += chunk
                *blocks, pending = pending.split(b"\n\n")
                for block in blocks:
                    event = _event_from(block)
                    if event is not None:
                        yield event

    def _look_again(self) -> None:
        """A service that was restarted may be at another port."""
        self._proven = ""
        if self._data_dir is not None:
            with suppress(Unreachable):  # not yet
                there = _look_up(self._data_dir)
                self.url, self._token = there.url, there.token
                self._pin(there.fingerprint)

    def _pin(self, fingerprint: str | None) -> None:
        self._session.verify = fingerprint is None  # else it is known better than by a signature
        self._session.mount("https://", _Pinned(fingerprint))


class _Pinned(HTTPAdapter):
    """Connections to whoever shows one certificate."""

    def __init__(self, fingerprint: str | None) -> None:
        self._fingerprint = fingerprint
        super().__init__()

    def init_poolmanager(self, *given: Any, **named: Any) -> None:
        super().init_poolmanager(*given, **named, assert_fingerprint=self._fingerprint)


class _Lease:
    """Renews the lease of a job, if it has one, well before it ends."""

    def __init__(self, client: Client, job: dict[str, Any]) -> None:
        self._client, self._job_id = client, job["id"]
        self._every_s = job["lease_s"] / 3 if job["lease_s"] else None
        self._renewed = 0.0

    def renew_in_time(self) -> None:
        if self._every_s is not None and time.monotonic() - self._renewed > self._every_s:
            self._client.renew(self._job_id)
            self._renewed = time.monotonic()


class Form:
    """A multipart body that is sent as it lies in memory, without a copy of the pixels.

    Parameters
    ----------
    fields : dict
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        self._boundary = secrets.token_hex(16)
        self._pieces: list[memoryview] = []
        for name, value in fields.items():
            self._add(f'form-data; name="{name}"', str(value).encode())
        self.content_type = f"multipart/form-data; boundary={self._boundary}"

    def add_file(self, name: str, pixels: Pixels) -> None:
        data = pixels.read_bytes() if isinstance(pixels, Path) else pixels
        self._add(f'form-data; name="{name}"; filename="{name}"', data)

    def _add(self, disposition: str, data: bytes | bytearray | memoryview) -> None:
        head = f"--{self._boundary}\r\nContent-Disposition: {disposition}\r\n\r\n"
        for piece in (head.encode(), data, b"\r\n"):
            self._pieces.append(memoryview(piece).cast("B"))

    def _all(self) -> list[memoryview]:
        return [*self._pieces, memoryview(f"--{self._boundary}--\r\n".encode())]

    def __len__(self) -> int:
        return sum(len(piece) for piece in self._all())

    def __iter__(self) -> Iterator[memoryview]:
        for piece in self._all():
            for start in range(0, len(piece), _CHUNK):
                yield piece[start : start + _CHUNK]


@dataclass(frozen=True)
class _Place:
    """Where a service is, and how to get in."""

    url: str
    token: str
    fingerprint: str | None


def _look_up(folder: Path) -> _Place:
    try:
        elsewhere = connection_file(folder)
        if elsewhere.exists():
            return _Place(**json.loads(elsewhere.read_text()))
        there = json.loads((folder / "server.json").read_text())
        token = (folder / "token").read_text().strip()
        return _Place(there["url"], token, there.get("fingerprint"))
    except (OSError, ValueError, KeyError, TypeError):
        raise Unreachable(
            "unreachable", f"No service is running (looked in {folder}).", "Start it: dip serve"
        ) from None


def _user_and_key(token: str) -> tuple[str, str]:
    """Whose token it is, '' for the owner's, and what the service knows of it."""
    user, dot, _ = token.partition(".")
    return (user, hashlib.sha256(token.encode()).hexdigest()) if dot else ("", token)


def _unreachable(url: str) -> Unreachable:
    return Unreachable(
        "unreachable", f"The service at {url} does not answer.", "Start it again: dip serve"
    )


def _refusal(response: requests.Response) -> Refused:
    try:
        error = response.json()["error"]
        return Refused(response.status_code, error["code"], error["message"], error["hint"])
    except (ValueError, KeyError, TypeError):
        return Refused(
            response.status_code, "bad_answer", f"The answer was {response.status_code}."
        )


def _picture(response: requests.Response) -> Picture:
    about: dict[str, Any] = {}
    for name, value in response.headers.items():
        if name.lower().startswith("dip-"):
            about[name[4:].lower()] = int(value) if value.isdigit() else value
    return Picture(response.content, response.headers.get("Content-Type", ""), about)


def _event_from(block: bytes) -> Event | None:
    """One event of a stream; None for signs of life."""
    fields: dict[str, str] = {}
    for line in block.decode().splitlines():
        name, _, value = line.partition(":")
        fields[name] = value.removeprefix(" ")
    if "data" not in fields:
        return None
    return Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))
