"""`dip tokens`, `dip connect`, `dip disconnect`: a service that others use, from both sides."""

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

# --- Where the service is ------------------------------------------------------------------------


def add_tokens_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    for action, says in (
        ("add", "give a user a token; it is shown once, and only its hash is kept"),
        ("list", "list the users"),
        ("remove", "take a user's token away; it stops working at once"),
    ):
        added = actions.add_parser(action, help=says, description=says)
        if action != "list":
            added.add_argument("name", help="small letters, digits, - and _")
        add_data_dir_argument(added)


def run_tokens(args: argparse.Namespace) -> int:
    users = Users(_folder_of(args).users_file)
    if args.action == "add":
        print(users.add(args.name))
        say(f"Give this to {args.name}: it is shown only now. It works at once.")
    elif args.action == "remove":
        users.remove(args.name)
    else:
        for name, added in users.listed().items():
            print(f"{name:<32}  {datetime.fromtimestamp(added):%Y-%m-%d %H:%M}")
    return 0


# --- Elsewhere -----------------------------------------------------------------------------------


def add_connect_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="such as https://gpu.lan:8777")
    parser.add_argument(
        "--certificate",
        type=Path,
        metavar="FILE",
        help="its certificate, PEM, where no authority vouches for it",
    )
    add_data_dir_argument(parser)


def run_connect(args: argparse.Namespace) -> int:
    """Use a service elsewhere from now on: on the command line, and in GIMP."""
    from server.client import Client, ClientError, connection_file, fingerprint_of

    if not args.url.startswith("https://"):
        raise ServiceFailure(f"{args.url} is not encrypted.", "It is like https://gpu.lan:8777.")
    try:
        fingerprint = args.certificate and fingerprint_of(args.certificate)
    except (OSError, ValueError) as error:
        raise ServiceFailure(
            f"{args.certificate} cannot be read: {error}", "Check the name."
        ) from error
    token = _ask_for_token()
    try:
        with Client(args.url, token, retry_timeout_s=5, fingerprint=fingerprint) as client:
            client.capabilities()
    except ClientError as error:
        raise ServiceFailure(error.message, error.hint) from error
    known = {"url": args.url, "token": token, "fingerprint": fingerprint}
    write_private(connection_file(_folder_of(args).data_dir), json.dumps(known))
    say(f"Jobs go to {args.url} from now on; `dip disconnect` undoes it.")
    return 0


def run_disconnect(args: argparse.Namespace) -> int:
    """Use the service of this machine again."""
    from server.client import connection_file

    connection_file(settings_from(args).data_dir).unlink(missing_ok=True)
    return 0


def _ask_for_token() -> str:
    """Not an option: other users of a machine see those."""
    if sys.stdin.isatty():
        return getpass.getpass("Token: ").strip()
    return sys.stdin.readline().strip()


def _folder_of(args: argparse.Namespace) -> ServerSettings:
    """The settings, with their folder made and checked."""
    settings = settings_from(args)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_folder(settings.data_dir)
    return settings
