"""The HTTP server: waitress with early authentication and limits on slow clients.

waitress receives a whole request before it calls the application. Here a request with a body is
authenticated as soon as its headers are complete. The body of a refused request is discarded while
it arrives, so an unknown client fills neither memory nor disk. Connections whose headers or body
arrive too slowly, or whose client does not read the response, are closed. Threads are created on
demand. Errors of the server itself have the common error body.
"""

from __future__ import annotations

import json
import logging
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
from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask

from server.errors import CODE_OF_STATUS, ServiceError
from server.http.auth import RESPONSE_HEADERS, Authenticator, RequestCredentials
from server.http.tls_proxy import Relay
from server.jobs.files import check_free_space, disk_full_is_an_error
from server.settings import ServerSettings

SPARE_THREADS = 16
"""For short requests, besides one thread for each event stream."""

USER_KEY = "dip.user"
"""In the WSGI environment: the user of a request that was authenticated before its body."""

_MAX_CONNECTIONS = 2000
_HEADER_BYTES = 32 * 1024
_RECEIVE_BYTES = 256 * 1024


class Refusal:
    """A ServiceError with the interface of waitress's own errors."""

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
    """Receives a body and discards it."""

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


def _parser_class(check: Callable[[RequestCredentials, int], str]) -> type[HTTPRequestParser]:
    class Parser(HTTPRequestParser):
        """Authenticates a request with a body once its headers are complete."""

        refusal: Refusal | None = None
        user: str | None = None
        body_rcv: Any
        expect_continue: bool

        def parse_header(self, header_plus: bytes) -> None:
            super().parse_header(header_plus)
            if self.body_rcv is None or self.content_length >= self.adj.max_request_body_size:
                return  # no body, or waitress refuses it for its size
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
                self.user = check(credentials, self.content_length)
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
                # The client waits for permission to send the body: end the request now.
                self.completed, self.expect_continue = True, False
            if self.completed and self.refusal is not None:
                self.error = self.refusal
            return consumed

        def _refuse(self, error: ServiceError) -> None:
            # The body is still received: a client that is sending would see a broken connection
            # instead of the error.
            self.refusal = Refusal(error)
            self.body_rcv = _Discard(self.body_rcv)

    return Parser


class _Task(WSGITask):
    def get_environment(self) -> dict[str, Any]:
        environment: dict[str, Any] = super().get_environment()
        if self.request.user is not None:
            environment[USER_KEY] = self.request.user
        return environment


class _Channel(HTTPChannel):
    task_class = _Task
    error_task_class = _JsonErrorTask
    request_since = 0.0

    def received(self, data: bytes) -> bool:
        if self.request is None:
            self.request_since = time.time()
        return bool(super().received(data))

    def is_too_slow(self, now: float, settings: ServerSettings) -> bool:
        """Whether this client sends or reads more slowly than the settings allow."""
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
        """Close the connection now, even with data in transit."""
        self.will_close = True
        with suppress(OSError):  # the client may have closed it
            self.socket.shutdown(socket.SHUT_RDWR)


class _ThreadPool(ThreadedTaskDispatcher):
    """Creates a thread when all others are busy, up to a limit."""

    def __init__(self, max_threads: int) -> None:
        super().__init__()
        self._max_threads = max_threads
        self._growing = threading.Lock()

    def add_task(self, task: Any) -> None:
        with self._growing:  # two threads that grow it at once would shrink it
            with self.lock:
                wanted = self.active_count + len(self.queue) + 1
                running = len(self.threads) - self.stop_count
            if running < wanted <= self._max_threads:
                self.set_thread_count(wanted)
        super().add_task(task)


class _Server(TcpWSGIServer):
    settings: ServerSettings
    relay: Relay | None
    sockets: dict[int, Any]

    def accept(self) -> Any:
        accepted = super().accept()
        if accepted is None or self.relay is None:
            return accepted
        connection, address = accepted
        return self.relay.take(connection), address

    def set_socket_options(self, conn: socket.socket) -> None:
        if self.relay is None:  # the relay's connections are no TCP connections
            super().set_socket_options(conn)

    def maintenance(self, now: float) -> None:
        super().maintenance(now)
        for channel in list(self.active_channels.values()):
            if channel.is_too_slow(now, self.settings):
                channel.drop()


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


def make_server(
    application: Any,
    settings: ServerSettings,
    authenticator: Authenticator,
    sock: socket.socket,
    relay: Relay | None = None,
) -> Any:
    """Create a server; `wasyncore.loop(map=server.sockets)` runs it.

    Parameters
    ----------
    application : WSGI application
    settings : ServerSettings
    authenticator : Authenticator
    sock : socket
        Bound, not yet listening.
    relay : Relay, optional
        Decrypts every connection.
    """

    def check(credentials: RequestCredentials, body_bytes: int) -> str:
        user = authenticator.check(credentials)
        check_free_space(settings.data_dir, settings.reserve_bytes + body_bytes)
        return user

    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    adjustments = Adjustments(
        sockets=[sock],
        ident="dip",
        threads=1,
        connection_limit=_MAX_CONNECTIONS,
        cleanup_interval=1,
        channel_timeout=settings.idle_connection_s,
        channel_request_lookahead=1,  # to notice a client that disconnects
        max_request_header_size=_HEADER_BYTES,
        max_request_body_size=settings.max_request_bytes,
        recv_bytes=_RECEIVE_BYTES,
        asyncore_use_poll=True,
        log_socket_errors=False,
        clear_untrusted_proxy_headers=True,
        url_scheme="https" if relay else "http",
    )
    adjustments.port = sock.getsockname()[1]
    channel = type("Channel", (_Channel,), {"parser_class": _parser_class(check)})
    sockets: dict[int, Any] = {}
    own = {"channel_class": channel, "settings": settings, "relay": relay, "sockets": sockets}
    server_class = type("Server", (_Server,), own)
    threads = _ThreadPool(settings.max_streams + SPARE_THREADS)
    threads.set_thread_count(4)
    sockinfo = (sock.family, sock.type, sock.proto, sock.getsockname())
    return server_class(
        application,
        sockets,
        True,
        sock,
        dispatcher=threads,
        adj=adjustments,
        bind_socket=False,
        sockinfo=sockinfo,
    )
