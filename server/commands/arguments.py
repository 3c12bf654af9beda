"""The options of `dip serve`, and what other commands share with it."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path
from typing import Any

from dip.cluster.options import add_cluster_arguments, cluster_from
from server.settings import DEFAULT_PORT, GIB, ServerSettings

_ONCE = ("open", "install_service", "uninstall_service")
"""What `dip serve` is told to do once; it is no property of the service."""


def add_serve_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_dir_argument(parser)
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="0 takes a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--expose",
        action="store_true",
        help="yes, other machines may reach --host, and nothing is encrypted",
    )
    for name, what in (("certificate", "speak TLS with this, PEM"), ("key", "the key of that")):
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=what)
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name besides localhost under which clients may ask; may be repeated",
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    keeping = parser.add_argument_group("what is kept")
    keeping.add_argument(
        "--keep-days", type=_number, default=7, metavar="N", help="default: %(default)s"
    )
    keeping.add_argument(
        "--keep-gb", type=_number, default=10, metavar="N", help="default: %(default)s"
    )
    parser.add_argument(
        "--idle-minutes",
        type=_number,
        default=5,
        metavar="N",
        help="the worker gives its memory back after this long (default: %(default)s)",
    )
    add_cluster_arguments(parser, "jobs")
    unit = parser.add_mutually_exclusive_group()
    unit.add_argument(
        "--install-service",
        action="store_true",
        help="start the service, with the options given here, whenever you log in (systemd user "
        "unit, launchd agent)",
    )
    unit.add_argument("--uninstall-service", action="store_true", help="undo --install-service")


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no number from 0 upwards")
    return number


def add_data_dir_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="FOLDER",
        help="jobs, token and logs (default: $DIP_DATA_DIR, else a folder in your home)",
    )


def settings_from(args: argparse.Namespace, **more: Any) -> ServerSettings:
    """Settings for the data folder that was named, or the usual one."""
    if args.data_dir is None:
        return ServerSettings(**more)
    return ServerSettings(data_dir=args.data_dir.expanduser().absolute(), **more)


def serve_settings_from(args: argparse.Namespace) -> ServerSettings:
    """Settings as the options of `dip serve` say."""
    return settings_from(
        args,
        host=args.host,
        port=args.port,
        expose=args.expose,
        allowed_hosts=tuple(args.allowed_host),
        certificate=_absolute(args.certificate),
        key=_absolute(args.key),
        cluster=cluster_from(args),
        keep_days=args.keep_days,
        keep_bytes=round(args.keep_gb * GIB),
        idle_exit_s=60 * args.idle_minutes,
    )


def words_from(args: argparse.Namespace) -> list[str]:
    """The words after `dip serve` that ask for the same service again, from any folder.

    Every option that differs from its default; not those that say what to do once, now.

    Parameters
    ----------
    args : argparse.Namespace
        As `add_serve_arguments` had them read.
    """
    parser = argparse.ArgumentParser(add_help=False)
    add_serve_arguments(parser)
    given = dict(vars(args))
    if "DIP_DATA_DIR" in os.environ:  # it may not be there the next time
        given["data_dir"] = settings_from(args).data_dir
    words: list[str] = []
    for action in parser._actions:
        value = given[action.dest]
        if action.dest in _ONCE or value == action.default:
            continue
        option = action.option_strings[-1]
        if value is True:
            words.append(option)
            continue
        # One word each, with =: a value may begin with a dash.
        each = value if isinstance(value, list) else [value]
        words += [f"{option}={_as_typed(one)}" for one in each]
    return words


def _as_typed(value: Any) -> str:
    if isinstance(value, Path):
        return str(_absolute(value))
    if isinstance(value, tuple):  # one of --resources
        name, amount = value
        return f"{name}={amount!r}"
    return str(value)


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.expanduser().absolute()
