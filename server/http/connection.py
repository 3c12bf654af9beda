"""One connection: requests are parsed by h11, checked, received, answered by the application.

Each step has its limit before it begins. The head of a request has a size, a number of lines and a
time. A request that is refused is refused by its head alone: its body is neither parsed nor kept.
A body has a size, a time, and a share that its framing may take. A client that does not read its
response is disconnected.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from typing import IO, Any

import h11

from server.errors import CODE_OF_STATUS, ServiceError
from server.http.auth import RESPONSE_HEADERS
from server.http.byte_stream import BODY_BYTES, HEAD_BYTES, ByteStream, TooSlow
from server.http.chunks import ChunkSizes
from server.http.pace import RefusalPace
from server.http.request_head import RequestHead
from server.http.wsgi import Exchange, environment
from server.jobs.files import disk_full_is_an_error
from server.settings import ServerSettings

_log = logging.getLogger(__name__)

MAX_HEAD_BYTES = 32 * 1024
MAX_HEAD_LINES = 100
MAX_SMALL_BODY_BYTES = 64 * 1024
"""The largest body of a request that is no upload."""

FRAMING_BYTES = 2 * BODY_BYTES
"""Chunk sizes, extensions and trailers take at most so much, and an eighth of the body."""

LINGER_S, LINGER_BYTES = 2.0, 2**20
"""So much of a refused body is discarded, so that the client sees the answer."""

_KEPT_IN_MEMORY_BYTES = 512 * 1024
_SENT_AT_ONCE_BYTES = 256 * 1024
_END_OF_HEAD = re.compile(rb"\n\r?\n")


@dataclass(frozen=True, kw_only=True)
class SharedParts:
    """The parts of a server that its connections share.

    Parameters
    ----------
    application : WSGI application
    settings : ServerSettings
    admit : callable
        Returns the user of a request by its head, and whether the user is proven; or raises
        ServiceError.
    takes_upload : callable
        Whether a request may have a body of any size.
    threads : Executor
        Runs the application.
    pace : RefusalPace
        Of refusals of clients that are not known.
    port : int
    """

    application: Any
    settings: ServerSettings
    admit: Callable[[RequestHead], tuple[str, bool]]
    takes_upload: Callable[[RequestHead], bool]
    threads: Executor
    pace: RefusalPace
    port: int


class Connection:
    """Answers the requests of one connection, one after the other.

    Parameters
    ----------
    stream : ByteStream
    shared : SharedParts

    Attributes
    ----------
    idle : bool
        Whether no request is being received or answered.
    known : bool
        Whether a user has shown a token in it.
    """

    def __init__(self, stream: ByteStream, shared: SharedParts) -> None:
        self._stream, self._shared, self._settings = stream, shared, shared.settings
        self._early = b""  # received after the last request
        self._unread = False  # whether the client may still be sending
        self._fresh()
        self.idle = True
        self.known = False

    async def serve(self) -> None:
        """Answer requests until the connection ends."""
        try:
            while await self._serve_one():
                pass
            await self._close()
        except (ConnectionError, TooSlow):
            self._stream.abort()
        except Exception:
            # The edge of a connection: any error ends this one only.
            _log.exception("a connection failed")
            self._stream.abort()

    async def turn_away(self) -> None:
        """Answer that there are too many connections."""
        self._unread = True
        try:
            error = ServiceError("too_many_streams", "Too many connections are open.")
            await self._shared.pace.turn()
            await self._refuse(error, None)
            await self._close()
        except (ConnectionError, TooSlow):
            self._stream.abort()

    async def _close(self) -> None:
        linger_s = LINGER_S if self._unread else 0
        await self._stream.close(self._settings.output_stall_s, linger_s, LINGER_BYTES)

    async def _serve_one(self) -> bool:
        """Answer one request; whether another may follow."""
        self._fresh()
        self.idle = True
        head = user = None
        # Bodies go to the disk with the jobs, so that their files need not be copied to it.
        folder = str(self._settings.incoming_dir)
        with tempfile.SpooledTemporaryFile(_KEPT_IN_MEMORY_BYTES, dir=folder) as body:
            try:
                request = await self._receive_head()
                if request is None:
                    return False
                head = RequestHead.of(request)
                user, proven = self._shared.admit(head)
                self.known = self.known or proven
                size = await self._receive_body(head, body)
            except (h11.RemoteProtocolError, ServiceError) as error:
                self._unread = True
                with suppress(OSError):  # on a full disk
                    body.close()
                if user is None:
                    await self._shared.pace.turn()
                await self._refuse(error, head)
                return False
            await self._answer(head, user, body, size)
        self._early = self._http.trailing_data[0]
        ended = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        self._unread = bool(self._early) or self._http.their_state is h11.SEND_BODY
        return ended

    def _fresh(self) -> None:
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        self._fed_bytes = 0
        self._head_only = False

    # --- Receiving -------------------------------------------------------------------------------

    async def _receive_head(self) -> h11.Request | None:
        """The next request; None where the client sends none."""
        stream, settings = self._stream, self._settings
        stream.read_ahead = HEAD_BYTES
        received = bytearray(self._early)
        self._early = b""
        if not received:
            try:
                received += await stream.receive(time.monotonic() + settings.idle_connection_s)
            except TooSlow:
                return None
            if not received:
                return None
        self.idle = False
        deadline, searched = time.monotonic() + settings.header_timeout_s, 0
        while (end := _END_OF_HEAD.search(received, max(0, searched - 2))) is None:
            searched = len(received)
            if searched > MAX_HEAD_BYTES:
                raise ServiceError("headers_too_large", "The headers are too long.")
            try:
                more = await stream.receive(deadline)
            except TooSlow:
                raise ServiceError(
                    "request_timeout",
                    f"The headers did not arrive within {settings.header_timeout_s:g} s.",
                ) from None
            if not more:
                raise ServiceError("bad_request", "The request ended within its headers.")
            received += more
        if end.end() > MAX_HEAD_BYTES or received.count(b"\n", 0, end.end()) > MAX_HEAD_LINES:
            raise ServiceError("headers_too_large", "The headers are too long, or too many.")
        self._feed(bytes(received))
        request = self._http.next_event()
        assert isinstance(request, h11.Request)
        self._head_only = request.method == b"HEAD"
        return request

    async def _receive_body(self, head: RequestHead, body: IO[bytes]) -> int:
        """Receive the body; return its size.

        A large body of a request that takes none is left alone, and the connection ends after
        the answer.
        """
        most = self._settings.max_request_bytes
        if not self._shared.takes_upload(head):
            if (head.body_bytes or 0) > MAX_SMALL_BODY_BYTES:
                return 0
            most = MAX_SMALL_BODY_BYTES
        if self._http.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[]))
        self._stream.read_ahead = BODY_BYTES
        chunks = ChunkSizes(most) if head.body_bytes is None else None
        size = await self._receive_into(body, chunks)
        body.seek(0)
        return size

    async def _receive_into(self, body: IO[bytes], chunks: ChunkSizes | None) -> int:
        began, size = time.monotonic(), 0
        if chunks is not None:
            chunks.read(self._http.trailing_data[0])  # received with the head
        while True:
            granted_s = self._settings.body_grace_s + size / self._settings.body_rate
            event = await self._next_event(began + granted_s, chunks)
            if isinstance(event, h11.EndOfMessage):
                return size
            assert isinstance(event, h11.Data)
            size += len(event.data)
            if self._fed_bytes > FRAMING_BYTES + size + size / 8:
                raise ServiceError(
                    "bad_request",
                    "The chunks of the body have too much around them.",
                    "Send chunks without extensions.",
                )
            with disk_full_is_an_error():
                body.write(event.data)

    async def _next_event(self, deadline: float, chunks: ChunkSizes | None) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            try:
                data = await self._stream.receive(deadline)
            except TooSlow:
                raise ServiceError("request_timeout", "The body arrived too slowly.") from None
            if chunks is not None:
                chunks.read(data)
            self._feed(data)
        return event

    def _feed(self, data: bytes) -> None:
        self._fed_bytes += len(data)
        self._http.receive_data(data)

    # --- Sending ---------------------------------------------------------------------------------

    async def _answer(self, head: RequestHead, user: str, body: IO[bytes], size: int) -> None:
        """Run the application, and send its response as it comes."""
        shared, stream = self._shared, self._stream
        call = asyncio.get_running_loop().run_in_executor
        peer = stream.transport.get_extra_info("peername")
        scheme = "https" if self._settings.encrypted else "http"
        exchange = Exchange(
            shared.application,
            environment(
                head,
                body,
                size,
                user=user,
                gone=lambda: stream.gone,
                scheme=scheme,
                port=shared.port,
                client=peer[0] if peer else "",
            ),
        )
        try:
            part: bytes | None = await call(shared.threads, exchange.begin)
            await self._send_head(exchange.status, exchange.headers)
            while part is not None:
                await self._send_data(part)
                part = None
                if not exchange.complete:
                    part = await call(shared.threads, exchange.next_part)
            await self._send(h11.EndOfMessage())
        finally:
            if not exchange.complete:
                await call(shared.threads, exchange.close)

    async def _refuse(
        self, problem: ServiceError | h11.RemoteProtocolError, head: RequestHead | None
    ) -> None:
        """Answer with an error, and end the connection."""
        error = problem if isinstance(problem, ServiceError) else _malformed(problem)
        # Without the query, which may contain a launch code.
        about = "a request" if head is None else f"{head.method} {head.path}"
        _log.info("refused: %.200s: %s", about, error.code)
        body = json.dumps(error.body()).encode()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **RESPONSE_HEADERS,
            **error.headers(),
        }
        await self._send_head(error.status, list(headers.items()))
        if not self._head_only:
            await self._send_data(body)

    async def _send_head(self, status: int, headers: list[tuple[str, str]]) -> None:
        sent = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        sent += [(b"Date", formatdate(usegmt=True).encode()), (b"Server", b"dip")]
        if self._http.their_state is h11.SEND_BODY:
            sent.append((b"Connection", b"close"))
        await self._send(h11.Response(status_code=status, headers=sent))

    async def _send_data(self, data: bytes) -> None:
        for start in range(0, len(data), _SENT_AT_ONCE_BYTES):
            await self._send(h11.Data(data=data[start : start + _SENT_AT_ONCE_BYTES]))

    async def _send(self, event: Any) -> None:
        data = self._http.send(event)
        if data:
            await self._stream.send(data, self._settings.output_stall_s)


def _malformed(error: h11.RemoteProtocolError) -> ServiceError:
    reason = str(error).partition(":")[0]  # the rest repeats the bytes of the client
    if "Host" in str(error):
        return ServiceError("host_refused", "The request has no Host header, or several.")
    code = CODE_OF_STATUS.get(error.error_status_hint, "bad_request")
    if code == "headers_too_large":  # those of the head are checked before
        code = "bad_request"
    return ServiceError(code, f"The request is not valid HTTP: {reason}.")
