"""The parts of a running service, and the current request's user, for the routes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

from flask import current_app, g

from server.errors import ServiceError
from server.http.auth import Authenticator
from server.http.users import Users
from server.jobs.files import JobFiles
from server.jobs.notifier import ChangeNotifier
from server.jobs.store import Store
from server.settings import ServerSettings
from server.work.worker_status import NoWorker, WorkerStatus


@dataclass(frozen=True, kw_only=True)
class Service:
    """The parts of a running service.

    Parameters
    ----------
    settings : ServerSettings
    store : Store
    files : JobFiles
    users : Users
    authenticator : Authenticator
    notifier : ChangeNotifier
        Started by `server.commands.serve`.
    dispatcher : WorkerStatus
    port : int
        The actual port, also where `settings.port` is 0.
    streams : BoundedSemaphore
        Acquired by each request that occupies a thread for a long time.
    """

    settings: ServerSettings
    store: Store
    files: JobFiles
    users: Users
    authenticator: Authenticator
    notifier: ChangeNotifier
    dispatcher: WorkerStatus = field(default_factory=NoWorker)
    port: int = 0
    streams: threading.BoundedSemaphore

    @classmethod
    def open(cls, settings: ServerSettings, token: str) -> Service:
        """Open the parts on the folder of the settings; no thread is started."""
        store, users = Store(settings.store_file), Users(settings.users_file)
        return cls(
            settings=settings,
            store=store,
            files=JobFiles(settings.files_dir),
            users=users,
            authenticator=Authenticator(
                token, settings.host_names, digest=users.digest, encrypted=settings.encrypted
            ),
            notifier=ChangeNotifier(store),
            streams=threading.BoundedSemaphore(settings.max_streams),
        )

    def enter_stream(self) -> None:
        """Count a request that will occupy a thread for long; `streams.release` ends it.

        Raises
        ------
        ServiceError
            `too_many_streams`
        """
        if not self.streams.acquire(blocking=False):
            raise ServiceError(
                "too_many_streams",
                f"{self.settings.max_streams} streams, restorations and pictures are asked for "
                "at this moment, and more cannot be.",
            )

    @contextmanager
    def long_request(self) -> Iterator[None]:
        """Count a request as `enter_stream` does, until the end of a block."""
        self.enter_stream()
        try:
            yield
        finally:
            self.streams.release()


EXTENSION = "dip_service"


def service() -> Service:
    """The service of the current request."""
    return cast(Service, current_app.extensions[EXTENSION])


def user() -> str:
    """The name of the current request's user; '' for the owner."""
    return cast(str, g.user)
