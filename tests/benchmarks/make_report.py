"""Run all measurements, and write the report.

    python tests/benchmarks/make_report.py [--cases DIR] [--work DIR] [--quick]
        [--so-far | --write-only]

It runs `dip bench` over this project's own cases and those of DIR, and `bench_growth.py`. Then it
writes `figures.json`, `REPORT.md` with its pictures, and the table of `dip/README.md`. The work
folder keeps the measurements by case, preset and seed. A stopped run continues where it ended, if
the settings are the same; delete files there to measure again. Pictures of DIR's cases stay in the
work folder; all other output is meant to be committed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bench_growth
import growth_report
import make_cases
import report_text
import visibility_report
from PIL import Image

from dip.bench.cases import read_cases
from dip.bench.circumstances import machine, versions
from dip.bench.report import judge, summarise
from dip.bench.targets import TARGETS
from dip.commands.bench import write_json
from dip.console import say
from dip.panels import stack

HERE = Path(__file__).parent
README = HERE.parents[1] / "dip" / "README.md"
PICTURES = Path("pictures")  # beside the report
SHOWN = (
    "astronaut_hole", "astronaut_text", "coffee_scratches", "coffee_object",
    "grass_text", "brick_holes", "camera_half",
)  # fmt: skip
SHEET_WIDTH_PX = 1400


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One call of `dip bench` for each case."""

    preset: str
    network: str
    seed: int

    def file(self, name: str) -> str:
        """Name of the file with the figures of a case."""
        return f"{name}.{self.preset}.{self.network}.{self.seed}.json"


def plans(seeds: Sequence[int]) -> list[Plan]:
    """The runs: U-Net with each seed; SegNet and the preset `best`, which are slow, with one."""
    first, *others = seeds
    return [
        Plan(preset="balanced", network="both", seed=first),
        Plan(preset="fast", network="unet", seed=first),
        Plan(preset="best", network="unet", seed=first),
        *(
            Plan(preset=preset, network="unet", seed=seed)
            for seed in others
            for preset in ("balanced", "fast")
        ),
    ]


# --- Measuring ----------------------------------------------------------------------------------


def measure(cases: Path, names: Sequence[str], plan: Plan, place: Path, options: list[str]) -> None:
    """Run `dip bench` on each case without a measurement of these options."""
    place.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = place / plan.file(name)
        if path.exists() and json.loads(path.read_text(encoding="utf-8"))["options"] == options:
            continue
        say(f"{place.name}: {name}, {plan.preset}, seed {plan.seed}")
        unfinished = path.with_suffix(".part.json")
        command = [
            *(sys.executable, "-m", "dip", "bench", "--cases", str(cases), "--case", name),
            *("--preset", plan.preset, "--network", plan.network),
            *("--seed", str(plan.seed), "--json", str(unfinished), *options),
        ]
        if plan.network == "both":
            command += ["--sheet", str(place / f"{name}.png")]
        status = subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode
        if status not in (0, 1):  # 1: a restoration failed; the report names it
            raise SystemExit(status)
        report = json.loads(unfinished.read_text(encoding="utf-8"))
        write_json(path, {"options": options, **report})
        unfinished.unlink()


def gather(place: Path, names: Sequence[str], wanted: Sequence[Plan]) -> dict[str, Any]:
    """Combine the existing runs: cases as in the JSON of `dip bench`."""
    cases: dict[str, Any] = {}
    for name in names:
        for plan in wanted:
            path = place / plan.file(name)
            if not path.exists():
                continue
            case = json.loads(path.read_text(encoding="utf-8"))["cases"][name]
            if name in cases:
                cases[name]["runs"] += case["runs"]
            else:
                cases[name] = case
    return cases


def condense(case: dict[str, Any]) -> dict[str, Any]:
    """Reduce a case to the committed figures: medians and spread, no paths, no single runs."""
    runs = {}
    for (network, preset), summary in summarise(case).items():
        runs[f"{network} {preset}"] = {
            key: value for key, value in summary.items() if key not in ("typical_seed", "spread")
        }
    kept = ("kind", "truth", "height", "width", "unknown_px", "published", "references")
    return _rounded({**{key: case[key] for key in kept}, "runs": runs})


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


# --- Writing ------------------------------------------------------------------------------------


def draw_sheet(place: Path, names: Sequence[str], path: Path) -> None:
    """Stack the reduced sheets of single cases in one picture."""
    rows = []
    for name in names:
        with Image.open(place / f"{name}.png") as row:
            height = round(row.height * SHEET_WIDTH_PX / row.width)
            rows.append(row.convert("RGB").resize((SHEET_WIDTH_PX, height), Image.Resampling.BOX))
    path.parent.mkdir(parents=True, exist_ok=True)
    stack(rows, gap_px=8, margin_px=0).save(path, quality=82, optimize=True)


def write(place: Path, readme: Path, figures: dict[str, Any]) -> Iterator[Path]:
    """Write the report and the table of `dip/README.md`; yield the paths."""
    report = place / "REPORT.md"
    report.write_text(report_text.report(figures, PICTURES), encoding="utf-8")
    yield report
    text = readme.read_text(encoding="utf-8")
    readme.write_text(report_text.put_into(text, figures), encoding="utf-8")
    yield readme


def collect(args: argparse.Namespace) -> dict[str, Any]:
    """Run the missing measurements and return all figures."""
    options = [] if args.iterations is None else ["--iterations", str(args.iterations)]
    own = args.work / "own_cases"
    if not (own / "cases.json").exists():
        make_cases.make(own)
    folders = {"research": args.cases, "own": own}
    sets: dict[str, Any] = {}
    wanted = [plan for plan in plans(args.seed) if plan.preset in {"balanced", *args.preset}]
    for title, folder in folders.items():
        if folder is None:
            continue
        names = [case.name for case in read_cases(folder, args.case if title == "own" else None)]
        for plan in [] if args.so_far else wanted:
            measure(folder, names, plan, args.work / title, options)
        sets[title] = gather(args.work / title, names, wanted)
    growth_path = args.work / "growth.json"
    # The growth does not depend on the preset, and this preset takes a third of the time.
    growth = [sys.executable, str(HERE / "bench_growth.py"), "--json", str(growth_path)]
    growth += ["--preset", "fast"]
    if args.quick:
        growth.append("--quick")
    if not args.so_far:
        subprocess.run([*growth, *options], check=True, stdout=subprocess.DEVNULL)

    cases = {name: case for each in sets.values() for name, case in each.items()}
    verdicts = judge({"cases": cases}, TARGETS)
    return {
        "format": 1,
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": versions(),
        "machine": machine(),
        "options": options + (["--quick"] if args.quick else []),
        "seeds": list(args.seed),
        "sets": {
            title: {name: condense(case) for name, case in each.items()}
            for title, each in sets.items()
        },
        "targets": _rounded(verdicts),
        "not_judged": len(TARGETS) - len(verdicts),
        "growth": _rounded(json.loads(growth_path.read_text(encoding="utf-8"))),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=Path, metavar="DIR", help="further cases, for figures only")
    parser.add_argument(
        "--work", type=Path, default=Path("report-work"), metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument("--out", type=Path, default=HERE, metavar="DIR", help="for the report")
    parser.add_argument("--readme", type=Path, default=README, metavar="FILE")
    parser.add_argument("--case", nargs="+", metavar="NAME", help="only these of the own cases")
    parser.add_argument(
        "--preset",
        nargs="+",
        choices=("balanced", "fast", "best"),
        default=["balanced", "fast", "best"],
        help="in addition to balanced (default: all)",
    )
    parser.add_argument("--seed", nargs="+", type=int, default=[0, 1, 2], metavar="N")
    parser.add_argument("--iterations", type=int, metavar="N", help="to test the script")
    parser.add_argument("--quick", action="store_true", help="tiny pictures for the growth")
    parser.add_argument(
        "--so-far", action="store_true", help="no more measurements: use those in the work folder"
    )
    parser.add_argument(
        "--visibility",
        type=Path,
        metavar="FILE",
        help="figures that bench_visibility.py has written (default: those of the last report)",
    )
    parser.add_argument(
        "--write-only",
        action="store_true",
        help="no measurements: text from figures.json",
    )
    args = parser.parse_args(arguments)
    figures_path = args.out / "figures.json"
    if not args.write_only:
        args.work.mkdir(parents=True, exist_ok=True)
        figures = collect(args)
        if figures_path.exists():
            last = json.loads(figures_path.read_text(encoding="utf-8"))
            figures.update({key: last[key] for key in ("visibility",) if key in last})
        write_json(figures_path, figures)
        shown = [name for name in SHOWN if name in figures["sets"]["own"]]
        draw_sheet(args.work / "own", shown, args.out / PICTURES / "sheet.jpg")
        series = bench_growth.series(quick=args.quick)
        growth_report.draw_all(figures["growth"], series, args.out / PICTURES)
    figures = json.loads(figures_path.read_text(encoding="utf-8"))
    if args.visibility is not None:
        figures["visibility"] = _rounded(json.loads(args.visibility.read_text(encoding="utf-8")))
        write_json(figures_path, figures)
        plane = visibility_report.draw(figures["visibility"])
        plane.save(args.out / PICTURES / "visibility.png", optimize=True)
    print(figures_path, *write(args.out, args.readme, figures), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
