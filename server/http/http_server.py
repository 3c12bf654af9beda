"""The HTTP server: connections in one event loop, the application in threads.

h11 parses the requests; asyncio has the connections and TLS.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from server.http.admission import Admission, takes_upload
from server.http.auth import Authenticator
from server.http.connection import Connection, Doors
from server.http.wire import BODY_BYTES, Wire
from server.settings import ServerSettings

SPARE_THREADS = 16
"""For short requests, besides one thread for each event stream."""

HANDSHAKE_TIMEOUT_S = 10.0
_MAX_CONNECTIONS = 2000
_CLOSE_TIMEOUT_S = 5.0

_log = logging.getLogger(__name__)


class HttpServer:
    """Serves an application in a thread of its own, from `start` to `close`.

    Parameters
    ----------
    application : WSGI application
    settings : ServerSettings
    authenticator : Authenticator
    sock : socket
        Bound.
    context : ssl.SSLContext, optional
        Every connection is a TLS connection.
    """

    def __init__(
        self,
        application: Any,
        settings: ServerSettings,
        authenticator: Authenticator,
        sock: socket.socket,
        context: ssl.SSLContext | None = None,
    ) -> None:
        port = sock.getsockname()[1]
        self._sock, self._context = sock, context
        self._threads = ThreadPoolExecutor(settings.max_streams + SPARE_THREADS, "request")
        self._doors = Doors(
            application=application,
            settings=settings,
            admit=Admission(settings, authenticator, port).admit,
            takes_upload=takes_upload,
            threads=self._threads,
            port=port,
        )
        self._buffer = memoryview(bytearray(BODY_BYTES))
        self._connections: dict[asyncio.Task[Any], tuple[Wire, Connection]] = {}
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_log_fault)
        self._closing = asyncio.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Accept connections; return at once."""
        self._thread.start()
        self._started.wait()

    def wait(self, timeout_s: float) -> bool:
        """Wait a while for the end of the server; whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Accept no more, let running requests end for a few seconds, close all connections."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join()
        self._threads.shutdown(wait=True, cancel_futures=True)

    # --- The thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._started.set()
            self._loop.close()

    async def _serve(self) -> None:
        server = await self._loop.create_server(
            lambda: Wire(self._buffer, self._serve_connection),
            sock=self._sock,
            ssl=self._context,
            ssl_handshake_timeout=None if self._context is None else HANDSHAKE_TIMEOUT_S,
        )
        self._started.set()
        await self._closing.wait()
        server.close()
        for wire, connection in list(self._connections.values()):
            if connection.idle:
                wire.abort()
        if self._connections:
            await asyncio.wait(list(self._connections), timeout=_CLOSE_TIMEOUT_S)
        for wire, _ in list(self._connections.values()):
            wire.abort()
        if self._connections:
            await asyncio.wait(list(self._connections), timeout=_CLOSE_TIMEOUT_S)
        await asyncio.sleep(0)  # the transports close their sockets in the next turn

    async def _serve_connection(self, wire: Wire) -> None:
        connection = Connection(wire, self._doors)
        if len(self._connections) >= _MAX_CONNECTIONS:
            await connection.turn_away()
            return
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = wire, connection
        try:
            await connection.serve()
        finally:
            del self._connections[task]


def _log_fault(loop: asyncio.AbstractEventLoop, about: dict[str, Any]) -> None:
    error = about.get("exception")
    if isinstance(error, OSError):  # also ssl.SSLError: a client that ends, or speaks no TLS
        _log.debug("a connection failed: %s", error)
    else:
        _log.error("a fault of the server: %s", about["message"], exc_info=error)
