"""Files that only their owner can read: the token of the service, and the hashes of its users."""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path

from server.errors import ServiceFailure


def read_or_create_token(path: Path) -> str:
    """The service's token; created at the first start.

    Raises
    ------
    ServiceFailure
        Other users can read or replace the file, or it contains no token.
    """
    try:
        if os.path.lexists(path):
            return _read_token(path)
        return _create_token(path)
    except OSError as error:
        raise ServiceFailure(
            f"{path} cannot be used as the token file: {error.strerror}.",
            "Delete it: the next start creates a new one.",
        ) from error


def _create_token(path: Path) -> str:
    token = secrets.token_urlsafe(32)
    write_private(path, token)
    return token


def _read_token(path: Path) -> str:
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ServiceFailure(
            f"{path} is not a regular file.", "Remove it: the next start creates a token."
        )
    with os.fdopen(handle) as file:
        if os.name == "posix":
            check_owner(path, os.fstat(file.fileno()))
        token = file.read(1000).strip()
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}", token):
        raise ServiceFailure(
            f"{path} contains no token.", "Delete it: the next start creates a new one."
        )
    return token


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, completely or not at all."""
    beside = path.with_name(f".{secrets.token_hex(6)}.part")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def check_owner(path: Path, status: os.stat_result) -> None:
    """Check that only this user can read a file with secrets.

    Raises
    ------
    ServiceFailure
        Other users can read it.
    """
    if status.st_uid != os.geteuid():
        raise ServiceFailure(
            f"{path} belongs to another user (uid {status.st_uid}).",
            "Delete it, or choose another folder with --data-dir.",
        )
    if status.st_mode & 0o077:
        raise ServiceFailure(
            f"Other users can read {path} (mode {stat.S_IMODE(status.st_mode):04o}).",
            f"Delete it: the next start creates a new one. If nobody has read it: chmod 600 {path}",
        )


def check_folder(path: Path) -> None:
    """Check that only this user can change the files of a folder.

    Raises
    ------
    ServiceFailure
        Other users can replace its files.
    """
    if os.name != "posix":
        return
    status = path.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise ServiceFailure(
            f"Other users can write to {path} (mode {stat.S_IMODE(status.st_mode):04o}, "
            f"uid {status.st_uid}).",
            f"chmod 700 {path}, or choose another folder with --data-dir.",
        )
