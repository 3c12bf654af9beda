"""The errors of the service: codes, HTTP statuses and hints.

`MEANINGS` maps each code to its status and its usual hint. Every error response and every failed
job has the same body::

    {"error": {"code": "queue_full", "message": "...", "hint": "..."}}

The message names the cause; each `raise` has its own. The hint names the remedy.

::

    ServiceError(code, message, hint)    the end of a request or of a job
    DipError
    └── ServiceFailure                   stops a command of the command line; exit status 9
        └── AlreadyRunning               exit status 10

Clients rely on the codes: they never change. The codes of `dip.errors` are used as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dip import errors as dip_errors
from dip.errors import DipError


@dataclass(frozen=True)
class Meaning:
    """The meaning of a code.

    Parameters
    ----------
    status : int
        HTTP status.
    hint : str
        The remedy, unless the `raise` has a better hint.
    retry_after_s : int, optional
        When to send the request again.
    """

    status: int
    hint: str
    retry_after_s: int | None = None


_SERVICE_ERRORS = {
    # 400 to 408: the request as such
    "bad_request": Meaning(400, "Send the request as /openapi.json describes it."),
    "token_required": Meaning(
        401, "Send 'Authorization: Bearer TOKEN'; `dip serve` prints where the token file is."
    ),
    "launch_code_spent": Meaning(401, "Get a new link with `dip serve --open`."),
    "host_refused": Meaning(
        403, "Use 127.0.0.1 or localhost, or start the service with --allowed-host NAME."
    ),
    "origin_refused": Meaning(403, "Use this service's own page: other sites have no access."),
    "not_found": Meaning(404, "Use one of the paths in /openapi.json."),
    "job_unknown": Meaning(
        404,
        "Check the id with GET /v1/jobs. Deleted and pruned jobs are not listed: submit such a "
        "job again.",
    ),
    "preview_missing": Meaning(404, "Wait for the first 'preview' event."),
    "method_not_allowed": Meaning(405, "Use one of the methods in /openapi.json."),
    "request_timeout": Meaning(408, "Send the request again, without pauses."),
    # 409: the job's state does not allow it
    "result_not_ready": Meaning(409, "Wait for the 'done' event, then send the request again.", 1),
    "no_result": Meaning(409, "GET the job: its error explains why there is no result."),
    "not_running": Meaning(409, "Stop a job only while it is running."),
    "cancelled": Meaning(409, "Submit the job again if you still need it."),
    "lease_expired": Meaning(409, "Renew the lease in time, or submit the job without a lease."),
    "key_reused": Meaning(409, "Use a new Idempotency-Key for every new submission."),
    # 413 to 422: the form and its files
    "body_too_large": Meaning(413, "GET /v1/capabilities for the limits."),
    "too_many_parts": Meaning(413, "Send each parameter once, as its own form field."),
    "image_unreadable": Meaning(415, "Send PNG, TIFF, JPEG or WebP, or declare raw samples."),
    "content_type_refused": Meaning(415, "Send multipart/form-data, as curl -F does."),
    "range_refused": Meaning(416, "Request a range inside the file, or the whole file."),
    "parameter_invalid": Meaning(422, "GET /v1/capabilities for the accepted values."),
    # 429 to 507: the service's own state
    "queue_full": Meaning(429, "Wait until a job ends, then send the request again.", 5),
    "headers_too_large": Meaning(431, "Send fewer or shorter headers."),
    "internal": Meaning(500, "This is a fault of the service: see the log in its data folder."),
    "worker_died": Meaning(
        500, "Submit the job again; the log in the service's data folder has the details."
    ),
    "not_implemented": Meaning(501, "Send the body without a transfer coding, or in chunks."),
    "too_many_streams": Meaning(503, "Close a stream, or poll GET /v1/jobs/ID.", 5),
    "shutting_down": Meaning(
        503, "Send the request again after the restart; accepted jobs are kept."
    ),
    "disk_full": Meaning(507, "Free some disk space, or delete finished jobs."),
}


def _dip_errors(root: type[DipError] = DipError) -> Iterator[type[DipError]]:
    for error in root.__subclasses__():
        if error.__module__ == dip_errors.__name__:
            yield error
            yield from _dip_errors(error)


MEANINGS: Mapping[str, Meaning] = MappingProxyType(
    {
        # `dip` refuses an image, a mask or a parameter: the fault of the submission.
        **{
            error.code: Meaning(422, "GET the job: its error has the details.")
            for error in _dip_errors()
        },
        **_SERVICE_ERRORS,
    }
)
"""Every code of a response or of a job."""

CODE_OF_STATUS = {
    400: "bad_request",
    401: "token_required",
    403: "origin_refused",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "body_too_large",
    415: "content_type_refused",
    416: "range_refused",
    422: "parameter_invalid",
    431: "headers_too_large",
    501: "not_implemented",
}
"""Codes for the errors of libraries, which have a status only."""


class ServiceError(Exception):
    """The failure of a request or of a job.

    Parameters
    ----------
    code : str
        A key of `MEANINGS`.
    message : str
        The cause, in one sentence.
    hint : str, optional
        The remedy; the hint of `MEANINGS` by default.
    """

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        meaning = MEANINGS[code]
        self.code = code
        self.status = meaning.status
        self.message = message
        self.hint = meaning.hint if hint is None else hint
        self.retry_after_s = meaning.retry_after_s

    def body(self) -> dict[str, Any]:
        """The body of the response."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint}}

    def headers(self) -> dict[str, str]:
        """The response headers of this error."""
        headers = {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="dip-restore"'
        return headers


class ServiceFailure(DipError):
    """The service cannot be reached, cannot start, or refused the command."""

    code = "service_failed"
    exit_status = 9


class AlreadyRunning(ServiceFailure):
    """Another service uses the data folder."""

    code = "already_running"
    exit_status = 10
