"""A file that is given up on a full disk, so that jobs can still be deleted and ended."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from server.errors import ServiceError

RESERVE_BYTES = 32 * 2**20
"""The log of the database grows by a few MB when a job with many events is deleted."""

_BLOCK = bytes(2**20)

_log = logging.getLogger(__name__)
_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class DiskReserve:
    """The file, beside the database. Every process may give it up; the service makes it again.

    Parameters
    ----------
    path : Path
    size : int
        bytes
    """

    def __init__(self, path: Path, size: int = RESERVE_BYTES) -> None:
        self._path, self._size = path, size

    def make(self, spare_bytes: int) -> None:
        """Make the file where it is missing and the disk has so much more free space."""
        if self._path.exists():
            return
        if shutil.disk_usage(self._path.parent).free < self._size + spare_bytes:
            return
        beside = self._path.with_suffix(".part")
        try:
            with beside.open("wb") as file:
                for _ in range(self._size // len(_BLOCK)):
                    file.write(_BLOCK)
            os.replace(beside, self._path)
        except OSError as error:
            _log.warning("no reserve on the disk: %s", error)
            beside.unlink(missing_ok=True)

    def give_up(self) -> None:
        """Delete the file, if it is there."""
        with suppress(FileNotFoundError):
            os.truncate(self._path, 0)  # some file systems need space to delete a name
            self._path.unlink()
            _log.warning("the disk is full: the reserve is given up")

    def give_up_if_full(self) -> None:
        """Delete the file where hardly any space is free: even a start needs some."""
        if shutil.disk_usage(self._path.parent).free < self._size // 4:
            self.give_up()


def always_possible(
    method: Callable[Concatenate[Any, _Given], _Result],
) -> Callable[Concatenate[Any, _Given], _Result]:
    """A method of an object with a `reserve`: on a full disk, give that up and try again."""

    @wraps(method)
    def attempt(self: Any, *given: _Given.args, **named: _Given.kwargs) -> _Result:
        try:
            return method(self, *given, **named)
        except ServiceError as error:
            if error.code != "disk_full":
                raise
        self.reserve.give_up()
        return method(self, *given, **named)

    return attempt
