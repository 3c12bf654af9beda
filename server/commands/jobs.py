"""Jobs on the command line: `dip submit`, `jobs`, `watch`, `fetch`, `cancel`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dip.commands.arguments import DEFAULTS, add_fit_arguments, add_preset_arguments
from dip.commands.progress import Progress
from dip.config import NETWORKS
from dip.console import say
from dip.errors import DipError, InputError, OutputError
from server.commands.arguments import add_data_dir_argument
from server.errors import ServiceFailure
from server.jobs.parameters import BOTH, FORMATS, PARTS

if TYPE_CHECKING:
    from dip.restore import Step
    from server.client import Client, ClientError

_SUFFIXES = {"image/png": ".png", "image/tiff": ".tif", "image/jpeg": ".jpg", "image/webp": ".webp"}


# --- Arguments ----------------------------------------------------------------------------------


def add_submit_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photo", type=Path, help="PNG, JPEG, TIFF or WebP file")
    parser.add_argument(
        "--mask", type=Path, metavar="FILE", help="white = restore this; else transparent pixels"
    )
    parser.add_argument(
        "--network",
        choices=[*NETWORKS, BOTH],
        default=DEFAULTS.network,
        help="both: one after the other, to compare (default: %(default)s)",
    )
    add_preset_arguments(parser)
    add_fit_arguments(parser)
    parser.add_argument("--result", choices=PARTS, default="image", help="default: %(default)s")
    parser.add_argument(
        "--format",
        choices=[form for form in FORMATS if form != "raw"],
        default="auto",
        help="default: that of the photo, PNG for a JPEG",
    )
    parser.add_argument("--watch", action="store_true", help="show how it goes, until its end")
    add_data_dir_argument(parser)


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", help="its id, or the first digits of it")
    add_data_dir_argument(parser)


def add_fetch_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser)
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="replaced if it exists (default: JOB.png)"
    )
    parser.add_argument("--network", choices=NETWORKS, help="where both were asked for")


def add_jobs_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="those that have ended, too")
    add_data_dir_argument(parser)


# --- Commands -----------------------------------------------------------------------------------


def run_submit(args: argparse.Namespace) -> int:
    for path in filter(None, (args.photo, args.mask)):
        if not path.is_file():
            raise InputError(f"There is no file {path}.", "Check the name.")
    with _service(args) as client:
        job = client.submit(
            args.photo,
            args.mask,
            network=args.network,
            preset=args.preset,
            seed=args.seed,
            iterations=args.iterations,
            texture=args.texture,
            device=args.device,
            threads=args.threads,
            max_memory_mb=args.max_memory_mb,
            result=args.result,
            format=args.format,
        )
        if "texture" not in job["parameters"]:
            say("this service is older: it knows no --texture, and goes on without")
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
        say("no jobs" if args.all else "no jobs are waiting or running; --all lists the others too")
    return 0


def run_watch(args: argparse.Namespace) -> int:
    with _service(args) as client:
        return _watch(client, _full_id(client, args.job))


def run_fetch(args: argparse.Namespace) -> int:
    with _service(args) as client:
        job_id = _full_id(client, args.job)
        picture = client.result(job_id, args.network)
    suffix = _SUFFIXES.get(picture.media_type, ".bin")
    output = args.output or Path(f"{job_id[:8]}_{picture.about['network']}{suffix}")
    try:
        picture.save(output)
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {error.strerror}.", "Use -o.") from error
    print(output)
    return 0


def run_cancel(args: argparse.Namespace) -> int:
    with _service(args) as client:
        job_id = _full_id(client, args.job)
        if client.job(job_id)["state"] in ("queued", "running"):
            client.delete(job_id)
        else:
            say("it has ended already")
    return 0


# --- Inside -------------------------------------------------------------------------------------


@contextmanager
def _service(args: argparse.Namespace) -> Iterator[Client]:
    """The running service; what it refuses stops the command, with the engine's exit status."""
    from server.client import Client, ClientError  # here: `dip --help` need not import requests

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
    progress, shown = Progress(), None
    for event in client.events(job_id):
        data = event.data
        if event.kind != "progress":
            continue
        if "iteration" not in data:
            progress.note("waiting for its turn")
            continue
        if shown not in (None, (data["network"], data["attempt"])):
            progress.close()
            progress = Progress()  # another fit: another pace
        shown = data["network"], data["attempt"]
        progress.show(cast("Step", _Step(**{name: data[name] for name in _STEP})))
    progress.close()
    job = client.wait(job_id)
    for result in job["results"]:
        say(f"{result['network']}: {result['iterations']} iterations in {result['seconds']:.1f} s")
    return 0


@dataclass(frozen=True)
class _Step:
    """A step as the service tells of it; what `Progress` shows."""

    iteration: int
    iterations: int
    region: int
    regions: int
    loss: float | None
    validation_psnr_db: float | None
    note: str | None


_STEP = tuple(field.name for field in fields(_Step))


def _line(job: dict[str, Any]) -> str:
    parameters, progress = job["parameters"], job["progress"] or {}
    how_far = f"{100 * progress['fraction']:.0f} %" if progress.get("fraction") else ""
    what = f"{parameters['network']} {parameters['preset']}"
    then = datetime.fromisoformat(job["created"].replace("Z", "+00:00")).astimezone()
    columns = [job["id"], f"{then:%Y-%m-%d %H:%M:%S}", f"{job['state']:<9}", f"{what:<16}"]
    if job.get("user"):  # services of before know none
        columns.append(job["user"])
    columns.append(job["error"]["message"] if job["error"] else how_far)
    return "  ".join(columns).rstrip()
