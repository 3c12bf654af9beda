"""Scores the search for damage: `bench_detection.py [CASES]`.

CASES holds NAME.jpg, the clean NAME.clean.jpg, NAME.labels.png (components by number) and
NAME.json (their kind and contrast in units of the local noise, `sigmas`). Without it, the cases are
those of `scan_cases.py`, and pictures that show no damage follow; `--photos FOLDER` makes cases of
other photos, such as those that `free_photos.py` keeps aside. A component is found where half of
its pixels lie within 2 px of a mark; pixels are compared with the same tolerance.

`--restore` measures the restorations instead: `dip restore --detect` on a part of each case, and of
the clean photo.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scan_cases import Bytes, Case, cases, cases_of, undamaged
from scipy import ndimage

from dip.detection import DamageMap, detect
from dip.image_io import read_photo, write_photo

Mask = NDArray[np.bool_]

STRONG_SIGMAS = 10
NEAR = ndimage.iterate_structure(ndimage.generate_binary_structure(2, 1), 2)
SIGMA_BANDS = (3, 6, 10, 1e9)
LEAST_GAIN_DB, MOST_LOSS_DB = 6, 0.05
RESTORED_PX = 320


@dataclass
class Score:
    """What was found in all cases."""

    hits: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    clean: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    marks: int = 0
    true_marks: int = 0
    marked: int = 0
    marked_near: int = 0
    damaged: int = 0
    found: int = 0

    def add(self, case: Case, mask: Mask) -> None:
        """Compare a mask with the damage of a case."""
        near_mask = ndimage.binary_dilation(mask, NEAR)
        near_damage = ndimage.binary_dilation(case.labels > 0, NEAR)
        for number, (kind, sigmas) in enumerate(zip(case.kinds, case.sigmas, strict=True), start=1):
            pixels = case.labels == number
            if not pixels.any():
                continue
            hit = bool(near_mask[pixels].mean() >= 0.5)
            band = next(each for each in SIGMA_BANDS if sigmas < each)
            self.hits[f"{kind}, below {band:g} sigma"].append(hit)
            self.hits[kind].append(hit)
            if kind in ("scratch", "crease"):
                self.hits["scratches and creases"].append(hit)
            if sigmas >= STRONG_SIGMAS:
                self.hits["strong"].append(hit)
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        near = np.bincount(labels[near_damage & mask], minlength=count + 1)[1:]
        self.marks += count
        self.true_marks += int((near >= 0.5 * areas).sum())
        self.marked += int(mask.sum())
        self.marked_near += int((mask & near_damage).sum())
        self.damaged += int((case.labels > 0).sum())
        self.found += int((near_mask & (case.labels > 0)).sum())

    @property
    def f1(self) -> float:
        """Of pixels."""
        precision = self.marked_near / max(self.marked, 1)
        recall = self.found / max(self.damaged, 1)
        return 2 * precision * recall / max(precision + recall, 1e-9)

    def recall(self, name: str) -> float:
        """The share of components that were found."""
        return float(np.mean(self.hits[name])) if self.hits[name] else math.nan


def stored_cases(folder: Path) -> Iterator[Case]:
    """Read the cases of a folder."""
    for description in sorted(folder.glob("*.json")):
        name = folder / description.stem
        components = json.loads(description.read_text())["components"]
        yield Case(
            name=description.stem,
            damaged=read_photo(name.with_suffix(".jpg")).pixels,
            clean=read_photo(name.with_suffix(".clean.jpg")).pixels,
            labels=np.asarray(Image.open(name.with_suffix(".labels.png"))),
            kinds=[each["kind"] for each in components],
            sigmas=[each["sigmas"] for each in components],
        )


def search(photo: Bytes, name: str, args: argparse.Namespace) -> DamageMap:
    """Find the damage, or read what an earlier run kept."""
    kept = args.keep / f"{name}.png" if args.keep else None
    if kept and kept.exists():
        return DamageMap.from_png(kept.read_bytes())
    found = detect(photo, quick=args.quick)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(found.to_png())
    return found


def row(name: str, value: str, target: str, reached: bool) -> None:
    """Print a line of the table of targets."""
    print(f"| {name} | {value} | {target} | {'reached' if reached else 'missed'} |")


def report(score: Score, detail: bool) -> None:
    """Print the table of targets."""
    print("| | found | target | |\n| --- | --- | --- | --- |")
    for name, key, target in (
        ("components of 10 sigma and more", "strong", 0.90),
        ("hairs", "hair", 0.80),
        ("scratches and creases", "scratches and creases", 0.95),
    ):
        value = score.recall(key)
        row(name, f"{value:.2f} of {len(score.hits[key])}", f"{target:.2f}", value >= target)
    row("pixel F1", f"{score.f1:.2f}", "0.60", score.f1 >= 0.6)
    median, worst = float(np.median(score.clean)), max(score.clean)
    row("clean photo marked, median", f"{median:.2%}", "0.20 %", median <= 0.002)
    row("clean photo marked, worst", f"{worst:.2%}", "1.50 %", worst <= 0.015)
    seconds, cpu = float(np.median(score.seconds)), float(np.median(score.cpu_seconds))
    row("seconds a megapixel", f"{seconds:.1f} ({cpu:.1f} CPU)", "20", seconds <= 20)
    print(
        f"\npixels: precision {score.marked_near / max(score.marked, 1):.2f}, recall "
        f"{score.found / max(score.damaged, 1):.2f}; {score.true_marks} of {score.marks} marks true"
    )
    if detail:
        for name, hits in sorted(score.hits.items()):
            print(f"  {name}: {np.mean(hits):.2f} of {len(hits)}")


def score_all(chosen: Iterable[Case], args: argparse.Namespace) -> Score:
    """Search every case and its clean photo."""
    score = Score()
    for case in chosen:
        began, cpu = time.monotonic(), time.process_time()
        found = search(case.damaged, case.name, args)
        megapixels = case.labels.size / 1e6
        score.seconds.append((time.monotonic() - began) / megapixels)
        score.cpu_seconds.append((time.process_time() - cpu) / megapixels)
        score.add(case, found.mask(args.sensitivity))
        clean = search(case.clean, f"{case.name}.clean", args).mask(args.sensitivity)
        score.clean.append(float(clean.mean()))
        if args.detail:
            print(f"  {case.name}: clean {score.clean[-1]:.2%}", flush=True)
    return score


def report_undamaged(args: argparse.Namespace) -> None:
    """Search the pictures that show no damage."""
    shares = []
    for name, pixels in undamaged():
        mask = search(pixels, name, args).mask(args.sensitivity)
        shares.append(float(mask.mean()))
        print(f"  {name}: {ndimage.label(mask)[1]} marks on {shares[-1]:.2%}")
    median = float(np.median(shares))
    row("pictures that resemble damage, median", f"{median:.2%}", "nothing", median == 0)


def report_restored(chosen: Iterable[Case], args: argparse.Namespace) -> None:
    """Restore a part of each case, and of the clean photo."""
    gains, losses = [], []
    for case in chosen:
        box = most_damaged(case)
        labels, clean = case.labels[box], case.clean[box] / 255
        before = case.damaged[box] / 255
        after = restored(case.damaged[box], args)
        gain = decibels(before, clean, labels > 0) - decibels(after, clean, labels > 0)
        # What a repair of a clean photo changes counts as much as the photo's own grain.
        grain = np.mean(np.square(clean - ndimage.gaussian_filter(clean, (1.5, 1.5, 0))))
        change = np.mean(np.square(restored(case.clean[box], args) - clean))
        gains.append(gain)
        losses.append(10 * math.log10(1 + change / grain))
        print(f"  {case.name}: {gain:+.1f} dB, clean {-losses[-1]:.3f} dB", flush=True)
    gain, loss = float(np.median(gains)), max(losses)
    row("gain over damaged pixels, median", f"{gain:.1f} dB", "6 dB", gain >= LEAST_GAIN_DB)
    row("loss on clean photos, worst", f"{loss:.3f} dB", "0.05 dB", loss <= MOST_LOSS_DB)


def decibels(pixels: NDArray[Any], clean: NDArray[Any], where: Mask) -> float:
    """The error in dB."""
    return 10 * math.log10(float(np.mean(np.square(pixels - clean)[where])) + 1e-12)


def most_damaged(case: Case) -> tuple[slice, slice]:
    """The part of a case with most damage."""
    side = min(RESTORED_PX, *case.labels.shape)
    share = ndimage.uniform_filter((case.labels > 0).astype(float), side)
    half = side // 2
    inner = share[half : -half or None, half : -half or None]
    top, left = np.unravel_index(int(inner.argmax()), inner.shape)
    return slice(int(top), int(top) + side), slice(int(left), int(left) + side)


def restored(pixels: Bytes, args: argparse.Namespace) -> NDArray[Any]:
    """`dip restore --detect`; a photo without damage comes back as it is."""
    with tempfile.TemporaryDirectory() as name:
        source, output = Path(name, "photo.png"), Path(name, "restored.png")
        write_photo(source, np.ascontiguousarray(pixels))
        command = [sys.executable, "-m", "dip", "restore", str(source), "--detect", "-o"]
        command += [str(output), "--preset", args.preset, "--sensitivity", str(args.sensitivity)]
        command += ["--most-coverage", "50"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if "No damage was found" in done.stderr:
            return pixels / 255
        if done.returncode:
            raise SystemExit(done.stderr)
        return read_photo(output).pixels / 255


def main() -> None:
    """Print recall by kind, F1, the share of clean photos marked, and the time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=Path, nargs="?")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="make the cases of these")
    parser.add_argument("--quick", action="store_true", help="the first answer")
    parser.add_argument("--sensitivity", type=float, default=0.5)
    parser.add_argument("--detail", action="store_true", help="recall by kind and contrast")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep what is found there")
    parser.add_argument("--restore", action="store_true", help="measure restorations")
    parser.add_argument("--preset", default="fast", help="of the restorations")
    parser.add_argument("--first", type=int, metavar="N", help="the first N cases only")
    args = parser.parse_args()
    own = cases_of(args.photos) if args.photos else cases()
    chosen = islice(stored_cases(args.cases) if args.cases else own, args.first)
    if args.restore:
        report_restored(chosen, args)
        return
    report(score_all(chosen, args), args.detail)
    if not (args.cases or args.photos):
        report_undamaged(args)


if __name__ == "__main__":
    main()
