"""The users of a service besides its owner: names, and the hashes of their tokens.

A token is a name, a dot and 256 random bits. The file contains the SHA-256 of the token, so that
reading the file gives no access. (A slow hash would add nothing: a random token cannot be guessed.)
The file is read again when it has changed, so a removed user loses access at once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dip.errors import SettingError
from dip.machine.locks import LockFile
from server.errors import ServiceFailure
from server.private_files import check_owner, write_private

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_LOCK_S = 10.0

_log = logging.getLogger(__name__)


def digest_of(token: str) -> str:
    """The hash that is stored for a token."""
    return hashlib.sha256(token.encode()).hexdigest()


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    """Lock the file for one change."""
    lock = LockFile(path.with_suffix(".lock"))
    if not lock.acquire(_LOCK_S):
        raise ServiceFailure("Another command is changing the users.", "Try again in a moment.")
    try:
        yield
    finally:
        lock.release()


class Users:
    """The users in a file.

    Parameters
    ----------
    path : Path
        A missing file means no users.

    Raises
    ------
    ServiceFailure
        Other users of the machine can read the file, or it contains no list of users.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._loaded_stamp: tuple[int, ...] | None = None
        self._users: dict[str, dict[str, Any]] = {}
        self._load()

    def __bool__(self) -> bool:
        return bool(self.listed())

    def digest(self, name: str) -> str | None:
        """The stored hash of a user's token, or None where there is no such user."""
        user = self._current().get(name)
        return None if user is None else str(user["sha256"])

    def listed(self) -> dict[str, float]:
        """The users, with the time when each was added, in seconds since the epoch."""
        return {name: user["added"] for name, user in sorted(self._current().items())}

    def add(self, name: str) -> str:
        """Add a user and return the token, which is not stored.

        Raises
        ------
        SettingError
            The name is invalid or exists already.
        """
        if not NAME.fullmatch(name):
            raise SettingError(
                f"{name!r} is not a valid user name.",
                "Use up to 32 lower-case letters, digits, - and _; begin with a letter or a digit.",
            )
        token = f"{name}.{secrets.token_urlsafe(32)}"
        with _changing(self._path):
            users = self._load()
            if name in users:
                raise SettingError(
                    f"{name} already has a token.", f"Remove it first: dip tokens remove {name}"
                )
            self._write({**users, name: {"sha256": digest_of(token), "added": time.time()}})
        return token

    def remove(self, name: str) -> None:
        """Remove a user.

        Raises
        ------
        SettingError
            There is no user of this name.
        """
        with _changing(self._path):
            users = self._load()
            if name not in users:
                raise SettingError(f"There is no user {name}.", "`dip tokens list` lists them.")
            self._write({other: users[other] for other in users if other != name})

    # --- The file --------------------------------------------------------------------------------

    def _current(self) -> dict[str, dict[str, Any]]:
        with self._lock:
            if self._stamp() != self._loaded_stamp:
                try:
                    self._load()
                except ServiceFailure as error:
                    _log.error("no user has access: %s", error)
                    self._users = {}
            return self._users

    def _stamp(self) -> tuple[int, ...] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode

    def _load(self) -> dict[str, dict[str, Any]]:
        self._loaded_stamp, self._users = self._stamp(), {}
        if self._loaded_stamp is None:
            return {}
        try:
            with self._path.open(encoding="utf-8") as file:
                if os.name == "posix":
                    check_owner(self._path, os.fstat(file.fileno()))
                users: dict[str, dict[str, Any]] = json.load(file)
            for name, user in users.items():
                if not NAME.fullmatch(name) or len(user["sha256"]) != 64:
                    raise ValueError(name)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ServiceFailure(
                f"{self._path} contains no list of users: {error}.",
                "Delete it, and create a new token for each user: dip tokens add NAME",
            ) from error
        self._users = users
        return users

    def _write(self, users: dict[str, dict[str, Any]]) -> None:
        write_private(self._path, json.dumps(users, indent=1))
