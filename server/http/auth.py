"""Who may ask. Every rule here answers something that went wrong elsewhere.

- DNS rebinding (Ollama, CVE-2024-28224): a page of a foreign site whose name was pointed at
  127.0.0.1 shows its own name in Host. Host must be a loopback name or one that was allowed.
- A web page that posts to localhost (ComfyUI; MCP Inspector, CVE-2025-49596): everything but
  health and the page itself needs the bearer token; a foreign Origin or Sec-Fetch-Site is refused
  even with it; there is no CORS answer to any question.
- Token theft: 256 random bits, in a file that only its owner may read, compared in constant time,
  never in a URL. A browser gets in by a launch code, which works once and within a minute, and
  then holds a cookie that scripts cannot read and that other sites cannot make it send.
- Colleagues: each has a token of their own (`server.http.users`), of which only a hash is kept, and
  never learns whether a job of somebody else exists.
- A stranger on the port: `proof` shows a client that this service knows the token before the
  client shows it.

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
COOKIE_S = 12 * 3600
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
PUBLIC = re.compile(r"/|/launch|/static/[0-9a-f]{16}/([a-z0-9-]+/)?[a-z0-9._-]+|/v1/health")
"""What may be read without a token: nothing here tells of any job."""

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
    """What is looked at before a request is let in; None for a header that is missing."""

    method: str
    path: str
    host: str | None = None
    origin: str | None = None
    fetch_site: str | None = None
    authorization: str | None = None
    cookie: str | None = None
    has_body: bool = False


class Authenticator:
    """Lets requests in, or says why not.

    Parameters
    ----------
    token : str
        The owner's.
    allowed_hosts : iterable of str
        Names in Host besides the loopback ones.
    digest : callable
        SHA-256 of a user's token by the user's name, or None.
    encrypted : bool
        Whether pages of this service are at https://.
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
        """Say who asks: the name of a user; '' for the owner, and where nobody needs to ask.

        Raises
        ------
        ServiceError
            `host_refused`, `origin_refused`, `token_required`.
        """
        self._check_host(credentials.host)
        self._check_origin(credentials)
        if (
            credentials.method in ("GET", "HEAD")
            and not credentials.has_body
            and PUBLIC.fullmatch(credentials.path)
        ):
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

    # --- A browser's way in ----------------------------------------------------------------------

    def launch_code(self, user: str = OWNER) -> str:
        """A code that opens the page once."""
        code, now = secrets.token_urlsafe(32), time.monotonic()
        with self._lock:
            self._codes = {each: due for each, due in self._codes.items() if due[0] > now}
            self._codes[code] = now + LAUNCH_CODE_S, user
        return code

    def trade(self, code: str) -> str:
        """Trade a launch code for a cookie's value.

        Raises
        ------
        ServiceError
            `launch_code_spent`: used before, too old, or never given out.
        """
        with self._lock:
            match = next((each for each in self._codes if _equal(each.encode(), code.encode())), "")
            until, user = self._codes.pop(match, (0.0, OWNER))
        key = self._key_of(user)
        if until < time.monotonic() or key is None:
            raise ServiceError("launch_code_spent", "This link worked once, and not any more.")
        about = f"{int(time.time()) + COOKIE_S}" + (f".{user}" if user else "")
        return f"{about}.{_sign(key, 'cookie', about)}"

    def proof(self, challenge: str, user: str = OWNER) -> str:
        """Show knowledge of the owner's token, or of a user's hash, without showing it.

        Who is no user gets one as well: nobody learns here who is.
        """
        if user == OWNER:
            return _sign(self._token, "health", challenge)
        digest = self._digest(user) or _sign(self._token, "nobody", user)
        return _sign(digest.encode(), "health", challenge)

    def _user_in(self, cookie: str) -> str | None:
        """Whose cookie this is."""
        about, _, signature = cookie.rpartition(".")
        expires, _, user = about.partition(".")
        if not (expires.isascii() and expires.isdigit() and len(expires) <= 12):
            return None
        key = self._key_of(user)
        if key is None or not _equal(signature.encode(), _sign(key, "cookie", about).encode()):
            return None
        return user if int(expires) > time.time() else None

    def _key_of(self, user: str) -> bytes | None:
        """What signs a user's cookies; they end with the token."""
        if user == OWNER:
            return self._token
        digest = self._digest(user)
        return None if digest is None else _sign(self._token, "user", digest).encode()

    # --- Headers that only a browser sends -------------------------------------------------------

    def _check_host(self, host: str | None) -> None:
        if host is None:
            raise ServiceError("host_refused", "The request does not say which host it is for.")
        match = _HOST.fullmatch(host.lower())
        if match is None or match["name"] not in self._hosts:
            raise ServiceError("host_refused", "The request is for a host of another name.")

    def _check_origin(self, credentials: RequestCredentials) -> None:
        if credentials.fetch_site not in (None, "same-origin", "none"):
            raise ServiceError("origin_refused", "The request comes from a page of another site.")
        if credentials.origin is not None and credentials.origin.lower() != self._own_origin(
            credentials
        ):
            raise ServiceError("origin_refused", "The request comes from a page of another origin.")

    def _check_same_origin(self, credentials: RequestCredentials) -> None:
        """A cookie alone changes nothing: the browser has to say that our own page asks."""
        if credentials.method in ("GET", "HEAD"):
            return
        if credentials.fetch_site != "same-origin" and credentials.origin is None:
            raise ServiceError(
                "origin_refused", "The request does not say that it comes from this service's page."
            )

    def _own_origin(self, credentials: RequestCredentials) -> str:
        return f"{self._scheme}://{(credentials.host or '').lower()}"


def _sign(key: bytes, purpose: str, text: str) -> str:
    message = f"dip-restore {purpose} {text}".encode()
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def _equal(left: bytes, right: bytes) -> bool:
    return hmac.compare_digest(left, right)
