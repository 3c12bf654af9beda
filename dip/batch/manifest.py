"""The manifest: a line of JSON for every photo that was worked on, and what follows from it.

A line is appended, and on disk, only after the restored photo is. So whatever is in the manifest
is done, and a batch that was killed at any moment does at most the photos again that it had in
hand. A last line that was cut short counts as not written. Where a photo was done again, the later
line holds; the earlier one is taken out when the batch ends.
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
_NO_MATTER = ("max_memory_mb",)  # settings that are about the machine

Record = dict[str, Any]
"""One line: format, photo, mask, output, their hashes and sizes, settings, versions, outcome,
figures or error, notes, times, host."""


def digest(data: bytes) -> str:
    """SHA-256 of some bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def digest_of_file(path: Path) -> str | None:
    """SHA-256 of a file; None where it cannot be read."""
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                found.update(block)
    except OSError:
        return None
    return found.hexdigest()


def digest_of_settings(settings: Mapping[str, Any], file_format: str) -> str:
    """What decides about the result, as one hash."""
    decisive = {name: value for name, value in settings.items() if name not in _NO_MATTER}
    return digest(json.dumps([decisive, file_format], sort_keys=True).encode())


def stamp_of(path: Path) -> list[int] | None:
    """Size and times of a file: while they stay the same, so does what is in it."""
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


@dataclass(frozen=True, slots=True)
class _Known:
    """Of a record, what tells whether it still holds."""

    outcome: str
    settings: str
    output: str
    photo: tuple[str | None, list[int] | None]
    mask: tuple[str | None, list[int] | None]
    seconds: float | None


class Manifest:
    """The manifest of one output folder; it knows what was there when it was opened.

    Parameters
    ----------
    path : Path
        Need not be there yet.

    Raises
    ------
    OutputError
        It is no manifest, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, _Known] = {}
        self._superseded = 0
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        for record in self.records():
            self._superseded += record["photo"] in self._known
            self._known[record["photo"]] = _knowledge(record)

    def __len__(self) -> int:
        return len(self._known)

    def records(self) -> Iterator[Record]:
        """Every line, from the first on; a torn one is passed over."""
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    record = self._parsed(line, number)
                    if record is not None:
                        yield record
        except FileNotFoundError:
            return
        except OSError as error:
            raise OutputError(
                f"{self.path} cannot be read: {error.strerror}.", "Check its permissions."
            ) from error

    def latest(self) -> Iterator[Record]:
        """The line that holds for each photo, in the order of the file."""
        last: dict[str, int] = {}
        for number, record in enumerate(self.records()):
            last[record["photo"]] = number
        for number, record in enumerate(self.records()):
            if last[record["photo"]] == number:
                yield record

    def outcome_of(self, item: Item, settings: str, folder: Path, output: Path) -> str | None:
        """What became of a photo, if that still holds.

        Parameters
        ----------
        item : Item
        settings : str
            As `digest_of_settings` gives it.
        folder, output : Path
            Of the photos, of the results.

        Returns
        -------
        str or None
            'done' or 'failed'; None where photo, mask or settings are others by now, or the
            result is gone. Files are read only where their size or times have changed.
        """
        known = self._known.get(item.photo)
        if known is None or known.settings != settings or known.output != item.output:
            return None
        if not _still(folder / item.photo, *known.photo):
            return None
        mask = None if item.mask is None else Path(item.mask)
        if mask is None:
            if known.mask[0] is not None:
                return None
        elif not _still(mask, *known.mask):
            return None
        if known.outcome == DONE and not (output / item.output).is_file():
            return None
        return known.outcome

    def seconds_with(self, settings: str) -> list[float]:
        """What photos took earlier with these settings, s."""
        return [
            known.seconds
            for known in self._known.values()
            if known.settings == settings and known.outcome == DONE and known.seconds is not None
        ]

    def append(self, record: Record) -> None:
        """Add a line, and see it on disk.

        Raises
        ------
        OutputError
            It cannot be written: the disk is full, or gone.
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
                    "Make room on the disk and start the batch again: what is done stays done.",
                ) from error
            # Not kept: a batch asks only for what was there before it, and may write a million.
            self._superseded += record["photo"] in self._known

    def close(self) -> None:
        """Let go of the file, and take out the lines that no longer hold."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
        if self._superseded:
            beside = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
            try:
                with beside.open("wb") as file:
                    for record in self.latest():
                        file.write(json.dumps(record).encode("ascii") + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
                beside.replace(self.path)
            except OSError as error:
                beside.unlink(missing_ok=True)
                _log.warning("%s keeps lines that no longer hold: %s", self.path, error.strerror)
            else:
                self._superseded = 0

    def _open(self) -> IO[bytes]:
        """The file, ready for another line: what a torn last line left is ended first."""
        file = self.path.open("ab+")
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        return file

    def _parsed(self, line: bytes, number: int) -> Record | None:
        try:
            record = json.loads(line)
            if record["format"] > FORMAT:
                raise OutputError(
                    f"{self.path} was written by a newer dip (format {record['format']}).",
                    "Use that one, or another folder for the results.",
                )
            _knowledge(record)
        except (ValueError, KeyError, TypeError, IndexError):
            _log.warning("line %d of %s is torn, and counts as not written", number, self.path)
            return None
        return dict(record)


def _knowledge(record: Record) -> _Known:
    return _Known(
        outcome=record["outcome"],
        settings=record["settings_sha256"],
        output=record["output"],
        photo=(record["photo_sha256"], record["photo_stamp"]),
        mask=(record["mask_sha256"], record["mask_stamp"]),
        seconds=record["seconds"],
    )


def _still(path: Path, sha256: str | None, stamp: list[int] | None) -> bool:
    """Whether a file holds what it held."""
    now = stamp_of(path)
    if now is None or sha256 is None:
        return False
    return now == stamp or digest_of_file(path) == sha256
