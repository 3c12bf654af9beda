"""Measure how visible repairs are, and what invisibility costs in PSNR.

    python tests/benchmarks/bench_visibility.py CASES [--preset fast] [--others FOLDER]
        [--kept FOLDER] [--json FILE]

CASES is a folder as for `dip bench`. For each case with a truth it prints: detail inside the fill
over the truth's (see `dip.bench.visibility`) and hole PSNR, smooth and delivered, and those of the
other methods; and the CPU seconds of the texture. Then a line for each method: mean PSNR, medians
of the detail, AUC. FOLDER/CASE/NAME.png are results of other programs.

With `--kept`, smooth fills are kept there, so that another texture can be measured without new fits
(then specks get theirs as regions do, and structure knows nothing of the regularity around a hole).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dip.bench.cases import read_cases
from dip.bench.metrics import psnr_db
from dip.bench.reference import run_all
from dip.bench.report import NAMES
from dip.bench.visibility import Visibility, detail
from dip.commands.bench import write_json
from dip.config import Settings
from dip.filling import texture
from dip.regions.mask import rough_thickness_px
from dip.regions.rules import THIN_UP_TO_PX
from dip.restore import Restoration

Levels = NDArray[np.uint8]
Plane = NDArray[np.bool_]


def main() -> None:
    arguments = parse()
    visibility = Visibility()
    for case in read_cases(arguments.cases):
        if not case.truth or case.kind == "half":
            continue
        truth = np.array(Image.open(case.image).convert("RGB"))
        unknown = np.array(Image.open(case.mask).convert("L")) > 127
        kept = arguments.kept / f"{case.name}.npy" if arguments.kept else None
        smooth, delivered = restored(truth, unknown, arguments.preset, kept)
        again, seconds = with_texture(smooth, truth, unknown)
        delivered = again if delivered is None else delivered
        pictures = {"truth": truth, "dip, smooth": to_levels(smooth), "dip": delivered}
        for name, picture in run_all(truth, unknown):
            if isinstance(picture, np.ndarray):
                pictures[NAMES[name]] = picture
        if arguments.others:
            for path in sorted((arguments.others / case.name).glob("*.png")):
                pictures[NAMES.get(path.stem, path.stem)] = np.array(
                    Image.open(path).convert("RGB")
                )
        line = [f"{case.name:20}"]
        for name, picture in pictures.items():
            visibility.add(name, picture, truth, unknown)
            bands = "/".join(f"{each:.2f}" for each in detail(picture, truth, unknown))
            line.append(f"{name} {bands} {psnr_db(picture, truth, unknown):.2f} dB")
        print("  ".join(line), f" texture {seconds:.2f} s", flush=True)
    summary = visibility.summary()
    for name, each in summary.items():
        bands = "/".join(f"{ratio:.2f}" for ratio in each["detail"])
        print(f"{name:20} {each['cases']} cases, {bands}, {each['hole_psnr_db']:.2f} dB, ", end="")
        print(f"AUC {'not measured' if each['auc'] is None else format(each['auc'], '.3f')}")
    if arguments.json:
        write_json(arguments.json, {"preset": arguments.preset, "methods": summary})


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--others", type=Path)
    parser.add_argument("--kept", type=Path)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def restored(
    truth: Levels, unknown: Plane, preset: str, kept: Path | None
) -> tuple[NDArray[np.float32], Levels | None]:
    """The picture with a smooth fill, in units of full scale, and the delivered one unless kept."""
    if kept is not None and kept.exists():
        return np.load(kept), None
    blank = np.where(unknown[:, :, None], np.uint8(0), truth)
    restoration = Restoration(blank, unknown, Settings(preset=preset), keep_reconstruction=True)
    for _ in restoration:
        pass
    smooth = restoration.smooth()
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, smooth)
    return smooth, restoration.result()


def with_texture(
    smooth: NDArray[np.float32], truth: Levels, unknown: Plane
) -> tuple[Levels, float]:
    """The picture as it is delivered, and the CPU seconds of the texture."""
    target = np.where(unknown[:, :, None], np.float32(0), truth / np.float32(255))
    hole = rough_thickness_px(unknown) > THIN_UP_TO_PX
    start = time.process_time()
    delivered = to_levels(texture.add_texture(smooth, target, ~unknown, hole=hole))
    seconds = time.process_time() - start
    delivered[~unknown] = truth[~unknown]
    return delivered, seconds


def to_levels(picture: NDArray[np.float32]) -> Levels:
    levels: Levels = np.round(picture.clip(0, 1) * 255).astype(np.uint8)
    return levels


if __name__ == "__main__":
    main()
