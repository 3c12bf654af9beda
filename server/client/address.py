"""The address of a service: where clients look it up, and the certificate they expect there."""

from __future__ import annotations

import hashlib
import json
import os
import re
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path

from .errors import Unreachable


def default_data_dir() -> Path:
    """The folder with a service's jobs and token, unless an option names another.

    XDG variables are ignored: a sandbox such as flatpak changes them.
    """
    if "DIP_DATA_DIR" in os.environ:
        return Path(os.environ["DIP_DATA_DIR"])
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return (Path(base) if base else Path.home() / "AppData" / "Local") / "dip-restore"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "dip-restore"
    return Path.home() / ".local" / "state" / "dip-restore"


def connection_file(data_dir: Path) -> Path:
    """The file that names a service on another machine, to use in place of the local one."""
    return data_dir / "connection.json"


def fingerprint_of(certificate: Path) -> str:
    """SHA-256 of the first certificate in a PEM file, in hexadecimal.

    Raises
    ------
    ValueError
        The file contains no certificate.
    """
    found = re.search(
        "-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----",
        certificate.read_text(encoding="ascii", errors="replace"),
        re.DOTALL,
    )
    if found is None:
        raise ValueError(f"There is no certificate in {certificate}.")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(found[0])).hexdigest()


@dataclass(frozen=True)
class ServiceAddress:
    """The URL of a service, and the credentials for it.

    Parameters
    ----------
    url : str
    token : str
    fingerprint : str or None
        SHA-256 of the expected certificate; None to trust the certificate authorities.
    """

    url: str
    token: str
    fingerprint: str | None

    @classmethod
    def look_up(cls, data_dir: Path) -> ServiceAddress:
        """Read the address from a data folder.

        Raises
        ------
        Unreachable
            No service runs, or its files cannot be read.
        """
        try:
            remote = connection_file(data_dir)
            if remote.exists():
                return cls(**json.loads(remote.read_text()))
            local = json.loads((data_dir / "server.json").read_text())
            token = (data_dir / "token").read_text().strip()
            return cls(local["url"], token, local.get("fingerprint"))
        except (OSError, ValueError, KeyError, TypeError):
            raise Unreachable(
                "unreachable",
                f"No service is running (looked in {data_dir}).",
                "Start it: dip serve",
            ) from None
