"""The files of jobs: a folder for each job; every file is complete or absent.

A file is written under another name, flushed, and renamed. Deleting a job's files twice, or only
some of them, does no harm: the store is the record of which jobs exist.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dip.machine.disk import flush
from server.errors import ServiceError

Buffer = bytes | bytearray | memoryview
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def free_space_problem(folder: Path, needed_bytes: int) -> str | None:
    """A message where the disk of a folder has less free space than this, else None."""
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes >= needed_bytes:
        return None
    return f"The disk with the jobs has only {free_bytes / 1e6:.0f} MB of free space."


def check_free_space(folder: Path, needed_bytes: int) -> None:
    """Raise ServiceError `disk_full` where the disk of a folder has less free space than this."""
    problem = free_space_problem(folder, needed_bytes)
    if problem is not None:
        raise ServiceError("disk_full", problem)


@contextmanager
def disk_full_is_an_error() -> Iterator[None]:
    """Turn the system error 'no space left' into ServiceError `disk_full`."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise ServiceError("disk_full", "The disk with the jobs is full.") from error
        raise


class JobFiles:
    """The files of jobs, below one folder.

    Parameters
    ----------
    folder : Path
        Contains one folder for each job; created if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, job_id: str, name: str) -> Path:
        return self.folder / job_id / name

    def adopt(self, job_id: str, files: dict[str, Path]) -> None:
        """Move files of the same disk into a job's new folder, and flush them."""
        folder = self.folder / job_id
        with disk_full_is_an_error():
            folder.mkdir(mode=0o700)
            for name, path in files.items():
                flush(path)
                os.replace(path, folder / name)
            flush(folder)
            flush(self.folder)

    def write(self, job_id: str, name: str, data: Buffer, *, durable: bool = True) -> None:
        """Write one file of a job, completely or not at all."""
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

    def source(self, job_id: str, name: str) -> Path:
        """The path of a file; FileNotFoundError where it is missing."""
        path = self.path(job_id, name)
        path.stat()
        return path

    def remove(self, job_id: str, name: str | None = None) -> None:
        """Remove one file of a job, or all of them."""
        if name is None:
            shutil.rmtree(self.folder / job_id, ignore_errors=True)
        else:
            self.path(job_id, name).unlink(missing_ok=True)

    def remove_unknown(self, known: set[str]) -> list[str]:
        """Remove the folders of jobs that are not in the store; return their names."""
        unknown = [path.name for path in self.folder.iterdir() if path.name not in known]
        for name in unknown:
            self.remove(name)
        return unknown

    def remove_old_attempts(self, job_id: str, keep: set[str]) -> None:
        """Remove the results and previews of earlier attempts."""
        folder = self.folder / job_id
        if folder.is_dir():
            for path in folder.iterdir():
                if path.name not in keep:
                    path.unlink(missing_ok=True)
