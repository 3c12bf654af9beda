"""The HTTP server: waitress, with the patience of a doorman, behind TLS where that is asked for.

waitress takes a whole request in before it calls the application. Here the gate is asked as soon
as the headers are there: the body of a request that is refused is thrown away as it comes, so
that a stranger fills neither memory nor disk. Headers and bodies that trickle in, and answers
that nobody reads, end with the connection; threads are made when they are needed; errors of the
server itself have the one error body too.
"""

from __future__ import annotations

import json
import logging
import shutil
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher

from server.errors import CODE_OF_STATUS, ServiceError
from server.http.auth import RESPONSE_HEADERS, Authenticator, RequestCredentials
from server.http.tls_proxy import Relay
from server.jobs.files import disk_full_is_an_error
from server.settings import ServerSettings

SPARE_THREADS = 16
"""For short requests, beside those that hold a thread each."""

_MOST_CONNECTIONS = 2000
_HEADER_BYTES = 32 * 1024
_RECEIVE_BYTES = 256 * 1024


class Refusal:
    """A ServiceError as waitress's own errors look."""

    def __init__(self, error: ServiceError) -> None:
        self.error = error

    def to_response(self, ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        headers = {
            "Content-Type": "application/json",
            **RESPONSE_HEADERS,
            **self.error.headers(),
        }
        body = json.dumps(self.error.body()).encode()
        return f"{self.error.status} Refused", list(headers.items()), body


class _JsonErrorTask(ErrorTask):
    def execute(self) -> None:
        error = self.request.error
        if not isinstance(error, Refusal):
            code = CODE_OF_STATUS.get(error.code, "internal")
            self.request.error = Refusal(ServiceError(code, f"{error.reason}: {error.body}."))
        super().execute()


class _Discard:
    """Takes a body in and keeps nothing of it."""

    def __init__(self, receiver: Any) -> None:
        self._receiver = receiver
        receiver.buf = self

    def append(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        pass

    def getbuf(self) -> _Discard:
        return self

    def __len__(self) -> int:
        return 0

    @property
    def completed(self) -> bool:
        return bool(self._receiver.completed)

    @property
    def error(self) -> Any:
        return self._receiver.error

    def received(self, data: bytes) -> int:
        return int(self._receiver.received(data))


def _parser_class(check: Callable[[RequestCredentials, int], None]) -> type[HTTPRequestParser]:
    class Parser(HTTPRequestParser):
        """Asks at the gate once the headers are there."""

        refusal: Refusal | None = None
        body_rcv: Any
        expect_continue: bool

        def parse_header(self, header_plus: bytes) -> None:
            super().parse_header(header_plus)
            if self.body_rcv is None or self.content_length >= self.adj.max_request_body_size:
                return  # nothing will be kept; the application, or waitress, says what is wrong
            get = self.headers.get
            credentials = RequestCredentials(
                method=self.command,
                path=self.path,
                host=get("HOST"),
                origin=get("ORIGIN"),
                fetch_site=get("SEC_FETCH_SITE"),
                authorization=get("AUTHORIZATION"),
                cookie=cookie_value(get("COOKIE"), self.adj.port),
                has_body=True,
            )
            try:
                check(credentials, self.content_length)
            except ServiceError as error:
                self._refuse(error)

        def received(self, data: bytes) -> int:
            try:
                with disk_full_is_an_error():
                    consumed = int(super().received(data))
            except ServiceError as error:
                self.error = Refusal(error)
                self.completed = True
                return len(data)
            if self.refusal is not None and self.expect_continue:
                self.completed, self.expect_continue = True, False  # it has not begun to send
            if self.completed and self.refusal is not None:
                self.error = self.refusal
            return consumed

        def _refuse(self, error: ServiceError) -> None:
            # Read to its end, where that is not far: a client that is still sending would see a
            # broken connection instead of the reason.
            self.refusal = Refusal(error)
            self.body_rcv = _Discard(self.body_rcv)

    return Parser


class _Channel(HTTPChannel):
    error_task_class = _JsonErrorTask
    request_since = 0.0

    def received(self, data: bytes) -> bool:
        if self.request is None:
            self.request_since = time.time()
        return bool(super().received(data))

    def is_too_slow(self, now: float, settings: ServerSettings) -> bool:
        """Whether this client sends or reads more slowly than anybody does in earnest."""
        if self.total_outbufs_len and now - self.last_activity > settings.output_stall_s:
            return True
        request, waited_s = self.request, now - self.request_since
        if request is None:
            return False
        if not request.headers_finished:
            return waited_s > settings.header_timeout_s
        granted_s = settings.body_grace_s + request.body_bytes_received / settings.body_rate
        return waited_s > granted_s

    def drop(self) -> None:
        """End the connection now, whatever is on its way."""
        self.will_close = True
        with suppress(OSError):  # it may have gone by itself
            self.socket.shutdown(socket.SHUT_RDWR)


class _Dispatcher(ThreadedTaskDispatcher):
    """Makes a thread when there is none to spare, up to a limit."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self._growing = threading.Lock()

    def add_task(self, task: Any) -> None:
        with self._growing:  # two that grow at once would shrink it
            with self.lock:
                wanted = self.active_count + len(self.queue) + 1
                running = len(self.threads) - self.stop_count
            if running < wanted <= self._most:
                self.set_thread_count(wanted)
        super().add_task(task)


class _Server(TcpWSGIServer):
    settings: ServerSettings
    relay: Relay | None

    def accept(self) -> Any:
        accepted = super().accept()
        if accepted is None or self.relay is None:
            return accepted
        connection, address = accepted
        return self.relay.take(connection), address

    def set_socket_options(self, conn: socket.socket) -> None:
        if self.relay is None:  # else it is no TCP connection
            super().set_socket_options(conn)

    def maintenance(self, now: float) -> None:
        super().maintenance(now)
        for channel in list(self.active_channels.values()):
            if channel.is_too_slow(now, self.settings):
                channel.drop()


def cookie_name(port: int) -> str:
    """Cookies are shared between the ports of a host; names keep two services apart."""
    return f"dip_session_{port}"


def cookie_value(header: str | None, port: int) -> str | None:
    """The session in a Cookie header."""
    for pair in (header or "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == cookie_name(port):
            return value
    return None


def make_server(
    application: Any,
    settings: ServerSettings,
    authenticator: Authenticator,
    sock: socket.socket,
    relay: Relay | None = None,
) -> Any:
    """A server that is ready to `run`.

    Parameters
    ----------
    application : WSGI application
    settings : ServerSettings
    authenticator : Authenticator
    sock : socket
        Bound, not yet listening.
    relay : Relay, optional
        Every connection goes through it first.
    """

    def check(credentials: RequestCredentials, size: int) -> None:
        authenticator.check(credentials)
        free = shutil.disk_usage(settings.data_dir).free
        if size + settings.reserve_bytes > free:
            raise ServiceError(
                "disk_full", f"{free / 1e6:.0f} MB are free on the disk with the jobs: too little."
            )

    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    adjustments = Adjustments(
        sockets=[sock],
        ident="dip",
        threads=1,
        connection_limit=_MOST_CONNECTIONS,
        cleanup_interval=1,
        channel_timeout=settings.idle_connection_s,
        channel_request_lookahead=1,  # else a client that goes away is not noticed
        max_request_header_size=_HEADER_BYTES,
        max_request_body_size=settings.max_body_bytes + 64 * 1024,  # and what surrounds the pixels
        recv_bytes=_RECEIVE_BYTES,
        asyncore_use_poll=True,
        log_socket_errors=False,
        clear_untrusted_proxy_headers=True,
        url_scheme="https" if relay else "http",
    )
    adjustments.port = sock.getsockname()[1]
    channel = type("Channel", (_Channel,), {"parser_class": _parser_class(check)})
    own = {"channel_class": channel, "settings": settings, "relay": relay}
    server_class = type("Server", (_Server,), own)
    dispatcher = _Dispatcher(settings.max_streams + SPARE_THREADS)
    dispatcher.set_thread_count(4)
    sockinfo = (sock.family, sock.type, sock.proto, sock.getsockname())
    return server_class(
        application,
        {},
        True,
        sock,
        dispatcher=dispatcher,
        adj=adjustments,
        bind_socket=False,
        sockinfo=sockinfo,
    )
