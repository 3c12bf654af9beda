"""TLS for the HTTP server, which has no TLS of its own.

A pair of sockets inside this process connects each TLS connection to the HTTP server; no second
port is opened. While one side does not read, nothing is read from the other, so the timeouts of
`server.http.waitress_server` for slow clients apply here too.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path

from server.errors import ServiceFailure

HANDSHAKE_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 30.0
_CHUNK = 256 * 1024

_log = logging.getLogger(__name__)


def context_from(certificate: Path, key: Path) -> ssl.SSLContext:
    """The server's side of TLS 1.2 and 1.3.

    Raises
    ------
    ServiceFailure
        The files are no certificate and key in PEM format.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise ServiceFailure(
            f"{certificate} and {key} cannot be used: {error}.",
            "Give two PEM files: the certificate, followed by those that signed it; and its key, "
            "without a password.",
        ) from error
    return context


def _no_password() -> str:
    raise ValueError("the key has a password")


class Relay:
    """Decrypts and encrypts connections in its own thread.

    Parameters
    ----------
    context : ssl.SSLContext
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tls", daemon=True)
        self._close_timeout_s = CLOSE_TIMEOUT_S
        self._running: set[asyncio.Task[None]] = set()
        self._thread.start()

    def take(self, connection: socket.socket) -> socket.socket:
        """Take over an accepted TLS connection; return a socket with its decrypted data."""
        inner, outer = socket.socketpair()
        connection.setblocking(False)
        outer.setblocking(False)
        self._loop.call_soon_threadsafe(self._begin, connection, outer)
        return inner

    def close(self) -> None:
        """Close every connection."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._close_timeout_s = 0.1
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _begin(self, connection: socket.socket, outer: socket.socket) -> None:
        task = self._loop.create_task(self._relay(connection, outer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _relay(self, connection: socket.socket, outer: socket.socket) -> None:
        writers = []
        try:
            client, to_client = await self._shake_hands(connection)
            writers.append(to_client)
            service, to_service = await asyncio.open_connection(sock=outer, limit=_CHUNK)
            writers.append(to_service)
            pumps = (_pump(client, to_service), _pump(service, to_client))
            tasks = [asyncio.ensure_future(pump) for pump in pumps]
            try:  # when one side ends, the other ends too
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
        except OSError as error:  # also ssl.SSLError
            _log.debug("the TLS connection failed: %s", error)
        finally:
            for writer in writers:
                await self._close(writer)
            connection.close()
            outer.close()

    async def _close(self, writer: asyncio.StreamWriter) -> None:
        """Close a connection after its data is sent, or after a timeout."""
        writer.close()
        try:
            await asyncio.wait_for(writer.wait_closed(), self._close_timeout_s)
        except (OSError, asyncio.TimeoutError):
            writer.transport.abort()

    async def _shake_hands(
        self, connection: socket.socket
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader = asyncio.StreamReader(limit=_CHUNK)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await self._loop.connect_accepted_socket(
            lambda: protocol,
            connection,
            ssl=self._context,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
        )
        return reader, asyncio.StreamWriter(transport, protocol, reader, self._loop)


async def _pump(source: asyncio.StreamReader, drain: asyncio.StreamWriter) -> None:
    with suppress(OSError):  # the other side has closed
        while data := await source.read(_CHUNK):
            drain.write(data)
            await drain.drain()
