"""Everything that the service refuses or fails with, and what that is called over HTTP.

One table maps a code to its status and to what to do about it; one body carries it everywhere::

    {"error": {"code": "queue_full", "message": "...", "hint": "..."}}

::

    ServiceError(code, message, hint)    what a request or a job ends with; caught at the edges
    DipError
    └── ServiceFailure                   what the command line stops with, exit status 9
        └── AlreadyRunning               10

Codes are stable: clients rely on them. Those of `dip.errors` are used as they are.
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
    """What a code stands for: the HTTP status, and what to do unless something better is known."""

    status: int
    hint: str


_OWN = {
    "bad_request": Meaning(400, "Send the request as /openapi.json describes it."),
    "token_required": Meaning(
        401, "Send 'Authorization: Bearer TOKEN'; `dip serve` prints where the token file is."
    ),
    "launch_code_spent": Meaning(401, "Ask for another with `dip serve --open`."),
    "host_refused": Meaning(
        403, "Use 127.0.0.1 or localhost, or start the service with --allowed-host NAME."
    ),
    "origin_refused": Meaning(403, "Pages of other sites may not talk to this service."),
    "not_found": Meaning(404, "/openapi.json lists what there is."),
    "job_unknown": Meaning(
        404, "It was never accepted here, was deleted, or was pruned; GET /v1/jobs lists the jobs."
    ),
    "preview_missing": Meaning(404, "Wait for the first 'preview' event."),
    "method_not_allowed": Meaning(405, "/openapi.json lists the methods of each path."),
    "result_not_ready": Meaning(409, "Wait for the 'done' event, then ask again."),
    "no_result": Meaning(409, "GET the job: its error says why there is no result."),
    "not_running": Meaning(409, "Only a job that is being worked on can be stopped."),
    "cancelled": Meaning(409, "Submit it again if it was not meant."),
    "lease_expired": Meaning(409, "Renew the lease in time, or submit without one."),
    "key_reused": Meaning(409, "Use a new Idempotency-Key for every new submission."),
    "body_too_large": Meaning(413, "GET /v1/capabilities says what is accepted."),
    "too_many_parts": Meaning(413, "Send each parameter once, as its own form field."),
    "image_unreadable": Meaning(415, "Send PNG, TIFF, JPEG or WebP, or declare raw samples."),
    "content_type_refused": Meaning(415, "Send multipart/form-data, as curl -F does."),
    "range_refused": Meaning(416, "Ask for bytes that are there, or for all of them."),
    "parameter_invalid": Meaning(422, "GET /v1/capabilities says what is accepted."),
    "queue_full": Meaning(429, "Wait for a job to end, then send it again."),
    "headers_too_large": Meaning(431, "Send fewer or shorter headers."),
    "internal": Meaning(500, "This is a fault in the service: its log says more."),
    "worker_died": Meaning(
        500, "Memory may have run out: try the preset 'fast', or set max_memory_mb."
    ),
    "not_implemented": Meaning(501, "Send the body plainly or in chunks."),
    "too_many_streams": Meaning(503, "Close a stream, or poll GET /v1/jobs/ID."),
    "shutting_down": Meaning(503, "Ask again when it is back; accepted jobs are kept."),
    "disk_full": Meaning(507, "Free some space, or delete finished jobs."),
}


def _dip_errors(root: type[DipError] = DipError) -> Iterator[type[DipError]]:
    for error in root.__subclasses__():
        if error.__module__ == dip_errors.__name__:
            yield error
            yield from _dip_errors(error)


MEANINGS: Mapping[str, Meaning] = MappingProxyType(
    {
        # What `dip` refuses is a matter of what was sent.
        **{
            error.code: Meaning(422, "GET the job: its error says more.") for error in _dip_errors()
        },
        **_OWN,
    }
)
"""Every code that a response or a job may carry."""

CODE_OF_STATUS = {
    400: "bad_request",
    401: "token_required",
    403: "origin_refused",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "content_type_refused",
    416: "range_refused",
    422: "parameter_invalid",
    431: "headers_too_large",
    501: "not_implemented",
}
"""For errors that a library raised, which know a status only."""


class ServiceError(Exception):
    """An answer to a request, or the end of a job, that is not a success.

    Parameters
    ----------
    code : str
        A key of `MEANINGS`.
    message : str
        What was seen, in one sentence.
    hint : str, optional
        What to do about it, where more is known than the table says.
    retry_after_s : int, optional
        When to try again.
    """

    def __init__(
        self, code: str, message: str, hint: str | None = None, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        meaning = MEANINGS[code]
        self.code = code
        self.status = meaning.status
        self.message = message
        self.hint = meaning.hint if hint is None else hint
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, Any]:
        """The one error body."""
        return {"error": {"code": self.code, "message": self.message, "hint": self.hint}}

    def headers(self) -> dict[str, str]:
        """Response headers that belong to it."""
        headers = {}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="dip-restore"'
        return headers


class ServiceFailure(DipError):
    """The service cannot be reached, cannot start, or refused what the command line asked."""

    code = "service_failed"
    exit_status = 9


class AlreadyRunning(ServiceFailure):
    """Another service holds the data folder."""

    code = "already_running"
    exit_status = 10
