"""Authentication of requests. Every rule here prevents an attack that other programs suffered.

- DNS rebinding (Ollama, CVE-2024-28224): an attacker points the name of a web site at 127.0.0.1;
  its pages then send that name in Host. Host must be a loopback name or an allowed name.
- A web page that posts to localhost (ComfyUI; MCP Inspector, CVE-2025-49596): every path except
  health and the page itself needs the bearer token. A foreign Origin or Sec-Fetch-Site is refused
  even with the token, and no response has CORS headers.
- Token theft: the token has 256 random bits, is in a file that only its owner can read, is compared
  in constant time, and is never in a URL. A browser signs in with a launch code, which is valid
  once and for a minute; the one that `dip serve` prints in a terminal, for an hour. The browser
  then has a cookie that scripts cannot read and other sites cannot use.
- Other users: each has their own token (`server.http.users`); the service stores only its hash. A
  user cannot find out whether another user's job exists.
- Another program on the port: `proof` shows that this service knows the token, before the client
  sends it.

Sources: OWASP Cross-Site Request Forgery Prevention Cheat Sheet; the W3C's Fetch Metadata Request
Headers; RFC 6750 for the bearer token.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from server.errors import ServiceError
from server.jobs.job import OWNER

LAUNCH_CODE_S = 60
PRINTED_CODE_S = 3600
"""A person reads the printed link when they need it; other users of the machine cannot."""

COOKIE_S = 12 * 3600
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
PUBLIC = re.compile(r"/|/launch|/static/[0-9a-f]{16}/([a-z0-9-]+/)?[a-z0-9._-]+|/v1/health")
"""Paths that need no token; they reveal nothing about jobs."""

RESPONSE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; worker-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")


@dataclass(frozen=True, kw_only=True)
class RequestCredentials:
    """The parts of a request that authentication uses; None for a missing header."""

    method: str
    path: str
    host: str | None = None
    origin: str | None = None
    fetch_site: str | None = None
    authorization: str | None = None
    cookie: str | None = None
    has_body: bool = False

    @property
    def is_public(self) -> bool:
        """Whether the request needs no token."""
        return (
            self.method in ("GET", "HEAD", "OPTIONS")
            and not self.has_body
            and PUBLIC.fullmatch(self.path) is not None
        )


class Authenticator:
    """Accepts requests, or refuses them with a reason.

    Parameters
    ----------
    token : str
        The owner's.
    allowed_hosts : iterable of str
        Allowed names in Host, besides the loopback names.
    digest : callable
        Returns the SHA-256 of a user's token for the user's name, or None.
    encrypted : bool
        Whether this service is at https://.
    """

    def __init__(
        self,
        token: str,
        allowed_hosts: tuple[str, ...] = (),
        *,
        digest: Callable[[str], str | None] = lambda name: None,
        encrypted: bool = False,
    ) -> None:
        self._token = token.encode()
        self._hosts = LOOPBACK_NAMES | {name.lower() for name in allowed_hosts}
        self._digest = digest
        self._scheme = "https" if encrypted else "http"
        self._codes: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()

    def check(self, credentials: RequestCredentials) -> str:
        """Authenticate a request; return the name of its user.

        The name is '' for the owner, and for public paths.

        Raises
        ------
        ServiceError
            `host_refused`, `origin_refused`, `token_required`.
        """
        self._check_host(credentials.host)
        self._check_origin(credentials)
        if credentials.is_public:
            return OWNER
        if credentials.authorization is not None:
            scheme, _, token = credentials.authorization.partition(" ")
            user = self._user_with(token.strip()) if scheme.lower() == "bearer" else None
            if user is not None:
                return user
            raise ServiceError(
                "token_required", "The token in Authorization is not this service's."
            )
        user = None if credentials.cookie is None else self._user_in(credentials.cookie)
        if user is not None:
            self._check_same_origin(credentials)
            return user
        raise ServiceError("token_required", "The request carries no token.")

    def _user_with(self, token: str) -> str | None:
        if _equal(token.encode(), self._token):
            return OWNER
        name, dot, _ = token.partition(".")
        digest = self._digest(name) if dot else None
        seen = hashlib.sha256(token.encode()).hexdigest()
        return name if digest is not None and _equal(seen.encode(), digest.encode()) else None

    # --- Browsers --------------------------------------------------------------------------------

    def launch_code(self, user: str = OWNER, *, lifetime_s: float = LAUNCH_CODE_S) -> str:
        """Create a code that opens the page once, within its lifetime."""
        code, now = secrets.token_urlsafe(32), time.monotonic()
        with self._lock:
            self._codes = {each: due for each, due in self._codes.items() if due[0] > now}
            self._codes[code] = now + lifetime_s, user
        return code

    def trade(self, code: str) -> str:
        """Trade a launch code for a cookie's value.

        Raises
        ------
        ServiceError
            `launch_code_spent`: the code was used before, is too old, or never existed.
        """
        with self._lock:
            match = next((each for each in self._codes if _equal(each.encode(), code.encode())), "")
            until, user = self._codes.pop(match, (0.0, OWNER))
        key = self._key_of(user)
        if until < time.monotonic() or key is None:
            raise ServiceError("launch_code_spent", "This link was already used, or is too old.")
        about = f"{int(time.time()) + COOKIE_S}" + (f".{user}" if user else "")
        return f"{about}.{_sign(key, 'cookie', about)}"

    def proof(self, challenge: str, user: str = OWNER) -> str:
        """Prove knowledge of the owner's token, or of a user's hash, without revealing it.

        An unknown user gets a proof too, so that the answer does not reveal who is a user.
        """
        if user == OWNER:
            return _sign(self._token, "health", challenge)
        digest = self._digest(user) or _sign(self._token, "nobody", user)
        return _sign(digest.encode(), "health", challenge)

    def _user_in(self, cookie: str) -> str | None:
        """The user of a valid cookie, or None."""
        about, _, signature = cookie.rpartition(".")
        expires, _, user = about.partition(".")
        if not (expires.isascii() and expires.isdigit() and len(expires) <= 12):
            return None
        key = self._key_of(user)
        if key is None or not _equal(signature.encode(), _sign(key, "cookie", about).encode()):
            return None
        return user if int(expires) > time.time() else None

    def _key_of(self, user: str) -> bytes | None:
        """The key that signs a user's cookies; without the user's token it is None."""
        if user == OWNER:
            return self._token
        digest = self._digest(user)
        return None if digest is None else _sign(self._token, "user", digest).encode()

    # --- Headers that only a browser sends -------------------------------------------------------

    def _check_host(self, host: str | None) -> None:
        if host is None:
            raise ServiceError("host_refused", "The request has no Host header.")
        match = _HOST.fullmatch(host.lower())
        if match is None or match["name"] not in self._hosts:
            raise ServiceError("host_refused", "The Host header has a name that is not allowed.")

    def _check_origin(self, credentials: RequestCredentials) -> None:
        if credentials.fetch_site not in (None, "same-origin", "none"):
            raise ServiceError("origin_refused", "The request comes from a page of another site.")
        if credentials.origin is not None and credentials.origin.lower() != self._own_origin(
            credentials
        ):
            raise ServiceError("origin_refused", "The request comes from a page of another origin.")

    def _check_same_origin(self, credentials: RequestCredentials) -> None:
        """For changes, a cookie is not enough: the browser must name this page as the origin."""
        if credentials.method in ("GET", "HEAD"):
            return
        if credentials.fetch_site != "same-origin" and credentials.origin is None:
            raise ServiceError(
                "origin_refused", "The request does not name this service's page as its origin."
            )

    def _own_origin(self, credentials: RequestCredentials) -> str:
        return f"{self._scheme}://{(credentials.host or '').lower()}"


def cookie_name(port: int) -> str:
    """The session cookie's name. All ports of a host share cookies, so the port is part of it."""
    return f"dip_session_{port}"


def cookie_value(header: str | None, port: int) -> str | None:
    """The value of the session cookie in a Cookie header, or None."""
    for pair in (header or "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == cookie_name(port):
            return value
    return None


def _sign(key: bytes, purpose: str, text: str) -> str:
    message = f"dip-restore {purpose} {text}".encode()
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def _equal(left: bytes, right: bytes) -> bool:
    return hmac.compare_digest(left, right)
