"""Measure how visible repairs are, and what invisibility costs in PSNR.

    python tests/benchmarks/bench_visibility.py CASES [--preset fast] [--peers FOLDER]

CASES is a folder as for `dip bench`. For each case with a truth it prints: detail inside the fill
over the truth's (mean absolute response of Laplacian bands of 1, 2 and 4 px), smooth and delivered;
hole PSNR of both; CPU seconds of the texture. Then the medians and, where scikit-learn is installed
and there are six cases or more, the AUC of a classifier, cross-validated by case, that tells fills
from the pixels around them: 0.5 cannot be told. The truth's own AUC is printed too.
FOLDER/CASE/NAME.png are results of other programs.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from dip.bench.cases import read_cases
from dip.bench.metrics import psnr_db
from dip.config import Settings
from dip.filling import texture
from dip.restore import Restoration

Floats = NDArray[np.float64]
Plane = NDArray[np.bool_]

SIGMAS_PX = (0.8, 1.6, 3.2)
LUMA = np.array([0.299, 0.587, 0.114])
PAIRS = 300
"""Pairs of fill and surroundings that a case gives the classifier."""


def main() -> None:
    arguments = parse()
    results: dict[str, list[tuple[NDArray[np.uint8], NDArray[np.uint8], Plane]]] = {}
    for case in read_cases(arguments.cases):
        if not case.truth or case.kind == "half":
            continue
        truth = np.array(Image.open(case.image).convert("RGB"))
        unknown = np.array(Image.open(case.mask).convert("L")) > 127
        smooth, delivered, seconds = restore(truth, unknown, arguments.preset)
        pictures = {"truth": truth, "smooth": smooth, "delivered": delivered}
        if arguments.peers:
            for path in sorted((arguments.peers / case.name).glob("*.png")):
                pictures[path.stem] = np.array(Image.open(path).convert("RGB"))
        for name, picture in pictures.items():
            results.setdefault(name, []).append((picture, truth, unknown))
        line = [f"{case.name:20}"]
        for name, picture in list(pictures.items())[1:]:
            db = psnr_db(picture, truth, unknown)
            line.append(f"{name} {shown(detail(picture, truth, unknown))} {db:.2f} dB")
        print("  ".join(line), f" texture {seconds:.2f} s", flush=True)
    for name, each in results.items():
        ratios = np.median([detail(*one) for one in each], axis=0)
        mean_db = np.mean([psnr_db(*one) for one in each]) if name != "truth" else np.inf
        print(f"{name:12} {len(each)} cases, detail {shown(ratios)}, {mean_db:.2f} dB, ", end="")
        print(f"AUC {auc([(picture, unknown) for picture, _, unknown in each])}", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--peers", type=Path)
    return parser.parse_args()


def restore(
    truth: NDArray[np.uint8], unknown: Plane, preset: str
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], float]:
    """The smooth and the delivered picture, and the seconds of the texture."""
    blank = np.where(unknown[:, :, None], np.uint8(0), truth)
    settings = Settings(preset=preset)
    restoration = Restoration(blank, unknown, settings, keep_reconstruction=True)
    for _ in restoration:
        pass
    smooth = restoration.smooth()
    target = blank.astype(np.float32) / 255
    start = time.process_time()
    texture.add_texture(smooth, target, ~unknown)
    seconds = time.process_time() - start
    levels = np.round(smooth.clip(0, 1) * 255).astype(np.uint8)
    return levels, restoration.result(), seconds


def bands(picture: NDArray[np.uint8]) -> list[Floats]:
    plane, found = picture @ LUMA, []
    for sigma_px in SIGMAS_PX:
        coarse = ndimage.gaussian_filter(plane, sigma_px)
        found.append(plane - coarse)
        plane = coarse
    return found


def detail(picture: NDArray[np.uint8], truth: NDArray[np.uint8], unknown: Plane) -> Floats:
    """Detail inside the fill over the truth's, for each band."""
    inner = ndimage.binary_erosion(unknown)
    where = inner if np.count_nonzero(inner) > 200 else unknown
    pairs = zip(bands(picture), bands(truth), strict=True)
    return np.array([np.abs(own[where]).mean() / np.abs(true[where]).mean() for own, true in pairs])


def shown(ratios: Floats) -> str:
    return "/".join(f"{ratio:.2f}" for ratio in ratios)


def auc(pictures: list[tuple[NDArray[np.uint8], Plane]]) -> str:
    """How well fills can be told: pairs of (inside, around) against the same pairs swapped."""
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.metrics import roc_auc_score
        from sklearn.model_selection import GroupKFold
    except ImportError:
        return "not measured: scikit-learn is not installed"
    if len(pictures) < 6:
        return "not measured: fewer than 6 cases"
    features, labels, groups = [], [], []
    for number, (picture, unknown) in enumerate(pictures):
        inside, around = features_of(picture, unknown)
        features += [np.hstack((inside, around)), np.hstack((around, inside))]
        labels += [np.ones(len(inside)), np.zeros(len(inside))]
        groups += [np.full(2 * len(inside), number)]
    data, label, group = (np.concatenate(each) for each in (features, labels, groups))
    told: Any = np.zeros(len(label))
    for train, test in GroupKFold(6).split(data, label, group):
        model = HistGradientBoostingClassifier(max_iter=80, max_depth=3)
        told[test] = model.fit(data[train], label[train]).predict_proba(data[test])[:, 1]
    return f"{roc_auc_score(label, told):.3f}"


def features_of(picture: NDArray[np.uint8], unknown: Plane) -> tuple[Floats, Floats]:
    """Logarithms of the mean detail in windows over the fill, and of that around it."""
    inside = ndimage.distance_transform_edt(unknown) > 1
    ring = ndimage.binary_dilation(unknown, iterations=10)
    ring &= ~ndimage.binary_dilation(unknown, iterations=2)
    maps = [np.abs(band) for band in bands(picture)]
    maps.append(np.hypot(*np.gradient(picture @ LUMA)))
    shares = [ndimage.uniform_filter(each.astype(float), 15) for each in (inside, ring)]
    rows, columns = np.nonzero((shares[0] > 0.03) & (shares[1] > 0.1))
    chosen = np.random.default_rng(0).permutation(len(rows))[:PAIRS]
    at = rows[chosen], columns[chosen]
    means = [
        np.stack([ndimage.uniform_filter(each * where, 15)[at] / share[at] for each in maps], 1)
        for where, share in zip((inside, ring), shares, strict=True)
    ]
    return np.log(means[0] + 0.1), np.log(means[1] + 0.1)


if __name__ == "__main__":
    main()
