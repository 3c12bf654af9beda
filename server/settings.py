"""The settings of the service: address, limits, timeouts and pruning, with their defaults."""

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
    from server.client import default_data_dir  # not at the top: `dip --help` needs no requests

    return default_data_dir()


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Settings of one service.

    Parameters
    ----------
    data_dir : Path
        Contains jobs, files, token and logs; used by one service at a time.
    host, port : str, int
        The address to listen on; port 0 takes any free port.
    expose : bool
        Allow a host that other machines can reach, without encryption.
    allowed_hosts : tuple of str
        Host names that clients may use, besides the loopback names.
    certificate, key : Path, optional
        PEM files; with them, the service accepts TLS connections only.
    cluster : ClusterSettings, optional
        The Dask cluster that works on the jobs; None for this machine.
    max_body_bytes, max_pixels : int
        Maximum upload: the files of one submission, in bytes, and its image, in pixels. Larger
        submissions are refused before decoding.
    max_queued, max_queued_each : int
        Maximum number of waiting jobs: of all users together, and of each user. More are refused
        with `queue_full`. The second limit does not apply to the owner.
    max_streams : int
        Maximum number of event streams and /v1/restore calls at the same time.
    stream_limit_s : float
        An event stream is closed after this time; clients resume it.
    heartbeat_s : float
        Time between two heartbeats in an event stream.
    lease_min_s, lease_max_s : float
        The shortest and the longest lease that a client may request.
    keep_days, keep_bytes : float, int
        Pruning: jobs that ended earlier are deleted with their results. The oldest are deleted
        too while all together take more disk space.
    reserve_bytes : int
        Free disk space below which submissions are refused.
    idle_exit_s : float
        The worker exits, and so frees its memory, after this time without a job.
    cancel_timeout_s : float
        A worker that continues a cancelled job for this time is killed.
    stall_s : float
        A worker whose job makes no progress for this time is killed.
    header_timeout_s, body_grace_s, body_rate : float
        A request's headers must arrive within `header_timeout_s`, its body within `body_grace_s`
        and one second for every `body_rate` bytes.
    output_stall_s : float
        A client that reads none of its response for this time is disconnected.
    idle_connection_s : int
        A connection without a request is closed after this time.
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
    cancel_timeout_s: float = 5
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
            raise SettingError(
                "A certificate and its key belong together; only one is given.",
                "Give both --certificate and --key.",
            )
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
            if not 0 <= getattr(self, name) < math.inf:  # false for NaN
                raise SettingError(f"{name} is {getattr(self, name)!r}.", "It must be 0 or more.")

    def _check_exposure(self) -> None:
        """Refuse an unencrypted address, unless `expose` allows it; with a cluster always."""
        if self.cluster is not None:
            raise SettingError(
                f"Other machines can reach the host {self.host!r}, and nothing is encrypted.",
                "A service with --cluster needs --certificate and --key at such an address.",
            )
        if not self.expose:
            raise SettingError(
                f"Other machines can reach the host {self.host!r}, and nothing is encrypted: a "
                "person who reads the network traffic can copy the token and use this machine.",
                "Give --certificate and --key, or --expose to allow this; and --allowed-host NAME "
                "for the name that clients use.",
            )

    @property
    def encrypted(self) -> bool:
        """Whether the service uses TLS."""
        return self.certificate is not None

    @property
    def host_names(self) -> tuple[str, ...]:
        """Host names that clients may use, besides the loopback names: also the address itself."""
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
        """For uploads while they are received; emptied at start-up."""
        return self.data_dir / "incoming"

    @property
    def token_file(self) -> Path:
        return self.data_dir / "token"

    @property
    def users_file(self) -> Path:
        """Names of users and hashes of their tokens; see `server.http.users`."""
        return self.data_dir / "users.json"

    @property
    def announcement_file(self) -> Path:
        """The address of the running service, for clients."""
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
    scheme, _, location = cluster.address.partition("://")
    host, _, port = location.rpartition(":")
    if scheme not in ("tcp", "tls") or not host or not (port.isascii() and port.isdigit()):
        raise SettingError(
            f"{cluster.address} is not the address of a scheduler.",
            "Give an address such as tls://host:8786.",
        )
    if scheme == "tcp" and not is_loopback(host):
        raise SettingError(
            f"{cluster.address} is not encrypted: anyone who reaches it can run programs there.",
            "Use tls:// with --tls-ca, --tls-cert and --tls-key.",
        )
    _check_files(*(getattr(cluster, name) for name in _CLUSTER_FILES))


def _check_files(*paths: Path | None) -> None:
    for path in paths:
        if path is not None and not path.is_file():
            raise SettingError(f"There is no file {path}.", "Correct the name of the file.")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
