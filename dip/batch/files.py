"""Read the photos of a batch; write each result to disk, then its record to the manifest.

One `ResultWriter` serves a batch, on this machine or over a cluster. Nothing else writes results.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dip.batch.fit_process import Outcome, Task
from dip.batch.manifest import DONE, FAILED, Manifest, digest, digest_of_settings, stamp_of
from dip.batch.pairing import BEFORE_AFTER, Item
from dip.batch.progress import BatchProgress
from dip.errors import InputError, OutputError
from dip.versions import versions

_FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENODEV, errno.ESTALE)
"""Errors that the next result meets as well: the disk is full or gone."""


_ROOM = 4
"""Free space that a result needs before its fit, in sizes of its photo's file."""


class ResultRefused(OutputError):
    """The result of one photo cannot be written; others can."""


@dataclass(frozen=True, kw_only=True)
class LoadedPhoto:
    """A photo and its mask as bytes, with the size and times of their files."""

    item: Item
    photo: bytes
    mask: bytes | None
    photo_stamp: list[int] | None
    mask_stamp: list[int] | None
    began: float

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Hashes and stamps for the manifest: they tell later whether a file has changed."""
        return {
            "photo_sha256": digest(self.photo),
            "photo_stamp": self.photo_stamp,
            "mask_sha256": None if self.mask is None else digest(self.mask),
            "mask_stamp": self.mask_stamp,
        }

    def task(self, settings: dict[str, Any], *, mask_confirmed: bool) -> Task:
        """The task for a `FitProcess`."""
        return Task(
            name=self.item.photo,
            mask_name=self.item.mask or "",
            photo=self.photo,
            mask=self.mask,
            settings=settings,
            file_format=self.item.file_format,
            page=self.item.page,
            mask_confirmed=mask_confirmed,
        )


def load_photo(folder: Path, item: Item) -> LoadedPhoto:
    """Read a photo and its mask.

    Parameters
    ----------
    folder : Path
        Folder of the photos.
    item : Item

    Raises
    ------
    InputError
        One of the two files cannot be read.
    """
    began = time.time()
    photo = folder / item.photo
    # Stamps are taken before the bytes: a file that changes in between is read again next time.
    photo_stamp = stamp_of(photo)
    mask_stamp = None if item.mask is None else stamp_of(Path(item.mask))
    return LoadedPhoto(
        item=item,
        photo=_bytes_of(photo),
        mask=None if item.mask is None else _bytes_of(Path(item.mask)),
        photo_stamp=photo_stamp,
        mask_stamp=mask_stamp,
        began=began,
    )


class ResultWriter:
    """Writes the result and the manifest record of each photo.

    Parameters
    ----------
    folder, output : Path
        Folder of the photos, folder of the results.
    settings : dict
        Settings of every fit.
    manifest : Manifest
    progress : BatchProgress
    masks_confirmed : bool
        Whether masks may mark most of their photos.
    """

    def __init__(
        self,
        *,
        folder: Path,
        output: Path,
        settings: dict[str, Any],
        manifest: Manifest,
        progress: BatchProgress,
        masks_confirmed: bool,
    ) -> None:
        self.folder = folder
        self.output = output
        self.settings = settings
        self.progress = progress
        self.masks_confirmed = masks_confirmed
        self._manifest = manifest

    def check(self, item: Item) -> None:
        """Check before a fit that its result can be written.

        Raises
        ------
        ResultRefused
            The name is taken or too long, or its folder cannot be made.
        OutputError
            The disk is full or gone.
        """
        from dip.image_io import check_writable

        path = self.output / item.output
        try:
            make_folder(path.parent)
            check_writable(path)
        except OutputError as error:
            if _is_fatal(error):
                raise
            raise ResultRefused(error.message, error.hint) from error
        photo = stamp_of(self.folder / item.photo)
        free_bytes, needed_bytes = shutil.disk_usage(path.parent).free, _ROOM * (photo or [0])[0]
        if free_bytes < needed_bytes:
            raise OutputError(
                f"The disk of {path} has {free_bytes / 1e6:.0f} MB of free space; the result "
                f"may take {needed_bytes / 1e6:.0f} MB.",
                "Free disk space and give the same command again: finished photos are kept.",
            )

    def write(
        self,
        item: Item,
        fingerprint: dict[str, Any],
        outcome: Outcome,
        *,
        began: float,
        host: str = "",
    ) -> None:
        """Write a result to its file, then its record to the manifest.

        Parameters
        ----------
        item : Item
        fingerprint : dict
            As `LoadedPhoto.fingerprint`.
        outcome : Outcome
        began : float
            Unix time, s.
        host : str, optional
            Machine that fitted the photo; this one by default.

        Raises
        ------
        OutputError
            No further result can be written: the disk is full or gone.
        """
        error = outcome.error
        if error is None:
            error = self._write(item, outcome)
        record = {
            "photo": item.photo,
            "mask": item.mask,
            "output": item.output,
            "page": item.page,
            "outcome": DONE if error is None else FAILED,
            **({} if error is None else {"error": error}),
            **fingerprint,
            "output_sha256": digest(outcome.data) if error is None else None,
            "output_bytes": len(outcome.data) if error is None else None,
            "settings": self.settings,
            "settings_sha256": digest_of_settings(self.settings, item.file_format, item.page),
            "versions": versions(),
            "figures": outcome.figures,
            "began": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(began)),
            "seconds": round(time.time() - began, 3),
            "host": host or platform.node(),
        }
        # The manifest first: the progress must not count a photo that has no record.
        self._manifest.append(record)
        self.progress.complete(item.photo, error)

    def write_failure(self, item: Item, error: dict[str, str], *, began: float) -> None:
        """Record a photo that cannot be read."""
        fingerprint = {
            "photo_sha256": None,
            "photo_stamp": stamp_of(self.folder / item.photo),
            "mask_sha256": None,
            "mask_stamp": None if item.mask is None else stamp_of(Path(item.mask)),
        }
        self.write(item, fingerprint, Outcome(figures={}, error=error), began=began)

    def _write(self, item: Item, outcome: Outcome) -> dict[str, str] | None:
        """Write the result and its before-and-after picture; return the error, or None."""
        from dip.image_io import write_file

        path = self.output / item.output
        picture = self.output / before_after_path(item.photo)
        failure = outcome.figures.pop("encoding_error", None)
        try:
            if failure is not None:
                return self._write_beside(picture.with_suffix(".tif"), outcome.data, failure)
            make_folder(path.parent)
            write_file(path, outcome.data)
        except OutputError as error:
            if _is_fatal(error):
                raise _kept_elsewhere(error, path, outcome.data) from error
            spare = picture.with_suffix(path.suffix)
            return self._write_beside(spare, outcome.data, error.as_dict())
        try:
            make_folder(picture.parent)
            write_file(picture, outcome.before_after)
        except OutputError as error:
            if _is_fatal(error):
                raise
            return error.as_dict()
        return None

    def _write_beside(self, path: Path, data: bytes, failure: dict[str, str]) -> dict[str, str]:
        """Write a result that cannot have its own name; return the error, which names the file."""
        from dip.image_io import write_file

        try:
            make_folder(path.parent)
            write_file(path, data)
        except OutputError:
            return failure
        return {**failure, "message": f"{failure['message']} The result lies in {path}."}


def _kept_elsewhere(error: OutputError, path: Path, data: bytes) -> OutputError:
    """Write a result on another disk; return an error that names the file."""
    from dip.image_io import write_elsewhere

    spare = write_elsewhere(data, path.parent, path.suffix)
    if spare is None:
        return error
    return OutputError(f"{error.message} This result lies in {spare}.", error.hint)


def _is_fatal(error: OutputError) -> bool:
    return getattr(error.__cause__, "errno", None) in _FATAL


def before_after_path(photo: str) -> str:
    """Path of a photo's before-and-after picture, relative to the output folder."""
    name = hashlib.sha256(os.fsencode(photo)).hexdigest()[:24]
    return f"{BEFORE_AFTER}/{name[:2]}/{name}.jpg"


def _bytes_of(path: Path) -> bytes:
    from dip.image_io import DEFAULT_LIMITS

    try:
        size = path.stat().st_size
        if size > DEFAULT_LIMITS.bytes:
            raise InputError(
                f"{path} has {size / 1e6:.0f} MB, more than {DEFAULT_LIMITS.bytes / 1e6:.0f} MB.",
                "Cut out the part around the damage.",
            )
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}.", "Check the name and the permissions."
        ) from error


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, or raise OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be created: {error.strerror}.", "Name another folder for the results."
        ) from error
