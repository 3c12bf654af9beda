"""The pixels of jobs, as files: a folder for each job, every file complete or not there.

A file is written beside its place, flushed, and renamed; a folder too. Deleting a job's files
twice, or half of them, harms nothing: the store says what exists.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dip.machine.disk import flush
from server.errors import ServiceError

Buffer = bytes | bytearray | memoryview
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def disk_full_is_an_error() -> Iterator[None]:
    """Turn the system's 'no space left' into ServiceError `disk_full`."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise ServiceError("disk_full", "The disk with the jobs is full.") from error
        raise


class JobFiles:
    """Files of jobs below one folder.

    Parameters
    ----------
    folder : Path
        With one folder for each job; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, job_id: str, name: str) -> Path:
        return self.folder / job_id / name

    def adopt(self, job_id: str, files: dict[str, Path]) -> None:
        """Move files that lie on the same disk into a job's new folder; they are on disk then."""
        folder = self.folder / job_id
        with disk_full_is_an_error():
            folder.mkdir(mode=0o700)
            for name, path in files.items():
                flush(path)
                os.replace(path, folder / name)
            flush(folder)
            flush(self.folder)

    def write(self, job_id: str, name: str, data: Buffer, *, durable: bool = True) -> None:
        """Write one file of a job, at once or not at all."""
        path = self.path(job_id, name)
        beside = path.with_name(f".{secrets.token_hex(6)}.part")
        with disk_full_is_an_error():
            try:
                with beside.open("wb") as file:
                    file.write(data)
                    file.flush()
                    if durable:
                        os.fsync(file.fileno())
                os.replace(beside, path)
                if durable:
                    flush(path.parent)
            finally:
                beside.unlink(missing_ok=True)

    def read(self, job_id: str, name: str) -> bytes:
        return self.path(job_id, name).read_bytes()

    def open(self, job_id: str, name: str) -> BinaryIO:
        return self.path(job_id, name).open("rb")

    def remove(self, job_id: str, name: str | None = None) -> None:
        """Remove one file, or all of a job's."""
        if name is None:
            shutil.rmtree(self.folder / job_id, ignore_errors=True)
        else:
            self.path(job_id, name).unlink(missing_ok=True)

    def remove_unknown(self, known: set[str]) -> list[str]:
        """Remove the folders of jobs that the store does not know."""
        strangers = [path.name for path in self.folder.iterdir() if path.name not in known]
        for name in strangers:
            self.remove(name)
        return strangers

    def remove_old_attempts(self, job_id: str, keep: set[str]) -> None:
        """Remove results and previews that were begun but do not count."""
        folder = self.folder / job_id
        if folder.is_dir():
            for path in folder.iterdir():
                if path.name not in keep:
                    path.unlink(missing_ok=True)
