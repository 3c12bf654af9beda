"""The commands of the service: `dip serve`, `stop`, `submit`, `jobs`, `watch`, `fetch` ...

`dip` adds `COMMANDS` and `CHECKS` where this package is installed. `dip --help` loads this module,
so it imports nothing heavy.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from server.commands.accounts import (
    add_connect_arguments,
    add_tokens_arguments,
    run_connect,
    run_disconnect,
    run_tokens,
)
from server.commands.arguments import add_data_dir_argument, add_serve_arguments
from server.commands.doctor import check_service
from server.commands.jobs import (
    add_fetch_arguments,
    add_job_arguments,
    add_jobs_arguments,
    add_submit_arguments,
    run_cancel,
    run_fetch,
    run_jobs,
    run_submit,
    run_watch,
)
from server.commands.serve import run_serve, run_stop


@dataclass(frozen=True)
class Command:
    """One command of `dip`."""

    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


COMMANDS = {
    "serve": Command("start the restoration service", add_serve_arguments, run_serve),
    "stop": Command("stop the restoration service", add_data_dir_argument, run_stop),
    "submit": Command("submit a photo to the service", add_submit_arguments, run_submit),
    "jobs": Command("list the jobs of the service", add_jobs_arguments, run_jobs),
    "watch": Command("follow a job of the service", add_job_arguments, run_watch),
    "fetch": Command("fetch the result of a job", add_fetch_arguments, run_fetch),
    "cancel": Command("cancel a job of the service", add_job_arguments, run_cancel),
    "tokens": Command("manage the users of the service", add_tokens_arguments, run_tokens),
    "connect": Command("use a service on another machine", add_connect_arguments, run_connect),
    "disconnect": Command(
        "use this machine's service again", add_data_dir_argument, run_disconnect
    ),
}

CHECKS = {"service": check_service}
"""Checks of the service for `dip doctor`."""
