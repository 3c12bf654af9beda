"""The options of `dip serve`, and those that it shares with other commands."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path
from typing import Any

from dip.cluster.options import add_cluster_arguments, cluster_from
from server.settings import DEFAULT_PORT, GIB, ServerSettings

_ONE_TIME_OPTIONS = ("open", "install_service", "uninstall_service")
"""Options of `dip serve` for one start only; an installed service does not repeat them."""


def add_serve_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_dir_argument(parser)
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="0: any free port (default: %(default)s)"
    )
    parser.add_argument(
        "--host", default=ServerSettings.host, help="address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--expose",
        action="store_true",
        help="allow a --host that other machines can reach, without encryption",
    )
    parser.add_argument(
        "--certificate", type=Path, metavar="FILE", help="encrypt with this certificate (PEM)"
    )
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="the private key of --certificate (PEM)"
    )
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="another host name that clients may use, besides localhost; may be repeated",
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    pruning = parser.add_argument_group("pruning of ended jobs")
    pruning.add_argument(
        "--keep-days",
        type=_number,
        default=ServerSettings.keep_days,
        metavar="N",
        help="delete jobs this many days after they ended (default: %(default)s)",
    )
    pruning.add_argument(
        "--keep-gb",
        type=_number,
        default=ServerSettings.keep_bytes // GIB,
        metavar="N",
        help="delete the oldest ended jobs above this total size (default: %(default)s)",
    )
    parser.add_argument(
        "--idle-minutes",
        type=_number,
        default=ServerSettings.idle_exit_s / 60,
        metavar="N",
        help="the worker exits and frees its memory after this time without a job "
        "(default: %(default)g)",
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
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return number


def add_data_dir_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="FOLDER",
        help="jobs, token and logs (default: $DIP_DATA_DIR, else a folder in your home)",
    )


def settings_from(args: argparse.Namespace, **more: Any) -> ServerSettings:
    """Settings for the data folder of --data-dir, or for the default one."""
    if args.data_dir is None:
        return ServerSettings(**more)
    return ServerSettings(data_dir=args.data_dir.expanduser().absolute(), **more)


def serve_settings_from(args: argparse.Namespace) -> ServerSettings:
    """Settings from the options of `dip serve`."""
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


def serve_options_from(args: argparse.Namespace) -> list[str]:
    """The options of `dip serve` that start the same service again, from any folder.

    Options with their default value are left out, and so are `--open` and the like.

    Parameters
    ----------
    args : argparse.Namespace
        Parsed options of `add_serve_arguments`.
    """
    parser = argparse.ArgumentParser(add_help=False)
    add_serve_arguments(parser)
    given = dict(vars(args))
    if "DIP_DATA_DIR" in os.environ:  # the next start may not have this variable
        given["data_dir"] = settings_from(args).data_dir
    words: list[str] = []
    for name, default in vars(parser.parse_args([])).items():
        value = given[name]
        if name in _ONE_TIME_OPTIONS or value == default:
            continue
        option = "--" + name.replace("_", "-")
        if value is True:
            words.append(option)
            continue
        # One word for option and value: a value may begin with a dash.
        values = value if isinstance(value, list) else [value]
        words += [f"{option}={_as_typed(each)}" for each in values]
    return words


def _as_typed(value: Any) -> str:
    if isinstance(value, Path):
        return str(_absolute(value))
    if isinstance(value, tuple):  # from --resources
        name, amount = value
        return f"{name}={amount!r}"
    return str(value)


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.expanduser().absolute()
