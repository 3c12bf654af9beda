"""The manifest: one line of JSON for every photo that was restored or has failed.

A line is written and flushed to disk after the restored photo. So every photo in the manifest is
done, and a batch that is killed repeats at most the photos that were being fitted. A last line
that is incomplete is ignored. Where a photo has two lines, the later one is valid; the earlier one
is removed when the batch ends.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from dip.batch.pairing import Item
from dip.errors import OutputError

_log = logging.getLogger(__name__)

FORMAT = 1
DONE, FAILED = "done", "failed"
_MACHINE_SETTINGS = ("max_memory_mb",)  # they do not change the result

Record = dict[str, Any]
"""One line: format, photo, mask, output, their hashes and sizes, settings, versions, outcome,
figures or error, notes, times, host."""


def digest(data: bytes) -> str:
    """SHA-256 of some bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def digest_of_file(path: Path) -> str | None:
    """SHA-256 of a file, in hex; None where it cannot be read."""
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                found.update(block)
    except OSError:
        return None
    return found.hexdigest()


def digest_of_settings(
    settings: Mapping[str, Any], file_format: str, page: str | None = None
) -> str:
    """SHA-256 of the settings, the format and the page that a result depends on, in hex."""
    relevant = {name: value for name, value in settings.items() if name not in _MACHINE_SETTINGS}
    chosen = [relevant, file_format, *filter(None, [page])]
    return digest(json.dumps(chosen, sort_keys=True).encode())


def stamp_of(path: Path) -> list[int] | None:
    """Size, modification and change time of a file: while they stay, its content does."""
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


@dataclass(frozen=True, slots=True)
class _Entry:
    """The part of a record that shows whether the result is still valid."""

    outcome: str
    settings: str
    output: str
    photo: tuple[str | None, list[int] | None]
    mask: tuple[str | None, list[int] | None]
    seconds: float | None
    error: str | None


class Manifest:
    """The manifest of one output folder.

    `outcome_of`, `seconds_with` and `failed_with` use the records that were there when it was
    opened.

    Parameters
    ----------
    path : Path
        The file need not exist.

    Raises
    ------
    OutputError
        The file cannot be read, or a newer version wrote it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, _Entry] = {}
        self._superseded = 0
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        for record in self.records():
            self._superseded += record["photo"] in self._entries
            self._entries[record["photo"]] = _entry_of(record)

    def __len__(self) -> int:
        return len(self._entries)

    def records(self) -> Iterator[Record]:
        """Every record in the order of the file, without incomplete lines."""
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    record = self._parse(line, number)
                    if record is not None:
                        yield record
        except FileNotFoundError:
            return
        except OSError as error:
            raise OutputError(
                f"{self.path} cannot be read: {error.strerror}.", "Check its permissions."
            ) from error

    def latest(self) -> Iterator[Record]:
        """The valid record of each photo, in the order of the file."""
        last: dict[str, int] = {}
        for number, record in enumerate(self.records()):
            last[record["photo"]] = number
        for number, record in enumerate(self.records()):
            if last[record["photo"]] == number:
                yield record

    def outcome_of(self, item: Item, settings: str, folder: Path, output: Path) -> str | None:
        """The outcome of a photo, if it is still valid.

        Parameters
        ----------
        item : Item
        settings : str
            As `digest_of_settings` returns it.
        folder, output : Path
            Folder of the photos, folder of the results.

        Returns
        -------
        str or None
            'done' or 'failed'; None where photo, mask or settings have changed or the result is
            gone. A file is read only where its size or times have changed.
        """
        entry = self._entries.get(item.photo)
        if entry is None or entry.settings != settings or entry.output != item.output:
            return None
        if not _is_unchanged(folder / item.photo, *entry.photo):
            return None
        mask = None if item.mask is None else Path(item.mask)
        if mask is None:
            if entry.mask[0] is not None:
                return None
        elif not _is_unchanged(mask, *entry.mask):
            return None
        if entry.outcome == DONE and not os.path.isfile(output / item.output):
            return None
        return entry.outcome

    def seconds_with(self, settings: str) -> list[float]:
        """Durations of the photos restored before with these settings, s."""
        return [
            entry.seconds
            for entry in self._entries.values()
            if entry.settings == settings and entry.outcome == DONE and entry.seconds is not None
        ]

    def failed_with(self, code: str) -> frozenset[str]:
        """The photos that failed with an error of this code."""
        return frozenset(name for name, each in self._entries.items() if each.error == code)

    def append(self, record: Record) -> None:
        """Append a record and flush it to disk.

        Raises
        ------
        OutputError
            It cannot be written: the disk is full or gone.
        """
        line = json.dumps({"format": FORMAT, **record}).encode("ascii") + b"\n"
        with self._lock:
            try:
                if self._file is None:
                    self._file = self._open()
                self._file.write(line)
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError as error:
                raise OutputError(
                    f"{self.path} cannot be written: {error.strerror}.",
                    "Free disk space and give the same command again: finished photos are kept.",
                ) from error
            # Not kept in memory: a batch may write a million records, and reads none of them.
            self._superseded += record["photo"] in self._entries

    def close(self) -> None:
        """Close the file, and remove the records that are no longer valid."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
        if self._superseded:
            temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
            try:
                with temporary.open("wb") as file:
                    for record in self.latest():
                        file.write(json.dumps(record).encode("ascii") + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(self.path)
            except OSError as error:
                temporary.unlink(missing_ok=True)
                _log.warning("%s still has outdated lines: %s", self.path, error.strerror)
            else:
                self._superseded = 0

    def _open(self) -> IO[bytes]:
        """The file, open for appending; an incomplete last line is ended first."""
        file = self.path.open("ab+")
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        return file

    def _parse(self, line: bytes, number: int) -> Record | None:
        try:
            record = json.loads(line)
            if record["format"] > FORMAT:
                raise OutputError(
                    f"{self.path} was written by a newer dip (format {record['format']}).",
                    "Use that version, or name another folder for the results.",
                )
            _entry_of(record)
        except (ValueError, KeyError, TypeError, IndexError):
            _log.warning("line %d of %s is incomplete and is ignored", number, self.path)
            return None
        return dict(record)


def _entry_of(record: Record) -> _Entry:
    return _Entry(
        outcome=record["outcome"],
        settings=record["settings_sha256"],
        output=record["output"],
        photo=(record["photo_sha256"], record["photo_stamp"]),
        mask=(record["mask_sha256"], record["mask_stamp"]),
        seconds=record["seconds"],
        error=record.get("error", {}).get("code"),
    )


def _is_unchanged(path: Path, sha256: str | None, stamp: list[int] | None) -> bool:
    """Whether a file has the content that was recorded."""
    now = stamp_of(path)
    if now is None or sha256 is None:
        return False
    return now == stamp or digest_of_file(path) == sha256
