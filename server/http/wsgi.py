"""Calls of the WSGI application, in threads (PEP 3333)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from werkzeug.wsgi import FileWrapper

from server.http.request_head import RequestHead

USER_KEY = "dip.user"
"""In the WSGI environment: the user of a request that was authenticated before its body."""

GONE_KEY = "dip.client_gone"
"""In the WSGI environment: a callable that says whether the client has closed the connection."""

_NOT_PASSED_ON = (
    "HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING",
    "HTTP_UPGRADE",  # it may be ignored; werkzeug refuses it
)  # fmt: skip
_BLOCK_BYTES = 256 * 1024
_AT_ONCE_BYTES = 256 * 1024
"""Responses up to this size are taken from the application at once."""


def environment(
    head: RequestHead,
    body: IO[bytes],
    body_bytes: int,
    *,
    user: str,
    gone: Callable[[], bool],
    scheme: str,
    port: int,
    client: str,
) -> dict[str, Any]:
    """The WSGI environment of a request."""
    named = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in head.headers.items()}
    for name in _NOT_PASSED_ON:
        named.pop(name, None)
    return {
        **named,
        "REQUEST_METHOD": head.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": head.path,
        "QUERY_STRING": head.query,
        "CONTENT_TYPE": head.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(body_bytes) if body_bytes else "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": client,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": _FileBlocks,
        USER_KEY: user,
        GONE_KEY: gone,
    }


class Exchange:
    """One call of the application; its methods are called by one thread at a time.

    Parameters
    ----------
    application : WSGI application
    environment : dict

    Attributes
    ----------
    status : int
    headers : list of (str, str)
    complete : bool
        Whether `begin` took the whole body.
    """

    def __init__(self, application: Any, environment: dict[str, Any]) -> None:
        self._application, self._environment = application, environment
        self._result: Iterable[bytes] = ()
        self._parts: Iterator[bytes] = iter(())
        self.status = 500
        self.headers: list[tuple[str, str]] = []
        self.complete = False

    def begin(self) -> bytes:
        """Call the application; return the first part of the body."""
        self._result = self._application(self._environment, self._start)
        self._parts = iter(self._result)
        sizes = [int(text) for name, text in self.headers if name.lower() == "content-length"]
        if sizes and sizes[0] <= _AT_ONCE_BYTES:
            body = b"".join(self._parts)
            self.complete = True
            self.close()
            return body
        return next(self._parts, b"")

    def next_part(self) -> bytes | None:
        """The next part of the body; None after the last."""
        return next(self._parts, None)

    def close(self) -> None:
        """Release the application's resources of the response."""
        result, self._result = self._result, ()
        close = getattr(result, "close", None)
        if close is not None:
            close()

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        self.status, self.headers = int(status.split(" ", 1)[0]), headers
        return _refuse_write


def _refuse_write(data: bytes) -> None:
    raise NotImplementedError("the application returns its body")


class _FileBlocks(FileWrapper):
    """The blocks of a file, larger than the application asks for."""

    def __init__(self, file: IO[bytes], block_bytes: int = 0) -> None:
        super().__init__(file, max(block_bytes, _BLOCK_BYTES))
