"""`dip serve`: the service as a process."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import ssl
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING

from dip.errors import SettingError
from server import logs
from server.commands.arguments import serve_options_from, serve_settings_from, settings_from
from server.commands.instance_lock import announced, held, stop
from server.errors import AlreadyRunning, ServiceFailure
from server.http.auth import PRINTED_CODE_S
from server.http.users import Users
from server.private_files import check_folder, read_or_create_token
from server.settings import ServerSettings, is_loopback

if TYPE_CHECKING:
    from server.jobs.files import JobFiles
    from server.jobs.store import Store
    from server.work.dispatcher import Dispatcher

_log = logging.getLogger(__name__)

_MAX_OPEN_FILES = 8192


def run_serve(args: argparse.Namespace) -> int:
    if args.uninstall_service:
        from server.commands import service_unit

        service_unit.uninstall()
        return 0
    settings = serve_settings_from(args)
    if args.install_service:
        from server.commands import service_unit

        if args.open:
            raise SettingError(
                "--open and --install-service do not go together.",
                "Install the service first; then `dip serve --open` opens its page.",
            )
        _check_users(settings, Users(settings.users_file))
        service_unit.install(settings, serve_options_from(args))
        return 0
    try:
        serve(settings, open_page=args.open)
    except AlreadyRunning:
        if not args.open:
            raise
        _open_running(settings)
    return 0


def serve(settings: ServerSettings, *, open_page: bool = False) -> None:
    """Run the service until a signal stops it.

    Raises
    ------
    ServiceFailure
        The service cannot start; AlreadyRunning where another one uses the folder.
    """
    os.umask(0o077)
    folder = settings.data_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceFailure(
            f"{folder} cannot be created: {error.strerror}.",
            "Choose another folder with --data-dir.",
        ) from error
    check_folder(folder)
    with held(settings), _listening(settings) as sock:
        _serve(settings, sock, open_page)


def _serve(settings: ServerSettings, sock: socket.socket, open_page: bool) -> None:
    from server.http.app import create_app
    from server.http.context import Service
    from server.http.http_server import HttpServer

    token = read_or_create_token(settings.token_file)
    logs.configure(settings.data_dir, "server")
    _allow_many_files()
    settings.incoming_dir.mkdir(mode=0o700, exist_ok=True)
    tempfile.tempdir = str(settings.incoming_dir)  # request bodies go to the disk with the jobs
    service = Service.open(settings, token)
    _check_users(settings, service.users)
    service = replace(service, port=sock.getsockname()[1])
    dispatcher = _make_dispatcher(settings, service.store, service.files)
    service = replace(service, dispatcher=dispatcher)
    dispatcher.recover()
    context = _tls_context(settings)
    server = HttpServer(create_app(service), settings, service.authenticator, sock, context)
    url = _url(sock, settings.encrypted)
    try:
        server.start()
        # Announced before any job goes on: on a full disk, that may take the last free space.
        with _exit_on_signals() as signals, announced(settings, url):
            dispatcher.start()
            service.notifier.start()
            _log.info("serving at %s", url)
            print(f"Serving at {url}")
            print(f"Token file: {settings.token_file}", flush=True)
            if sys.stdout.isatty():  # never into a log: the link signs a browser in
                code = service.authenticator.launch_code(lifetime_s=PRINTED_CODE_S)
                print(f"Open the page, once, within an hour: {url}/launch?code={code}", flush=True)
            if not is_loopback(settings.host) and not settings.encrypted:
                print(
                    "Other machines can reach this service, and nothing is encrypted: a person who "
                    "reads the network traffic can copy the token.",
                    file=sys.stderr,
                )
            if open_page:
                _open(f"{url}/launch?code={service.authenticator.launch_code()}")
            with suppress(SystemExit, KeyboardInterrupt):
                while not server.wait(1):  # Windows delivers signals between two waits only
                    pass
            _log.info("stopped by %s", ", ".join(signals))
    finally:
        _log.info("stopping")
        service.notifier.close()
        dispatcher.close()
        server.close()
        service.store.close()


def _check_users(settings: ServerSettings, users: Users) -> None:
    if settings.cluster is not None and not is_loopback(settings.host) and not users:
        raise ServiceFailure(
            f"Other machines can reach {settings.host}, and no user has a token.",
            "Create a token for each user: dip tokens add NAME",
        )


def _tls_context(settings: ServerSettings) -> ssl.SSLContext | None:
    if settings.certificate is None or settings.key is None:
        return None
    from server.http.tls import context_from

    return context_from(settings.certificate, settings.key)


def _make_dispatcher(settings: ServerSettings, store: Store, files: JobFiles) -> Dispatcher:
    """The supervisor of a local worker, or a dispatcher to a cluster."""
    if settings.cluster is None:
        from server.work.supervisor import Supervisor

        return Supervisor(settings, store, files)
    from server.work.cluster_dispatcher import ClusterDispatcher

    return ClusterDispatcher(settings, store, files, settings.cluster)


def _open_running(settings: ServerSettings) -> None:
    """Open the page of the service that already uses the folder."""
    from server.client import Client, ClientError  # not at the top: `dip --help` needs no requests

    try:
        with Client.find(settings.data_dir) as client:
            link = client.launch()
    except ClientError as error:
        raise ServiceFailure(error.message, error.hint) from error
    print("The service is already running; opening its page.")
    _open(link).join()


def _open(link: str) -> threading.Thread:
    """Open a link in a thread: a text browser would block the service."""

    def show() -> None:
        if not webbrowser.open(link):
            print(f"No browser was found. Open this link within a minute; it works once: {link}")

    thread = threading.Thread(target=show, name="browser", daemon=True)
    thread.start()
    return thread


def run_stop(args: argparse.Namespace) -> int:
    """Stop the service that uses a data folder, if one runs."""
    if stop(settings_from(args)):
        print("The service has stopped; unfinished jobs continue at the next start.")
    else:
        print("The service is not running.")
    return 0


@contextmanager
def _listening(settings: ServerSettings) -> Iterator[socket.socket]:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host.strip("[]"), settings.port, type=socket.SOCK_STREAM
        )[0]
    except socket.gaierror as error:
        raise ServiceFailure(
            f"{settings.host} is not a valid address: {error.strerror}.", "Leave out --host."
        ) from error
    with socket.socket(family, kind, protocol) as sock:
        if os.name == "posix":  # on Windows, two servers could share the port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(address)
            sock.listen()  # two servers can bind at once; listen refuses one of them
        except OSError as error:
            raise ServiceFailure(
                f"Port {settings.port} of {settings.host} cannot be used: {error.strerror}.",
                "Choose another port with --port, or any free port with --port 0.",
            ) from error
        yield sock


@contextmanager
def _exit_on_signals() -> Iterator[list[str]]:
    """Turn signals into SystemExit; yield the list of their names."""
    received: list[str] = []

    def end(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number).name)
        raise SystemExit

    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), end)
    yield received


def _url(sock: socket.socket, encrypted: bool) -> str:
    host, port = sock.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "localhost"
    scheme = "https" if encrypted else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _allow_many_files() -> None:
    if os.name != "posix":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(_MAX_OPEN_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
