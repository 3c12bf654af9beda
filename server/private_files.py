"""Files that only their owner may read: the token of the service, and the hashes of its users."""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path

from server.errors import ServiceFailure


def read_or_make_token(path: Path) -> str:
    """The service's token; made at the first start.

    Raises
    ------
    ServiceFailure
        Others may read or replace the file, or it holds no token.
    """
    try:
        if os.path.lexists(path):
            return _read_token(path)
        return _make_token(path)
    except OSError as error:
        raise ServiceFailure(
            f"{path} cannot be used as the token file: {error.strerror}.",
            "Delete it: a new one is made at the next start.",
        ) from error


def _make_token(path: Path) -> str:
    token = secrets.token_urlsafe(32)
    write_private(path, token)
    return token


def _read_token(path: Path) -> str:
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ServiceFailure(f"{path} is no file.", "Remove it: a token is made at the next start.")
    with os.fdopen(handle) as file:
        if os.name == "posix":
            check_owner(path, os.fstat(file.fileno()))
        token = file.read(1000).strip()
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}", token):
        raise ServiceFailure(
            f"{path} holds no token.", "Delete it: a new one is made at the next start."
        )
    return token


def write_private(path: Path, text: str) -> None:
    """Write what only its owner may read, all of it or nothing, whenever the power is cut."""
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
    """
    Raises
    ------
    ServiceFailure
        Others may read a file that holds secrets.
    """
    if status.st_uid != os.geteuid():
        raise ServiceFailure(
            f"{path} belongs to another user (uid {status.st_uid}).",
            "Delete it, or choose another folder with --data-dir.",
        )
    if status.st_mode & 0o077:
        raise ServiceFailure(
            f"{path} can be read by others (mode {stat.S_IMODE(status.st_mode):04o}).",
            f"Delete it, so that a new one is made; or, if nobody read it: chmod 600 {path}",
        )


def check_folder(path: Path) -> None:
    """
    Raises
    ------
    ServiceFailure
        Others could replace what lies in the folder.
    """
    if os.name != "posix":
        return
    status = path.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise ServiceFailure(
            f"Others may write to {path} (mode {stat.S_IMODE(status.st_mode):04o}, "
            f"uid {status.st_uid}).",
            f"chmod 700 {path}, or choose another folder with --data-dir.",
        )
