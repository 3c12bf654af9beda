"""`dip tokens`: the users of this service. `dip connect`, `disconnect`: use another machine's."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from datetime import datetime
from pathlib import Path

from dip.console import say
from server.commands.arguments import add_data_dir_argument, settings_from
from server.errors import ServiceFailure
from server.http.users import Users
from server.private_files import check_folder, write_private
from server.settings import ServerSettings

# --- On the service's machine --------------------------------------------------------------------


def add_tokens_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    for action, description in (
        ("add", "create a token for a user; it is shown once, and only its hash is stored"),
        ("list", "list the users"),
        ("remove", "delete a user's token; it becomes invalid at once"),
    ):
        added = actions.add_parser(action, help=description, description=description)
        if action != "list":
            added.add_argument("name", help="lower-case letters, digits, - and _")
        add_data_dir_argument(added)


def run_tokens(args: argparse.Namespace) -> int:
    users = Users(_checked_settings(args).users_file)
    if args.action == "add":
        print(users.add(args.name))
        say(f"Give this token to {args.name}: it is shown only now, and valid at once.")
    elif args.action == "remove":
        users.remove(args.name)
    else:
        for name, added in users.listed().items():
            print(f"{name:<32}  {datetime.fromtimestamp(added):%Y-%m-%d %H:%M}")
    return 0


# --- On a client's machine -----------------------------------------------------------------------


def add_connect_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="for example https://gpu.lan:8777")
    parser.add_argument(
        "--certificate",
        type=Path,
        metavar="FILE",
        help="the service's certificate (PEM), unless a certificate authority signed it",
    )
    add_data_dir_argument(parser)


def run_connect(args: argparse.Namespace) -> int:
    """Use a service on another machine from now on: on the command line, and in GIMP."""
    from server.client import Client, ClientError, connection_file, fingerprint_of

    if not args.url.startswith("https://"):
        raise ServiceFailure(
            f"{args.url} is not encrypted.", "Give an address such as https://gpu.lan:8777."
        )
    try:
        fingerprint = args.certificate and fingerprint_of(args.certificate)
    except (OSError, ValueError) as error:
        raise ServiceFailure(
            f"{args.certificate} cannot be read: {error}", "Name a PEM file."
        ) from error
    token = _ask_for_token()
    try:
        with Client(args.url, token, retry_timeout_s=5, fingerprint=fingerprint) as client:
            client.capabilities()
    except ClientError as error:
        raise ServiceFailure(error.message, error.hint) from error
    known = {"url": args.url, "token": token, "fingerprint": fingerprint}
    write_private(connection_file(_checked_settings(args).data_dir), json.dumps(known))
    say(f"New jobs go to {args.url}; `dip disconnect` undoes this.")
    return 0


def run_disconnect(args: argparse.Namespace) -> int:
    """Use the service of this machine again from now on."""
    from server.client import connection_file

    connection_file(settings_from(args).data_dir).unlink(missing_ok=True)
    return 0


def _ask_for_token() -> str:
    """Read the token. It is no option: other users of the machine can see a command's options."""
    if sys.stdin.isatty():
        return getpass.getpass("Token: ").strip()
    return sys.stdin.readline().strip()


def _checked_settings(args: argparse.Namespace) -> ServerSettings:
    """The settings; their data folder is created and its permissions are checked."""
    settings = settings_from(args)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_folder(settings.data_dir)
    return settings
