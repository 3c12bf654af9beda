"""Jobs on the command line: `dip submit`, `jobs`, `watch`, `fetch`, `cancel`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dip.commands.arguments import (
    DEFAULTS,
    add_fit_arguments,
    add_mask_confirmation,
    add_page_argument,
    add_preset_arguments,
)
from dip.commands.progress import Progress
from dip.commands.restore import refuse_existing
from dip.config import NETWORKS
from dip.console import say
from dip.errors import DipError, InputError, OutputError
from dip.step import Step
from server.commands.arguments import add_data_dir_argument
from server.errors import ServiceFailure
from server.jobs.parameters import BOTH, FORMATS, PARTS

if TYPE_CHECKING:
    from server.client import Client, ClientError
    from server.client.messages import Picture

_SUFFIXES = {"image/png": ".png", "image/tiff": ".tif", "image/jpeg": ".jpg", "image/webp": ".webp"}


# --- Arguments ----------------------------------------------------------------------------------


def add_submit_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "photo", type=Path, help="PNG, JPEG, TIFF or WebP file; JPEG 2000, HEIC, AVIF"
    )
    parser.add_argument(
        "--mask",
        type=Path,
        metavar="FILE",
        help="white = restore this (default: restore transparent pixels)",
    )
    parser.add_argument(
        "--network",
        choices=[*NETWORKS, BOTH],
        default=DEFAULTS.network,
        help="both: fit both, one after the other (default: %(default)s)",
    )
    add_page_argument(parser)
    add_mask_confirmation(parser)
    add_preset_arguments(parser)
    add_fit_arguments(parser)
    parser.add_argument("--result", choices=PARTS, default="image", help="default: %(default)s")
    parser.add_argument(
        "--format",
        choices=[form for form in FORMATS if form != "raw"],
        default="auto",
        help="default: the photo's, and PNG for a JPEG",
    )
    parser.add_argument("--watch", action="store_true", help="show the progress until the job ends")
    add_data_dir_argument(parser)


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", help="the job's id, or its first digits")
    add_data_dir_argument(parser)


def add_fetch_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="replaced if it exists (default: NAME_restored.png in this folder, never replaced)",
    )
    parser.add_argument("--network", choices=NETWORKS, help="of a job with --network both")


def add_jobs_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="also list jobs that have ended")
    add_data_dir_argument(parser)


# --- Commands -----------------------------------------------------------------------------------


def run_submit(args: argparse.Namespace) -> int:
    for path in filter(None, (args.photo, args.mask)):
        if not os.path.isfile(path):  # unlike Path's, false for a name that is too long
            raise InputError(f"There is no file {path}.", "Check the name.")
    with _service(args) as client:
        job = client.submit(
            args.photo,
            args.mask,
            mask_confirmed=args.yes or None,
            page=args.page,
            network=args.network,
            preset=args.preset,
            seed=args.seed,
            iterations=args.iterations,
            texture=args.texture,
            grow=args.grow,
            time_s=args.time_s,
            device=args.device,
            threads=args.threads,
            max_memory_mb=args.max_memory_mb,
            result=args.result,
            format=args.format,
        )
        print(job["id"], flush=True)
        return _watch(client, job["id"]) if args.watch else 0


def run_jobs(args: argparse.Namespace) -> int:
    with _service(args) as client:
        listed = client.jobs(limit=1000)
    if not args.all:
        listed = [job for job in listed if job["state"] in ("queued", "running")]
    for job in reversed(listed):
        print(_line(job))
    if not listed:
        say("no jobs" if args.all else "no jobs are waiting or running; --all lists ended jobs too")
    return 0


def run_watch(args: argparse.Namespace) -> int:
    with _service(args) as client:
        return _watch(client, _full_id(client, args.job))


def run_fetch(args: argparse.Namespace) -> int:
    with _service(args) as client:
        job_id = _full_id(client, args.job)
        job = client.job(job_id)
        picture = client.result(job_id, args.network)
    output = args.output or _output_for(job, picture)
    try:
        picture.save(output)
    except OSError as error:
        raise OutputError(
            f"{output} cannot be written: {error.strerror}.", "Choose another file with -o."
        ) from error
    print(output)
    return 0


def run_cancel(args: argparse.Namespace) -> int:
    with _service(args) as client:
        job_id = _full_id(client, args.job)
        if client.job(job_id)["state"] in ("queued", "running"):
            client.delete(job_id)
        else:
            say("the job has already ended")
    return 0


# --- Inside -------------------------------------------------------------------------------------


@contextmanager
def _service(args: argparse.Namespace) -> Iterator[Client]:
    """The running service; its errors stop the command, with the exit status of `dip`."""
    from server.client import Client, ClientError  # not at the top: `dip --help` needs no requests

    folder = args.data_dir and args.data_dir.expanduser().absolute()
    try:
        with Client.find(folder, retry_timeout_s=5) as client:
            yield client
    except ClientError as error:
        raise _failure(error) from error


def _failure(error: ClientError) -> DipError:
    failure = ServiceFailure(error.message, error.hint)
    failure.code = error.code
    for kind in _all_kinds(DipError):
        if kind.code == error.code:
            failure.exit_status = kind.exit_status
    return failure


def _all_kinds(root: type[DipError]) -> Iterator[type[DipError]]:
    for kind in root.__subclasses__():
        yield kind
        yield from _all_kinds(kind)


def _full_id(client: Client, start: str) -> str:
    found = [job["id"] for job in client.jobs(limit=1000) if job["id"].startswith(start)]
    if len(found) == 1:
        return str(found[0])
    seen = "No job begins" if not found else f"{len(found)} jobs begin"
    raise ServiceFailure(f"{seen} with {start}.", "`dip jobs --all` lists them.")


def _watch(client: Client, job_id: str) -> int:
    progress, fit, said = Progress(), None, set()
    for event in client.events(job_id):
        data = event.data
        if event.kind != "progress":
            continue
        said.add(data.get("note"))
        if "iteration" not in data:
            progress.note("the job is waiting in the queue")
            continue
        if fit not in (None, (data["network"], data["attempt"])):
            progress.close()
            progress = Progress()  # the next fit has its own rate
        fit = data["network"], data["attempt"]
        # Events of an older service lack the newer fields.
        known = {each.name: data[each.name] for each in fields(Step) if each.name in data}
        progress.show(Step(**{"fraction": data["iteration"] / max(1, data["iterations"]), **known}))
    progress.close()
    job = client.wait(job_id)
    for result in job["results"]:
        say(f"{result['network']}: {result['iterations']} iterations in {result['seconds']:.1f} s")
    for note in job.get("notes", []):  # an older service has none
        if note not in said:
            say(f"dip: {note}")
    return 0


def _output_for(job: dict[str, Any], picture: Picture) -> Path:
    """A name after the photo, in this folder; OutputError if there is such a file already."""
    stem = Path(job["photo"]).stem.lstrip(".") or job["id"][:8]
    network = f"_{picture.about['network']}" if len(job["results"]) > 1 else ""
    suffix = _SUFFIXES.get(picture.media_type, ".bin")
    output = Path(f"{stem}_restored{network}{suffix}")
    refuse_existing(output)
    return output


def _line(job: dict[str, Any]) -> str:
    parameters, progress = job["parameters"], job["progress"] or {}
    fraction = f"{100 * progress['fraction']:.0f} %" if progress.get("fraction") else ""
    settings = f"{parameters['network']} {parameters['preset']}"
    created = datetime.fromisoformat(job["created"].replace("Z", "+00:00")).astimezone()
    columns = [job["id"], f"{created:%Y-%m-%d %H:%M:%S}", f"{job['state']:<9}", f"{settings:<16}"]
    if job["user"]:
        columns.append(job["user"])
    columns.append(job["error"]["message"] if job["error"] else fraction)
    if job["photo"]:
        columns.insert(1, job["photo"])
    return "  ".join(columns).rstrip()
