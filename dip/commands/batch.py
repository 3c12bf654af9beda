"""`dip batch`: every photo of a folder, on this machine or over a cluster.

What happens, top to bottom: list and pair, look at the files, leave out what is done already,
restore, report. Whatever is interrupted goes on where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
import signal
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dip.batch.pairing import (
    FORMAT_SUFFIXES,
    MANIFEST,
    LeftOut,
    Listing,
    list_photos,
    shown,
)
from dip.cluster.options import ClusterSettings, add_cluster_arguments, cluster_from
from dip.commands.arguments import (
    add_fit_arguments,
    add_network_argument,
    add_preset_arguments,
    settings_from,
)
from dip.commands.signals import interrupt_on_signals
from dip.console import format_duration, say
from dip.errors import SettingError

if TYPE_CHECKING:
    from dip.batch.manifest import Manifest
    from dip.batch.plan import Plan
    from dip.batch.worker_pool import WorkerPool
    from dip.cluster.scheduler import Cluster

EXIT_INCOMPLETE = 11
PART = "[0-9a-f]" * 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `dip batch`."""
    parser.add_argument("folder", type=Path, help="the photos; sub-folders are kept")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="where the results go"
    )
    parser.add_argument(
        "--masks",
        type=Path,
        metavar="DIR",
        help="folder with the masks, called as their photos are (photo.png or photo_mask.png for "
        "photo.jpg), or one mask for all. Without it: photo_mask.png beside photo.jpg, or else "
        "what is transparent",
    )
    parser.add_argument(
        "--mask-pattern",
        action="append",
        default=[],
        metavar="NAME",
        help="how masks are called instead, such as '{name}-damage.*'; may be repeated",
    )
    parser.add_argument(
        "--format", choices=FORMAT_SUFFIXES, help="of the results (default: PNG; TIFF stays TIFF)"
    )
    parser.add_argument(
        "--retry-failed", action="store_true", help="try again what failed in an earlier run"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="list what would be done and say how long it would take; write nothing",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="photos at a time on this machine (default: one for each GPU, or for each core)",
    )
    parser.add_argument("--quiet", action="store_true", help="say failures only")
    add_network_argument(parser)
    add_preset_arguments(parser)
    add_fit_arguments(parser)
    add_cluster_arguments(parser, "photos")


def run(args: argparse.Namespace) -> int:
    """Restore every photo of a folder, and say what became of them."""
    # One thread, not all cores: photos beside each other gain more, and give the same result
    # however many there are.
    settings = asdict(settings_from(args, threads=args.threads or 1))
    if args.workers is not None and not 1 <= args.workers <= 1024:
        raise SettingError(f"workers is {args.workers}.", "It must be from 1 to 1024.")
    listing = list_photos(
        args.folder,
        args.output,
        masks=args.masks,
        patterns=args.mask_pattern,
        file_format=args.format,
    )
    if args.dry_run:
        return _run(args, settings, listing)

    from dip.batch.files import make_folder
    from dip.batch.lock import FolderLock

    make_folder(args.output)
    lock = FolderLock(args.output)
    lock.acquire()
    try:
        if lock.stale:
            say(f"dip: {lock.stale}; what it finished stays done")
            sweep(args.output)
        return _run(args, settings, listing)
    finally:
        lock.release()


def _run(args: argparse.Namespace, settings: dict[str, Any], listing: Listing) -> int:
    from dip.batch.manifest import Manifest
    from dip.batch.plan import make_plan
    from dip.batch.worker_pool import WorkerPool

    manifest = Manifest(args.output / MANIFEST)
    pool = WorkerPool(args.workers, settings)
    try:
        with interrupt_on_signals() as received:
            try:
                plan = make_plan(
                    listing,
                    manifest,
                    folder=args.folder,
                    output=args.output,
                    settings=pool.settings,
                    look=pool.look,
                    retry_failed=args.retry_failed,
                )
                plan.announce()
                if args.dry_run:
                    return say_estimate(args, pool, plan, manifest)
                return work(args, pool, plan, manifest)
            except KeyboardInterrupt:
                say("dip: stopped; the same command goes on from here")
                if not args.dry_run:
                    finish(args.output, manifest, listing.left_out)
                return 128 + (received[0] if received else signal.SIGINT)
    finally:
        pool.stop()
        pool.close()
        manifest.close()


def sweep(output: Path) -> None:
    """Take away what a killed batch was in the middle of writing."""
    for pattern in (f".{PART}.part", f".{MANIFEST}.*.part"):
        for left in output.rglob(pattern):
            left.unlink(missing_ok=True)


# --- The work -----------------------------------------------------------------------------------


def work(args: argparse.Namespace, pool: WorkerPool, plan: Plan, manifest: Manifest) -> int:
    """Restore, report, and return the exit status."""
    from dip.batch.files import ResultWriter
    from dip.batch.progress import BatchProgress
    from dip.batch.report import write_left_out

    write_left_out(args.output, plan.left_out)
    named = cluster_from(args)
    cluster = connect(named) if named is not None and plan.items else None
    settings = pool.settings
    if cluster is not None:
        # The memory is that of the workers, and each of them knows its own.
        settings = {**settings, "max_memory_mb": args.max_memory_mb}
    progress = BatchProgress(len(plan.items), quiet=args.quiet)
    writer = ResultWriter(
        folder=args.folder,
        output=args.output,
        settings=settings,
        manifest=manifest,
        progress=progress,
    )
    try:
        with progress:
            if cluster is None:
                pool.run(plan.items, writer)
            else:
                pool.stop()
                if cluster.check_disk(args.folder / plan.items[0].photo):
                    progress.note("the workers read the photos themselves, from a shared disk")
                cluster.run(plan.items, writer)
    finally:
        if cluster is not None:
            cluster.close()
    finish(args.output, manifest, plan.left_out)
    restored = progress.done - progress.failed
    say(
        f"dip: {restored} restored, {progress.failed} failed, {len(plan.left_out)} left out, "
        f"in {format_duration(progress.elapsed_s)}"
    )
    return EXIT_INCOMPLETE if progress.failed or plan.failed or plan.lacks_something else 0


def finish(output: Path, manifest: Manifest, left_out: Sequence[LeftOut]) -> None:
    """Tidy the manifest, write the report, and print where it is."""
    from dip.batch.report import write_report

    manifest.close()
    print(write_report(output, manifest, left_out))


def connect(settings: ClusterSettings) -> Cluster:
    """Reach the cluster that the options name."""
    from dip.cluster.scheduler import Cluster

    cluster = Cluster(settings)
    say(f"dip: {cluster.slots} photos at a time on the cluster at {settings.address}")
    return cluster


def say_estimate(args: argparse.Namespace, pool: WorkerPool, plan: Plan, manifest: Manifest) -> int:
    """Print every photo that would be restored, and say how long that would take."""
    from dip.batch.estimate import estimate
    from dip.batch.files import ResultWriter
    from dip.batch.progress import BatchProgress

    for item in plan.items:
        mask = "what is transparent" if item.mask is None else item.mask
        print(f"{shown(item.photo)}\t{shown(mask)}\t{shown(item.output)}")
    workers = pool.size
    named = cluster_from(args)
    if named is not None:
        cluster = connect(named)
        workers = cluster.slots
        cluster.close()
    writer = ResultWriter(
        folder=args.folder,
        output=args.output,
        settings=pool.settings,
        manifest=manifest,
        progress=BatchProgress(len(plan.items), quiet=True),
    )
    found = estimate(plan.items, writer, manifest, pool, workers) if plan.items else None
    if found is not None:
        say(f"dip: {found.describe()}")
    elif plan.items:
        say("dip: no estimate: none of the photos that were tried could be restored")
    return EXIT_INCOMPLETE if plan.lacks_something else 0
