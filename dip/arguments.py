"""Options of the command line that several commands share."""

from __future__ import annotations

import argparse

from dip.config import DEVICES, Settings

DEFAULTS = Settings()


def add_fit_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare iterations, device, threads, memory; commands differ in network, preset and seed."""
    fit = parser.add_argument_group("the fit")
    fit.add_argument("--iterations", type=int, metavar="N", help="instead of the preset's number")
    fit.add_argument(
        "--device",
        choices=DEVICES,
        default=DEFAULTS.device,
        help="where to compute (default: %(default)s)",
    )
    fit.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all cores)")
    fit.add_argument(
        "--max-memory-mb",
        type=int,
        metavar="N",
        help="use at most this much (default: what is free)",
    )


def settings_from(args: argparse.Namespace, *, network: str, preset: str, seed: int) -> Settings:
    """Turn the options into checked settings."""
    return Settings(
        network=network,
        preset=preset,
        iterations=args.iterations,
        seed=seed,
        device=args.device,
        threads=args.threads,
        max_memory_mb=args.max_memory_mb,
    )
