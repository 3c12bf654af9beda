"""`dip batch`: every photo of a folder, on this machine or over a cluster.

The steps: pair photos and masks, leave out the photos done before, read the headers of the rest,
restore, report. The same command, given again, continues an interrupted batch.
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
    add_mask_confirmation,
    add_network_argument,
    add_page_argument,
    add_preset_arguments,
    settings_from,
)
from dip.commands.detection_options import add_detection_arguments, check_detection_arguments
from dip.commands.signals import interrupt_on_signals
from dip.config import ALL_PAGES
from dip.console import format_duration, say
from dip.errors import SettingError

if TYPE_CHECKING:
    from dip.batch.manifest import Manifest
    from dip.batch.plan import Plan
    from dip.batch.worker_pool import WorkerPool
    from dip.cluster.batch import Cluster

EXIT_INCOMPLETE = 11
RANDOM_PART = "[0-9a-f]" * 12  # of the name of a temporary file; see dip.image_io.replacing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `dip batch`."""
    parser.add_argument("folder", type=Path, help="folder of the photos, with its sub-folders")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the results"
    )
    parser.add_argument(
        "--masks",
        type=Path,
        metavar="DIR",
        help="folder of the masks, named after the photos (photo.png or photo_mask.png for "
        "photo.jpg), or one mask for all photos. Default: photo_mask.png beside photo.jpg, or "
        "else the transparent pixels",
    )
    parser.add_argument(
        "--detect",
        action="store_true",
        help="find the damage of photos that have neither a mask beside them nor transparency; "
        "the masks are kept beside the results, photo_mask.png, and used again by the next run",
    )
    parser.add_argument(
        "--mask-pattern",
        action="append",
        default=[],
        metavar="NAME",
        help="other names of masks, such as '{name}-damage.*'; may be repeated",
    )
    parser.add_argument(
        "--format",
        choices=FORMAT_SUFFIXES,
        help="format of the results (default: PNG; TIFF stays TIFF)",
    )
    add_page_argument(parser)
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="restore photos again that failed in an earlier run",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="list the photos to restore and estimate the duration; write nothing",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="photos restored at the same time on this machine (default: one for each GPU, or "
        "for each core)",
    )
    parser.add_argument("--quiet", action="store_true", help="show failures only")
    add_mask_confirmation(parser)
    add_detection_arguments(
        parser.add_argument_group("the search for damage, with --detect"), infrared=False
    )
    add_network_argument(parser)
    add_preset_arguments(parser)
    add_fit_arguments(parser)
    add_cluster_arguments(parser, "photos")


def run(args: argparse.Namespace) -> int:
    """Restore every photo of a folder, print the path of the report, return the exit status."""
    # One thread for each fit: several photos in parallel use the cores better, and the results
    # do not depend on the number of cores.
    settings = asdict(settings_from(args, threads=args.threads or 1))
    if args.workers is not None and not 1 <= args.workers <= 1024:
        raise SettingError(f"workers is {args.workers}.", "It must be from 1 to 1024.")
    if args.detect:
        check_detection_arguments(args)
        for option in ("masks", "dry_run"):
            if getattr(args, option):
                raise SettingError(
                    f"--detect and --{option.replace('_', '-')} exclude each other.",
                    "Leave out one of them.",
                )
        if args.page == ALL_PAGES:
            raise SettingError(
                "--detect searches one page of each photo.",
                f"Name it, or find the masks first: dip detect --page {ALL_PAGES}.",
            )
    listing = list_photos(
        args.folder,
        args.output,
        masks=args.masks,
        patterns=args.mask_pattern,
        file_format=args.format,
        page=args.page,
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
            say(f"dip: {lock.stale}; its finished photos are kept")
            remove_temporary_files(args.output)
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
                if args.detect:
                    detect_damage(listing, args)
                plan = make_plan(
                    listing,
                    manifest,
                    folder=args.folder,
                    output=args.output,
                    settings=pool.settings,
                    read_headers=pool.read_headers,
                    retry_failed=args.retry_failed,
                    masks_confirmed=args.yes,
                )
                plan.announce()
                if args.dry_run:
                    return show_estimate(args, pool, plan, manifest)
                return restore_all(args, pool, plan, manifest)
            except KeyboardInterrupt:
                say("dip: stopped; give the same command again to continue")
                if not args.dry_run:
                    report(args.output, manifest, listing.left_out)
                return 128 + (received[0] if received else signal.SIGINT)
    finally:
        pool.stop()
        pool.close()
        manifest.close()


def detect_damage(listing: Listing, args: argparse.Namespace) -> None:
    """Give a mask to the photos of a listing that have none; leave out those that get none."""
    from dip.batch.find_masks import find_masks

    options = ["--seed", str(args.seed), "--sensitivity", str(args.sensitivity)]
    options += ["--kinds", args.kinds, "--most-coverage", str(args.most_coverage)]
    if args.largest is not None:
        options += ["--largest", str(args.largest)]
    find_masks(listing, args.folder, args.output, options, args.page, quiet=args.quiet)


def remove_temporary_files(output: Path) -> None:
    """Remove the incomplete files that a killed batch left behind."""
    for pattern in (f".{RANDOM_PART}.part", f".{MANIFEST}.*.part"):
        for path in output.rglob(pattern):
            path.unlink(missing_ok=True)


def restore_all(args: argparse.Namespace, pool: WorkerPool, plan: Plan, manifest: Manifest) -> int:
    """Restore the photos of the plan, report, and return the exit status."""
    from dip.batch.files import ResultWriter
    from dip.batch.progress import BatchProgress
    from dip.batch.report import write_left_out

    write_left_out(args.output, plan.left_out)
    cluster_settings = cluster_from(args)
    cluster = None
    if cluster_settings is not None and plan.items:
        cluster = connect(cluster_settings)
    settings = pool.settings
    if cluster is not None:
        # Each worker of the cluster has its own memory, and sets its own limit.
        settings = {**settings, "max_memory_mb": args.max_memory_mb}
    progress = BatchProgress(len(plan.items), quiet=args.quiet)
    writer = ResultWriter(
        folder=args.folder,
        output=args.output,
        settings=settings,
        manifest=manifest,
        progress=progress,
        masks_confirmed=args.yes,
    )
    try:
        with progress:
            if cluster is None:
                pool.run(plan.items, writer)
            else:
                pool.stop()
                if cluster.check_disk(args.folder / plan.items[0].photo):
                    progress.note("the workers read the photos from a shared disk")
                cluster.run(plan.items, writer)
    finally:
        if cluster is not None:
            cluster.close()
    report(args.output, manifest, plan.left_out)
    restored = progress.done - progress.failed
    say(
        f"dip: {restored} restored, {progress.failed} failed, {len(plan.left_out)} left out, "
        f"in {format_duration(progress.elapsed_s)}"
    )
    return EXIT_INCOMPLETE if progress.failed or plan.failed or plan.leaves_out_pictures else 0


def report(output: Path, manifest: Manifest, left_out: Sequence[LeftOut]) -> None:
    """Close the manifest, write the report, and print its path."""
    from dip.batch.report import write_report

    manifest.close()
    print(write_report(output, manifest, left_out))


def connect(settings: ClusterSettings) -> Cluster:
    """Connect to the cluster that the options name."""
    from dip.cluster.batch import Cluster

    cluster = Cluster(settings)
    say(f"dip: {cluster.slots} photos at a time on the cluster at {settings.address}")
    return cluster


def show_estimate(
    args: argparse.Namespace, pool: WorkerPool, plan: Plan, manifest: Manifest
) -> int:
    """Print every photo to restore, and estimate how long the batch takes."""
    from dip.batch.estimate import estimate

    for item in plan.items:
        mask = "transparent pixels" if item.mask is None else item.mask
        print(f"{shown(item.photo)}\t{shown(mask)}\t{shown(item.output)}")
    workers = pool.size
    cluster_settings = cluster_from(args)
    if cluster_settings is not None:
        cluster = connect(cluster_settings)
        workers = cluster.slots
        cluster.close()
    if plan.items:
        expected = estimate(plan.items, args.folder, manifest, pool, workers)
        if expected is None:
            say("dip: no estimate: none of the trial photos could be restored")
        else:
            say(f"dip: {expected.describe()}")
    return EXIT_INCOMPLETE if plan.leaves_out_pictures else 0
