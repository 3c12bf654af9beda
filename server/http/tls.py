"""TLS: the server's certificate and key."""

from __future__ import annotations

import ssl
from pathlib import Path

from server.errors import ServiceFailure


def context_from(certificate: Path, key: Path) -> ssl.SSLContext:
    """The server's side of TLS 1.2 and 1.3.

    Raises
    ------
    ServiceFailure
        The files are no certificate and key in PEM format.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise ServiceFailure(
            f"{certificate} and {key} cannot be used: {error}.",
            "Give two PEM files: the certificate, followed by those that signed it; and its key, "
            "without a password.",
        ) from error
    return context


def _no_password() -> str:
    raise ValueError("the key has a password")
