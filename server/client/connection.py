"""The connection to a service: proof of identity, pinned certificates, repeated requests."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import requests
from requests.adapters import HTTPAdapter

from .address import ServiceAddress
from .errors import Unreachable, UntrustedServer
from .messages import Form, refusal_from

API_VERSION = 1
CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S = 3.05, 60.0

_TEMPORARY = {"queue_full", "shutting_down", "too_many_streams"}


class Connection:
    """Sends requests to one service, and repeats them until an answer arrives.

    Parameters
    ----------
    address : ServiceAddress
    retry_timeout_s : float
        How long a request is repeated while the service does not answer or is busy.

    Attributes
    ----------
    data_dir : Path or None
        The folder where the address is looked up again after a failed request.
    """

    def __init__(self, address: ServiceAddress, retry_timeout_s: float) -> None:
        self.retry_timeout_s = retry_timeout_s
        self.data_dir: Path | None = None
        self._proven = ""
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy cannot reach this machine's own loopback
        self._use(address)

    def close(self) -> None:
        self._session.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        form: Form | None = None,
        headers: dict[str, str] | None = None,
        stream: bool = False,
        read_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> requests.Response:
        """Send a request that may be repeated, until an answer arrives.

        Raises
        ------
        ClientError
        """
        ends, pause_s = time.monotonic() + self.retry_timeout_s, 0.1
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
                    timeout=(CONNECT_TIMEOUT_S, read_timeout_s),
                    allow_redirects=False,
                    stream=stream,
                )
                if response.status_code < 400:
                    return response
                refusal = refusal_from(response)
                if refusal.code not in _TEMPORARY or time.monotonic() > ends:
                    raise refusal
                pause_s = max(pause_s, float(response.headers.get("Retry-After", 0)))
            except (requests.ConnectionError, requests.Timeout, Unreachable) as error:
                if time.monotonic() > ends:
                    raise self.unreachable() from error
                self.look_up_again()
            time.sleep(min(pause_s, max(0.0, ends - time.monotonic()) + 0.01))
            pause_s = min(2 * pause_s, 2.0)

    def health(self) -> dict[str, Any]:
        """Ask for the state of the service, and check its proof of identity.

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
                timeout=(CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S),
                allow_redirects=False,
            )
            answer = response.json()
            genuine = isinstance(answer, dict) and answer.get("service") == "dip-restore"
        except requests.JSONDecodeError:
            genuine = False
        except requests.exceptions.SSLError as error:
            raise UntrustedServer(
                "untrusted_server",
                f"The certificate of {self.url} is not the expected one.",
                "Get the certificate from the owner of the service, then: "
                "dip connect URL --certificate FILE",
            ) from error
        except requests.RequestException as error:
            raise self.unreachable() from error
        if not genuine:
            raise UntrustedServer(
                "untrusted_server",
                f"Another program answers at {self.url}.",
                "Start the service at a free port: dip serve --port 0",
            )
        if answer.get("api") != API_VERSION:
            raise UntrustedServer(
                "version_mismatch",
                f"The service has API version {answer.get('api')}; this client needs "
                f"{API_VERSION}.",
                "Install the same version of both, then restart the service.",
            )
        message = f"dip-restore health {challenge}".encode()
        expected = hmac.new(key.encode(), message, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(str(answer.get("proof", "")), expected):
            raise UntrustedServer(
                "untrusted_server",
                f"The service at {self.url} does not know this token.",
                "It may belong to another user: start your own with `dip serve --port 0`.",
            )
        self._proven = self.url
        return answer

    def look_up_again(self) -> None:
        """Read the address again: a service that was restarted may have another port."""
        self._proven = ""
        if self.data_dir is not None:
            with suppress(Unreachable):  # the service is still starting
                self._use(ServiceAddress.look_up(self.data_dir))

    def unreachable(self) -> Unreachable:
        """The error for a service that does not answer."""
        return Unreachable(
            "unreachable", f"The service at {self.url} does not answer.", "Start it: dip serve"
        )

    def _use(self, address: ServiceAddress) -> None:
        self.url, self._token = address.url.rstrip("/"), address.token
        # A pinned certificate needs no signature of an authority.
        self._session.verify = address.fingerprint is None
        self._session.mount("https://", _PinnedAdapter(address.fingerprint))


class _PinnedAdapter(HTTPAdapter):
    """Connects only to servers that show one certificate."""

    def __init__(self, fingerprint: str | None) -> None:
        self._fingerprint = fingerprint
        super().__init__()

    def init_poolmanager(self, *given: Any, **named: Any) -> None:
        super().init_poolmanager(*given, **named, assert_fingerprint=self._fingerprint)


def _user_and_key(token: str) -> tuple[str, str]:
    """The user of a token ('' for the owner), and the key that the service has for it."""
    user, dot, _ = token.partition(".")
    return (user, hashlib.sha256(token.encode()).hexdigest()) if dot else ("", token)
