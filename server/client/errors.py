"""The errors of the client.

::

    ClientError              code, message, hint
    ├── Unreachable          the service does not answer, or was never started
    ├── UntrustedServer      the server fails the proof of identity, or has another API version
    ├── Refused              the service answered with an error; `status` is the HTTP status
    └── JobFailed            the job ended without a result
"""

from __future__ import annotations


class ClientError(Exception):
    """A failure that a user can understand and act on."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.code, self.message, self.hint = code, message, hint


class Unreachable(ClientError):
    """The service does not answer."""


class UntrustedServer(ClientError):
    """The server is not the service that the token belongs to, or has another API version."""


class Refused(ClientError):
    """The service refused the request."""

    def __init__(self, status: int, code: str, message: str, hint: str = "") -> None:
        super().__init__(code, message, hint)
        self.status = status


class JobFailed(ClientError):
    """The job ended without a result."""
