"""The bytes of one connection, with limits in both directions.

The client cannot send more than is read from it, and the service holds little of a response that
the client does not read. One task at a time waits for a connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import cast

HEAD_BYTES = 16 * 1024
"""So many bytes are received in advance of a request's headers."""

BODY_BYTES = 256 * 1024
"""So many bytes are received in advance of a body."""


_DISCARD_EVERY_S = 0.05


class TooSlow(Exception):
    """The client did not send or read within its time."""


class ByteStream(asyncio.BufferedProtocol):
    """One connection, plain or decrypted.

    Parameters
    ----------
    buffer : memoryview
        `BODY_BYTES` bytes that all connections of one event loop share to receive into.

    Attributes
    ----------
    read_ahead : int
        Reading pauses at so many bytes that were not taken yet.
    """

    def __init__(self, buffer: memoryview) -> None:
        self._buffer = buffer
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._paused = self._blocked = self._discarding = False
        self._discarded = 0
        self._ended = self._lost = False
        self.read_ahead = HEAD_BYTES

    @property
    def gone(self) -> bool:
        """Whether the client has closed its side; for any thread."""
        return self._ended or self._lost

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    # --- For the event loop ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer if self._discarding else self._buffer[: self.read_ahead]

    def buffer_updated(self, nbytes: int) -> None:
        if self._discarding:
            self._discarded += nbytes
        else:
            self._received += self._buffer[:nbytes]
            if len(self._received) >= self.read_ahead:
                self._paused = True
                self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._ended = True
        self._wake()
        # True leaves our side open for the answer. TLS has no half-closed connections here.
        return self.transport.get_extra_info("ssl_object") is None

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._wake()

    # --- For the task that serves this connection ------------------------------------------------

    async def receive(self, deadline: float) -> bytes:
        """The bytes that arrived since the last call, at least one; b'' at the end.

        Parameters
        ----------
        deadline : float
            On the clock of `time.monotonic`.

        Raises
        ------
        TooSlow
        """
        while not self._received and not self.gone:
            await self._change(deadline)
        data, self._received = bytes(self._received), bytearray()
        if self._paused and not self._lost:
            self._paused = False
            self.transport.resume_reading()
        return data

    async def send(self, data: bytes, stall_s: float) -> None:
        """Send bytes; return when most of them have left.

        Raises
        ------
        ConnectionResetError
            The client has closed the connection.
        TooSlow
            The client read nothing for `stall_s` seconds.
        """
        if not self._lost:
            self.transport.write(data)
            await self._drain(lambda: self._blocked, stall_s)
        if self._lost:
            raise ConnectionResetError

    async def close(self, stall_s: float, linger_s: float, linger_bytes: int) -> None:
        """Close the connection after everything is sent.

        A client that still sends would see a broken connection in place of the answer: so much of
        it is discarded, for `linger_s` seconds and `linger_bytes` bytes. Meanwhile the client sees
        the end of the answer (RFC 9112, section 9.6), but for TLS.
        """
        if linger_s:
            with suppress(OSError):  # the client has closed the connection
                if self.transport.can_write_eof():
                    self.transport.write_eof()
            await self._linger(time.monotonic() + linger_s, linger_bytes)
        if not self._lost:
            if not self.transport.is_closing():  # asyncio's TLS fails where it is closed twice
                self.transport.close()
            await self._drain(lambda: True, stall_s)

    def abort(self) -> None:
        """Close the connection now, even with data in transit."""
        self.transport.abort()

    async def _linger(self, deadline: float, most: int) -> None:
        """Discard a little at a time: a client without a token must not keep this loop busy."""
        self._discarding, self._received = True, bytearray()
        with suppress(TooSlow):
            while not self.gone and self._discarded < most:
                self.transport.resume_reading()
                await self._change(deadline)
                self.transport.pause_reading()
                await asyncio.sleep(_DISCARD_EVERY_S)

    async def _drain(self, unsent: Callable[[], bool], stall_s: float) -> None:
        """Wait while `unsent` and the client reads at least a byte in `stall_s` seconds."""
        left, deadline = self.transport.get_write_buffer_size(), time.monotonic() + stall_s
        while unsent() and not self._lost:
            try:
                await self._change(deadline)
            except TooSlow:
                now_left = self.transport.get_write_buffer_size()
                if now_left >= left:
                    self.abort()
                    raise
                left, deadline = now_left, time.monotonic() + stall_s

    async def _change(self, deadline: float) -> None:
        """Wait for the next change; TooSlow at the deadline."""
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TooSlow
        waiter = self._waiter = self._loop.create_future()
        timer = self._loop.call_later(left_s, self._expire, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @staticmethod
    def _expire(waiter: asyncio.Future[None]) -> None:
        if not waiter.done():
            waiter.set_exception(TooSlow())
