"""The head of a request, from the words of the network to those of the service."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

import h11

from server.errors import ServiceError

_ABSOLUTE = re.compile(r"https?://(?P<host>[^/?#]*)(?P<rest>.*)", re.IGNORECASE)
_JOINED_BY = {"cookie": "; "}


@dataclass(frozen=True, kw_only=True)
class RequestHead:
    """The request line and the headers.

    Parameters
    ----------
    method : str
    path : str
        Decoded, each byte a character, as WSGI has it.
    query : str
        Not decoded.
    headers : dict
        By name in lower case. Names with an underscore are left out: in WSGI they would look like
        those with a hyphen.
    body_bytes : int or None
        Size of the body, bytes; None for a body in chunks.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body_bytes: int | None

    @property
    def has_body(self) -> bool:
        return self.body_bytes != 0

    @classmethod
    def of(cls, request: h11.Request) -> RequestHead:
        """The head of a request that was parsed.

        Raises
        ------
        ServiceError
            `bad_request`: another version of HTTP, two sizes of the body, or a request line that
            contradicts Host.
        """
        if request.http_version not in (b"1.0", b"1.1"):
            raise ServiceError("bad_request", "The request is of an HTTP version above 1.1.")
        headers: dict[str, str] = {}
        for raw_name, raw_value in request.headers:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            if "_" not in name:
                joined = _JOINED_BY.get(name, ",")
                headers[name] = f"{headers[name]}{joined}{value}" if name in headers else value
        chunked = "transfer-encoding" in headers
        if chunked and "content-length" in headers:
            raise ServiceError(
                "bad_request",
                "The request has Content-Length and Transfer-Encoding.",
                "Send one of them.",
            )
        target = _in_origin_form(request, headers.get("host"))
        path, _, query = target.partition("?")
        return cls(
            method=request.method.decode("ascii"),
            path=unquote_to_bytes(path).decode("latin-1"),
            query=query,
            headers=headers,
            body_bytes=None if chunked else int(headers.get("content-length", "0")),
        )


def _in_origin_form(request: h11.Request, host: str | None) -> str:
    target = request.target.decode("ascii", errors="replace")
    if target.startswith("/") or (target == "*" and request.method == b"OPTIONS"):
        return target
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise ServiceError("bad_request", "The address in the request line is no path.")
    if match["host"].lower() != (host or "").lower():
        raise ServiceError(
            "bad_request", "The request line and the Host header name different hosts."
        )
    rest = match["rest"]
    return rest if rest.startswith("/") else f"/{rest}"
