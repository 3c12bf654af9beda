"""The command line of `dip bench`, and its report as data.

A case is an undamaged picture and a mask (`dip.bench.cases`). `dip.bench.measure` runs each method
on each case, `dip.bench.report` makes a table of the figures and a sheet of the pictures, and
`dip.bench.targets` holds the figures that must be reached.
"""

from __future__ import annotations

import argparse
import json
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dip.bench.cases import read_cases
from dip.bench.circumstances import machine, versions
from dip.bench.measure import measure
from dip.commands.arguments import add_fit_arguments, settings_from
from dip.commands.signals import interrupt_on_signals
from dip.config import NETWORKS, Settings
from dip.console import say
from dip.presets import PRESETS

if TYPE_CHECKING:
    from dip.bench.measure import Measured
    from dip.bench.visibility import Visibility

FORMAT = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `dip bench`."""
    parser.add_argument(
        "--cases", type=Path, required=True, metavar="DIR", help="folder with a cases.json"
    )
    parser.add_argument(
        "--case", nargs="+", metavar="NAME", help="only these cases (default: all of them)"
    )
    parser.add_argument(
        "--network", choices=(*NETWORKS, "both"), default="unet", help="default: %(default)s"
    )
    parser.add_argument(
        "--preset",
        nargs="+",
        choices=PRESETS,
        default=["balanced"],
        help="one or several (default: balanced)",
    )
    parser.add_argument(
        "--seed",
        nargs="+",
        type=int,
        default=[0],
        metavar="N",
        help="several: the table shows medians, and the spread of the hole PSNR (default: 0)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help="draw all results into this picture (.png)"
    )
    parser.add_argument(
        "--others",
        type=Path,
        metavar="DIR",
        help="results of other programs, to be measured too: DIR/CASE/NAME.png",
    )
    parser.add_argument(
        "--targets",
        type=Path,
        metavar="FILE",
        help="JSON list of targets to judge by, instead of the built-in ones",
    )
    add_fit_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, report after each case, and return 1 if a restoration failed."""
    networks = list(NETWORKS) if args.network == "both" else [args.network]
    runs = [
        settings_from(args, network=network, preset=preset, seed=seed)
        for network in networks
        for preset in dict.fromkeys(args.preset)
        for seed in dict.fromkeys(args.seed)
    ]
    cases = read_cases(args.cases, args.case)

    from dip.bench.report import draw_row, draw_sheet, judge, table
    from dip.bench.targets import TARGETS, read_targets
    from dip.bench.visibility import Visibility
    from dip.image_io import check_writable, write_pixels

    targets = TARGETS if args.targets is None else read_targets(args.targets)
    for output in (args.json, args.sheet):
        if output is not None:
            check_writable(output)

    report = begin_report(runs)
    visibility = Visibility()
    rows = []
    status = 0
    with interrupt_on_signals() as received:
        try:
            for measured in measure(cases, runs, args.others):
                add_visibility(visibility, measured, runs[0].seed)
                report["cases"][measured.case.name] = measured.figures
                report["targets"] = judge(report, targets)
                report["not_judged"] = len(targets) - len(report["targets"])
                if args.json is not None:
                    write_json(args.json, report)
                if args.sheet is not None:
                    rows.append(draw_row(measured))
        except KeyboardInterrupt:
            status = 128 + (received[0] if received else signal.SIGINT)
            if not report["cases"]:
                say("dip: stopped before the first case was measured")
                return status
            say("dip: stopped; the cases measured so far follow")
    report["visibility"] = visibility.summary()
    if args.json is not None:
        write_json(args.json, report)
    print(table(report))
    if rows:
        write_pixels(args.sheet, draw_sheet(rows))
    for output in (args.json, args.sheet):
        if output is not None and output.exists():
            print(output)
    failed = any("error" in each for case in report["cases"].values() for each in case["runs"])
    return status or int(failed)


def add_visibility(visibility: Visibility, measured: Measured, seed: int) -> None:
    """Add the results of a case, those of one seed of each network."""
    from dip.bench.report import NAMES

    truth, unknown = measured.truth, measured.unknown
    if not measured.case.truth:
        return
    visibility.add("truth", truth, truth, unknown)
    for (network, preset, its_seed), image in measured.results.items():
        if its_seed == seed:
            visibility.add(f"{NAMES[network]}, {preset}", image, truth, unknown)
    for name, image in measured.references.items():
        visibility.add(NAMES.get(name, name), image, truth, unknown)


# --- The report as data -------------------------------------------------------------------------


def begin_report(runs: Sequence[Settings]) -> dict[str, Any]:
    """A report without cases: format, time, versions, machine and settings."""
    common = asdict(runs[0])
    del common["network"], common["preset"], common["seed"]
    return {
        "format": FORMAT,
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": versions(),
        "machine": machine(),
        "settings": {
            **common,
            "networks": list(dict.fromkeys(each.network for each in runs)),
            "presets": list(dict.fromkeys(each.preset for each in runs)),
            "seeds": list(dict.fromkeys(each.seed for each in runs)),
        },
        "cases": {},
        "visibility": {},
        "targets": [],
        "not_judged": 0,
    }


def write_json(path: Path, report: dict[str, Any]) -> None:
    """Write the report; an existing file is replaced atomically."""
    from dip.image_io import write_file

    text = json.dumps(report, indent=1, allow_nan=False) + "\n"
    write_file(path, text.encode())
