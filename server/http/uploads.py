"""From an uploaded form to an accepted job: checked, on disk, in the queue."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from flask import Request, g, request
from werkzeug.datastructures import FileStorage
from werkzeug.formparser import FormDataParser

from dip.errors import ImageTooLarge
from dip.file_signatures import SIGNATURE_BYTES, identify
from server.errors import ServiceError
from server.http.context import Service, service, user
from server.jobs.files import check_free_space, disk_full_is_an_error
from server.jobs.job import Job
from server.jobs.parameters import (
    MAX_DECODED_BYTES,
    SAMPLE_BYTES,
    JobParameters,
    Task,
    parameters_from,
)

UNNAMED = "image"
"""The file name of a photo that has none; a form needs one."""
FILES = ("image", "mask", "infrared")
"""The fields of a form that are files."""

_LONGEST_NAME = 255

_log = logging.getLogger(__name__)

_MAX_PARTS = 40
_MAX_FIELD_BYTES = 256 * 1024
"""More than two of werkzeug's reads of 64 KiB: a rest of one read is kept beside the next."""


class UploadRequest(Request):
    """A request whose files are received on the disk with the jobs, so that no copy is needed."""

    max_form_parts = _MAX_PARTS
    max_form_memory_size = _MAX_FIELD_BYTES

    def make_form_data_parser(self) -> FormDataParser:
        parser = super().make_form_data_parser()
        parser.silent = False  # a form that is not understood is an error, not an empty form
        return parser

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        upload = Upload(service().settings.incoming_dir)
        g.setdefault("uploads", []).append(upload)
        return upload  # type: ignore[return-value]


def check_form() -> None:
    """Parse the form of an upload, and refuse one that is not complete or not unambiguous.

    Raises
    ------
    ServiceError
        `content_type_refused`; `parameter_invalid`, also for two parts of one name.
    """
    if request.mimetype != "multipart/form-data":
        raise ServiceError(
            "content_type_refused", f"The body has {request.mimetype or 'no content type'}."
        )
    if not request.mimetype_params.get("boundary"):
        raise ServiceError(
            "parameter_invalid",
            "The Content-Type of the form names no boundary.",
            "Let your HTTP library make the form and its Content-Type.",
        )
    try:
        parts = [name for name, _ in request.form.items(multi=True)]
        parts += [name for name, _ in request.files.items(multi=True)]
    except UnicodeDecodeError as error:
        raise ServiceError(
            "parameter_invalid",
            "A name or a text in the form is not encoded in UTF-8.",
            "Send UTF-8, as the forms of browsers and curl -F do.",
        ) from error
    except ValueError as error:
        raise ServiceError(
            "parameter_invalid",
            "The form is not divided by its boundary, or ends before its last boundary.",
            "Send the form completely, with the boundary that Content-Type names.",
        ) from error
    refuse_repeated(parts, "The form has two parts")


def refuse_repeated(names: list[str], seen: str) -> None:
    """Refuse two values of one name: it is not known which one the client means.

    Parameters
    ----------
    names : list of str
    seen : str
        The beginning of the message, such as 'The form has two parts'.

    Raises
    ------
    ServiceError
        `parameter_invalid`
    """
    repeated = sorted(name for name, times in Counter(names).items() if times > 1)
    if repeated:
        text = ", ".join(repr(name) for name in repeated)
        raise ServiceError("parameter_invalid", f"{seen} of the name {text}.", "Send each once.")


class Upload:
    """A file that is being received; its SHA-256 is computed meanwhile.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / secrets.token_hex(16)
        self.size = 0
        self.first_bytes = b""
        self._digest = hashlib.sha256()
        self._file = self.path.open("wb")

    def write(self, data: bytes) -> int:
        if len(self.first_bytes) < SIGNATURE_BYTES:
            self.first_bytes += bytes(data[:SIGNATURE_BYTES])
        self.size += len(data)
        self._digest.update(data)
        with disk_full_is_an_error():
            return self._file.write(data)

    def complete(self) -> str:
        """Close the file and return its SHA-256."""
        with disk_full_is_an_error():
            self._file.close()
        return self._digest.hexdigest()

    def discard(self) -> None:
        with suppress(OSError, ServiceError):
            self.complete()
        self.path.unlink(missing_ok=True)

    # werkzeug rewinds and closes its streams; this one is only written.
    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return 0

    def close(self) -> None:
        pass

    @property
    def looks_like_an_image(self) -> bool:
        """Whether the first bytes are those of a supported format; nothing is decoded."""
        return identify(self.first_bytes) is not None


def discard_uploads() -> None:
    """Delete the files of a request that did not become a job's files."""
    for upload in g.pop("uploads", []):
        upload.discard()


def accept(form: dict[str, Any], key: str | None = None, task: Task = "restore") -> Job:
    """Accept a job; its record and its files are on disk when this returns.

    Parameters
    ----------
    form : dict
        Validated fields of `SubmitIn`.
    key : str, optional
        The Idempotency-Key.
    task : str
        'restore', or 'detect' for fields of `DetectIn`.

    Raises
    ------
    ServiceError
        `parameter_invalid`, `image_unreadable`, `image_too_large`, `queue_full`, `key_reused`,
        `disk_full`.
    """
    here = service()
    uploads = {name: take_upload(form[name]) for name in FILES if form.get(name)}
    parameters = parameters_from(
        form,
        has_mask="mask" in uploads,
        has_infrared="infrared" in uploads,
        photo_name=shown_name(form["image"].filename),
        task=task,
    )
    _check_pixels(parameters, uploads, here)
    lease_s = _lease(form.get("lease_s"), here)
    digests = [f"{name} {upload.complete()}" for name, upload in uploads.items()]
    fingerprint = None
    if key is not None:
        text = "\n".join([parameters.as_json(), *digests])
        fingerprint = hashlib.sha256(text.encode()).hexdigest()
        earlier = here.store.find_by_key(key, fingerprint, user())
        if earlier is not None:
            return earlier
    check_free_space(here.settings.data_dir, here.settings.reserve_bytes)
    job_id = secrets.token_hex(16)
    try:
        here.files.adopt(job_id, {name: upload.path for name, upload in uploads.items()})
        job = here.store.add(
            job_id,
            parameters,
            size=sum(upload.size for upload in uploads.values()),
            key=key,
            fingerprint=fingerprint,
            lease_s=lease_s,
            max_queued=here.settings.max_queued,
            owner=user(),
            max_queued_each=here.settings.max_queued_each,
        )
    except BaseException as error:
        here.files.remove(job_id)
        if isinstance(error, ServiceError) and error.code == "key_reused" and key and fingerprint:
            # The same submission arrived twice at once, and the other request was first.
            earlier = here.store.find_by_key(key, fingerprint, user())
            if earlier is not None:
                return earlier
        raise
    _log.info("accepted: %s", parameters.public(), extra={"job": job.id})
    here.dispatcher.wake()
    return job


def shown_name(filename: str | None) -> str:
    """The last part of a file name, for people to read: printable, without any folder."""
    name = re.split(r"[/\\]", filename or "")[-1]
    name = "".join(each for each in name if each.isprintable())[:_LONGEST_NAME]
    return "" if name in ("", ".", "..", UNNAMED) else name


def take_upload(file: FileStorage) -> Upload:
    """The uploaded file of a form field."""
    upload = file.stream
    assert isinstance(upload, Upload)
    return upload


def _check_pixels(parameters: JobParameters, uploads: dict[str, Upload], here: Service) -> None:
    raw = parameters.raw
    if raw is not None:
        if raw.width * raw.height > here.settings.max_pixels:
            raise ServiceError(
                ImageTooLarge.code,
                f"The image has {raw.width}×{raw.height} px; the limit is "
                f"{here.settings.max_pixels / 1e6:.0f} megapixels.",
                "Cut out the part around the damage.",
            )
        if raw.bytes > MAX_DECODED_BYTES:
            raise ServiceError(
                ImageTooLarge.code,
                f"The samples take {raw.bytes / 1e9:.1f} GB; the limit is "
                f"{MAX_DECODED_BYTES / 1e9:.1f} GB.",
                "Cut out the part around the damage.",
            )
        _check_size("image", uploads["image"], raw.bytes)
    elif not uploads["image"].looks_like_an_image:
        raise ServiceError("image_unreadable", "The image is in no supported format.")
    if "infrared" in uploads and not uploads["infrared"].looks_like_an_image:
        raise ServiceError("image_unreadable", "The infrared plane is in no supported format.")
    if "mask" not in uploads:
        return
    if parameters.mask_samples is not None and raw is not None:
        samples = SAMPLE_BYTES[parameters.mask_samples]
        _check_size("mask", uploads["mask"], raw.width * raw.height * samples)
    elif not uploads["mask"].looks_like_an_image:
        raise ServiceError("image_unreadable", "The mask is in no supported format.")


def _check_size(name: str, upload: Upload, expected: int) -> None:
    if upload.size != expected:
        raise ServiceError(
            "parameter_invalid",
            f"The {name} has {upload.size} bytes; its declared size needs {expected}.",
            "Send width × height × channels samples, row-first, without padding between the rows.",
        )


def _lease(lease_s: float | None, here: Service) -> float | None:
    if lease_s is None:
        return None
    low, high = here.settings.lease_min_s, here.settings.lease_max_s
    if not low <= lease_s <= high:
        raise ServiceError(
            "parameter_invalid", f"lease_s is {lease_s:g}.", f"It must be from {low:g} to {high:g}."
        )
    return lease_s
