"""The options for a cluster, shared by `dip batch` and `dip serve`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """How to reach a cluster.

    Parameters
    ----------
    address : str
        Such as 'tcp://host:8786' or 'tls://host:8786'.
    resources : mapping
        Resources of a worker that each photo takes, such as {'GPU': 1}.
    ca, certificate, key : Path, optional
        For TLS; by default, the files of Dask's own configuration.
    """

    address: str
    resources: Mapping[str, float] = field(default_factory=dict)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @property
    def wanted(self) -> str:
        """The resources as on the command line: 'GPU=1, memory=2'."""
        return ", ".join(f"{name}={amount:g}" for name, amount in self.resources.items())


def add_cluster_arguments(parser: argparse.ArgumentParser, photos: str) -> None:
    """Declare the options; `photos` names the tasks in the help, in the plural."""
    cluster = parser.add_argument_group("a cluster")
    cluster.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help=f"send the {photos} to this Dask scheduler: tcp://host:8786 or tls://host:8786",
    )
    cluster.add_argument(
        "--resources",
        type=resource,
        action="append",
        default=[],
        metavar="NAME=N",
        help=f"resources of a worker that each of the {photos} takes, such as GPU=1",
    )
    for name, file in (
        ("ca", "certificate authority"),
        ("cert", "own certificate"),
        ("key", "key of that"),
    ):
        cluster.add_argument(f"--tls-{name}", type=Path, metavar="FILE", help=f"TLS: {file}")


def resource(text: str) -> tuple[str, float]:
    """Read 'GPU=1'."""
    name, _, amount = text.partition("=")
    try:
        value = float(amount)
    except ValueError:
        value = 0.0
    if not name or not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not like GPU=1")
    return name, value


def cluster_from(args: argparse.Namespace) -> ClusterSettings | None:
    """The cluster that the options name, if they name one."""
    if not args.cluster:
        return None
    return ClusterSettings(
        address=args.cluster,
        resources=dict(args.resources),
        ca=args.tls_ca,
        certificate=args.tls_cert,
        key=args.tls_key,
    )
