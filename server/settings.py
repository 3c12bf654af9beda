"""What the service may be told, as one frozen dataclass that checks itself."""

from __future__ import annotations

import ipaddress
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dip.cluster.options import ClusterSettings
from dip.errors import SettingError

DEFAULT_PORT = 8777
MIB, GIB = 2**20, 2**30


def _default_data_dir() -> Path:
    from server.client import default_data_dir  # here: `dip --help` need not import requests

    return default_data_dir()


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Where the service lives and what it grants.

    Parameters
    ----------
    data_dir : Path
        Jobs, pixels, token and logs; one service at a time.
    host, port : str, int
        Where to listen; port 0 takes a free one.
    expose : bool
        Whether an address that other machines can reach is meant.
    allowed_hosts : tuple of str
        Names besides the loopback ones under which clients may ask.
    certificate, key : Path, optional
        PEM files; the service speaks TLS with them, and only TLS.
    cluster : ClusterSettings, optional
        Who works on the jobs; this machine where None.
    max_body_bytes, max_pixels : int
        Of one submission; more is refused before anything is decoded.
    max_queued, max_queued_each : int
        Jobs that may wait, of all together and of one user; more are refused with 429.
    max_streams : int
        Event streams and waiting /v1/restore calls at the same time.
    stream_limit_s : float
        A stream is ended after this long; clients resume it.
    heartbeat_s : float
        Between two signs of life in a stream.
    lease_min_s, lease_max_s : float
        What a client may ask for.
    keep_days, keep_bytes : float, int
        Finished jobs are pruned when older, or, oldest first, when they take more.
    reserve_bytes : int
        Disk space that submissions leave free.
    idle_exit_s : float
        The worker leaves after this long without a job, with all its memory.
    obey_s : float
        A worker that goes on for longer with a cancelled job is killed.
    stall_s : float
        A worker whose job shows no sign of life for this long is killed.
    header_timeout_s, body_grace_s, body_rate : float
        A request's headers must be there in time, its body too: the grace, and one second more
        for every `body_rate` bytes.
    output_stall_s : float
        A client that reads nothing for this long while there is something to read is dropped.
    idle_connection_s : int
        A connection without a request is closed after this long.
    """

    data_dir: Path = field(default_factory=_default_data_dir)
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    expose: bool = False
    allowed_hosts: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    cluster: ClusterSettings | None = None
    max_body_bytes: int = 2 * GIB
    max_pixels: int = 200_000_000
    max_queued: int = 100
    max_queued_each: int = 20
    max_streams: int = 256
    stream_limit_s: float = 900
    heartbeat_s: float = 5
    lease_min_s: float = 5
    lease_max_s: float = 3600
    keep_days: float = 7
    keep_bytes: int = 10 * GIB
    reserve_bytes: int = 256 * MIB
    idle_exit_s: float = 300
    obey_s: float = 5
    stall_s: float = 1800
    header_timeout_s: float = 10
    body_grace_s: float = 20
    body_rate: float = 50_000
    output_stall_s: float = 30
    idle_connection_s: int = 60

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise SettingError(f"port is {self.port!r}.", "It must be from 0 to 65535.")
        if (self.certificate is None) != (self.key is None):
            raise SettingError("A certificate and its key belong together.", "Name both.")
        _check_files(self.certificate, self.key)
        if not is_loopback(self.host) and not self.encrypted:
            self._check_exposure()
        if self.cluster is not None:
            _check_cluster(self.cluster)
        positive = ("max_body_bytes", "max_pixels", "max_queued", "max_streams", "keep_bytes")
        for name in positive:
            if getattr(self, name) < 1:
                raise SettingError(f"{name} is {getattr(self, name)!r}.", "It must be 1 or more.")
        for name in ("keep_days", "idle_exit_s"):
            if not 0 <= getattr(self, name) < math.inf:  # NaN is neither
                raise SettingError(f"{name} is {getattr(self, name)!r}.", "It must be 0 or more.")

    def _check_exposure(self) -> None:
        """Refuse what is not encrypted, unless that is meant; a workgroup's always."""
        if self.cluster is not None:
            raise SettingError(
                f"{self.host} can be reached from other machines, and nothing is encrypted.",
                "A service with a cluster behind it needs --certificate and --key there.",
            )
        if not self.expose:
            raise SettingError(
                f"{self.host} can be reached from other machines.",
                "Whoever reads the token on the way could then use this machine: nothing is "
                "encrypted. Give --certificate and --key, or --expose if that is meant, and "
                "--allowed-host NAME for the name that clients will use.",
            )

    @property
    def encrypted(self) -> bool:
        """Whether the service speaks TLS."""
        return self.certificate is not None

    @property
    def host_names(self) -> tuple[str, ...]:
        """Under which a client may ask, besides the loopback ones: the address itself, too."""
        if self.host.strip("[]") in ("", "0.0.0.0", "::"):
            return self.allowed_hosts
        host = f"[{self.host.strip('[]')}]" if ":" in self.host else self.host
        return (*self.allowed_hosts, host)

    @property
    def max_request_bytes(self) -> int:
        """The size of a request: the files, and the form around them."""
        return self.max_body_bytes + 64 * 1024

    @property
    def store_file(self) -> Path:
        return self.data_dir / "jobs.sqlite"

    @property
    def files_dir(self) -> Path:
        return self.data_dir / "blobs"

    @property
    def incoming_dir(self) -> Path:
        """What is being received; emptied at start-up."""
        return self.data_dir / "incoming"

    @property
    def token_file(self) -> Path:
        return self.data_dir / "token"

    @property
    def users_file(self) -> Path:
        """Names and hashes, for `server.http.users`."""
        return self.data_dir / "users.json"

    @property
    def announcement_file(self) -> Path:
        """What clients read to find the service."""
        return self.data_dir / "server.json"

    def as_json(self) -> str:
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> ServerSettings:
        values = json.loads(text)
        values["data_dir"] = Path(values["data_dir"])
        values["allowed_hosts"] = tuple(values["allowed_hosts"])
        for name in ("certificate", "key"):
            values[name] = _path(values[name])
        if values["cluster"] is not None:
            for name in _CLUSTER_FILES:
                values["cluster"][name] = _path(values["cluster"][name])
            values["cluster"] = ClusterSettings(**values["cluster"])
        return cls(**values)


_CLUSTER_FILES = ("ca", "certificate", "key")


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _check_cluster(cluster: ClusterSettings) -> None:
    scheme, _, place = cluster.address.partition("://")
    host, _, port = place.rpartition(":")
    if scheme not in ("tcp", "tls") or not host or not port.isdigit():
        raise SettingError(
            f"{cluster.address} is no address of a scheduler.", "It is like tls://host:8786."
        )
    if scheme == "tcp" and not is_loopback(host):
        raise SettingError(
            f"{cluster.address} is neither encrypted nor protected.",
            "Whoever reaches it could run any program there. Use tls:// with --tls-ca, --tls-cert "
            "and --tls-key.",
        )
    _check_files(*(getattr(cluster, name) for name in _CLUSTER_FILES))


def _check_files(*paths: Path | None) -> None:
    for path in paths:
        if path is not None and not path.is_file():
            raise SettingError(f"There is no file {path}.", "Check the name.")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
