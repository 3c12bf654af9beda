"""The HTTP server: connections in one event loop, the application in threads.

h11 parses the requests; asyncio has the connections and TLS.
"""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import logging
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from server.http.admission import Admission, takes_upload
from server.http.auth import Authenticator
from server.http.byte_stream import BODY_BYTES, ByteStream
from server.http.connection import Connection, SharedParts
from server.http.pace import RefusalPace
from server.settings import ServerSettings

SPARE_THREADS = 16
"""For short requests, besides one thread for each event stream."""

HANDSHAKE_TIMEOUT_S = 10.0
MAX_CONNECTIONS = 2000
"""Counted before their handshake. A new one then takes the place of one that has shown no token."""

MAX_TURNED_AWAY = 100
"""Connections at a time that are told that there is no such place; more are closed without that."""

TLS_BUFFER_BYTES = 32 * 1024
"""asyncio keeps such a buffer for each TLS connection, also before the handshake; 256 KiB by
default."""

_BACKLOG = 100
_CLOSE_TIMEOUT_S = 5.0
_NO_FILES_PAUSE_S = 0.5

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
        self._shared = SharedParts(
            application=application,
            settings=settings,
            admit=Admission(settings, authenticator, port).admit,
            takes_upload=takes_upload,
            threads=self._threads,
            pace=RefusalPace(),
            port=port,
        )
        self._buffer = memoryview(bytearray(BODY_BYTES))
        self._connections: dict[asyncio.Task[None], tuple[ByteStream, Connection] | None] = {}
        self._welcome: set[asyncio.Task[None]] = set()  # without those that are turned away
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_log_fault)
        self._closing = asyncio.Event()
        self._started = threading.Event()
        # Not Thread.join: interrupted by a signal, Python before 3.13 takes the thread for dead.
        self._ended = threading.Event()

    def start(self) -> None:
        """Accept connections; return at once."""
        threading.Thread(target=self._run, name="http", daemon=True).start()
        self._started.wait()

    def wait(self, timeout_s: float) -> bool:
        """Wait a while for the end of the server; whether it has ended."""
        return self._ended.wait(timeout_s)

    def close(self) -> None:
        """Accept no more, let running requests end for a few seconds, close all connections."""
        if self._started.is_set() and not self._ended.is_set():
            with suppress(RuntimeError):  # it ends at this moment
                self._loop.call_soon_threadsafe(self._closing.set)
            self._ended.wait()
        self._threads.shutdown(wait=True, cancel_futures=True)

    # --- The thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._started.set()
            self._loop.close()
            self._ended.set()

    async def _serve(self) -> None:
        asyncio.sslproto.SSLProtocol.max_size = TLS_BUFFER_BYTES
        self._sock.setblocking(False)
        self._sock.listen(_BACKLOG)
        accepting = self._loop.create_task(self._accept())
        accepting.add_done_callback(lambda task: self._closing.set())
        self._started.set()
        await self._closing.wait()
        accepting.cancel()
        await self._end_connections(abort_all=False)
        await self._end_connections(abort_all=True)
        await asyncio.sleep(0)  # the transports close their sockets in the next turn
        with suppress(asyncio.CancelledError):
            await accepting

    async def _accept(self) -> None:
        """Accept connections for ever.

        They are accepted here, not by asyncio's own server, which does not count the connections
        that are in their TLS handshake.
        """
        while True:
            try:
                sock, _ = await self._loop.sock_accept(self._sock)
            except ConnectionError:
                continue  # the client has closed it already
            except OSError as error:  # too many files are open
                _log.error("no connection can be accepted: %s", error)
                await asyncio.sleep(_NO_FILES_PAUSE_S)
                continue
            if len(self._connections) >= MAX_CONNECTIONS + MAX_TURNED_AWAY:
                sock.close()
                continue
            welcome = len(self._welcome) < MAX_CONNECTIONS or self._make_room()
            task = self._loop.create_task(self._serve_one(sock, welcome))
            if welcome:
                self._welcome.add(task)
                task.add_done_callback(self._welcome.discard)
            self._connections[task] = None
            task.add_done_callback(self._connections.pop)
            await asyncio.sleep(0)  # requests have their turn between two of many connections

    def _make_room(self) -> bool:
        """End the oldest connection that has shown no token, one without a request if possible.

        A client that opens thousands of connections keeps nobody out who has a token.
        """
        unknown: asyncio.Task[None] | None = None
        for task, made in self._connections.items():
            if task not in self._welcome or (made is not None and made[1].known):
                continue
            unknown = unknown or task
            if made is None or made[1].idle:
                unknown = task
                break
        if unknown is None:
            return False
        self._welcome.discard(unknown)
        self._end(unknown)
        return True

    def _end(self, task: asyncio.Task[None]) -> None:
        made = self._connections[task]
        if made is None:
            task.cancel()  # in its handshake
        else:
            made[0].abort()

    async def _serve_one(self, sock: socket.socket, welcome: bool) -> None:
        context = self._context
        try:
            _, stream = await self._loop.connect_accepted_socket(
                lambda: ByteStream(self._buffer),
                sock,
                ssl=context,
                ssl_handshake_timeout=None if context is None else HANDSHAKE_TIMEOUT_S,
                ssl_shutdown_timeout=None if context is None else _CLOSE_TIMEOUT_S,
            )
        except OSError as error:  # also ssl.SSLError: a client that ends, or speaks no TLS
            _log.debug("a connection failed: %s", error)
            return
        connection = Connection(stream, self._shared)
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = stream, connection
        await (connection.serve() if welcome else connection.turn_away())

    async def _end_connections(self, *, abort_all: bool) -> None:
        """End those that are idle, or all; wait a while for the rest."""
        for task, made in list(self._connections.items()):
            if made is None or abort_all or made[1].idle:
                self._end(task)
        if self._connections:
            await asyncio.wait(list(self._connections), timeout=_CLOSE_TIMEOUT_S)


def _log_fault(loop: asyncio.AbstractEventLoop, about: dict[str, Any]) -> None:
    error = about.get("exception")
    if isinstance(error, OSError):  # also ssl.SSLError: a client that ends, or speaks no TLS
        _log.debug("a connection failed: %s", error)
    else:
        _log.error("a fault of the server: %s", about["message"], exc_info=error)
